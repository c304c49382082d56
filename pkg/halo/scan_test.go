package halo

import (
	"encoding/json"
	"testing"

	"pgregory.net/rapid"
)

// Whatever encoding/json takes for an object is cut into the same fields, however it is laid out.
func TestAnObjectIsCutAsEncodingJSONReadsIt(t *testing.T) {
	value := rapid.Custom(func(t *rapid.T) any {
		return rapid.OneOf(
			rapid.Map(rapid.String(), func(s string) any { return s }), rapid.Map(rapid.Bool(), func(b bool) any { return b }),
			rapid.Map(rapid.Float64Range(-1e12, 1e12), func(f float64) any { return f }), rapid.Just(any(nil)),
			rapid.Map(rapid.SliceOfN(rapid.MapOfN(rapid.String(), rapid.String(), 0, 3), 0, 3), func(l []map[string]string) any { return l }),
		).Draw(t, "value")
	})
	rapid.Check(t, func(t *rapid.T) {
		m := rapid.MapOfN(rapid.String(), value, 0, 5).Draw(t, "object")
		text, err := json.Marshal(m)
		if rapid.Bool().Draw(t, "indented") {
			text, err = json.MarshalIndent(m, " \t", "\r\n ")
		}
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]json.RawMessage
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		o, err := ParseObject(text)
		if err != nil {
			t.Fatal(err)
		}
		if len(o.fields) != len(want) {
			t.Fatalf("%d fields of %s", len(o.fields), text)
		}
		for name, raw := range want {
			if string(o.Raw(name)) != string(raw) {
				t.Errorf("field %q is %s, want %s", name, o.Raw(name), raw)
			}
		}
	})
}

func TestWhatIsNoObjectIsAnError(t *testing.T) {
	for _, text := range []string{``, `null`, `[]`, `1`, `"{}"`, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":"`, `{"a":"\`, `{a:1}`, `{"a":1}}`, `{"a":[}`} {
		if o, err := ParseObject([]byte(text)); err == nil {
			t.Errorf("%s was read as %v", text, o)
		}
	}
	// Text that is not valid comes to an end all the same, wherever it is cut.
	const whole = `{"a":{"b":[1,"x\"]}",{}]},"lines":[{"id":1},{"id":2}]}`
	for n := range whole {
		var o Object
		_ = o.UnmarshalJSON([]byte(whole[:n]))
		_, _ = objectsOf([]byte(whole[n:]))
	}
}

func TestAnInvoiceWhoseLinesAreNoneIsRefused(t *testing.T) {
	for _, lines := range []string{`{}`, `"x"`, `[1]`, `[null]`, `[[]]`} {
		var i Invoice
		if err := json.Unmarshal([]byte(`{"id":-1,"lines":`+lines+`}`), &i); err == nil {
			t.Errorf("lines %s were read as %v", lines, i.Lines)
		}
	}
}
