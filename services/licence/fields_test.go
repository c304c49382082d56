package licence

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Fields read themselves as encoding/json would read them.
func TestFieldsReadThemselves(t *testing.T) {
	t.Parallel()
	type plain Fields // without the method
	rapid.Check(t, func(t *rapid.T) {
		document := map[string]any{"other": []any{1, map[string]any{"client": 7}}}
		put := func(name string, values *rapid.Generator[any]) {
			if rapid.Bool().Draw(t, "has "+name) {
				document[name] = rapid.OneOf(values, rapid.Just[any](nil)).Draw(t, name)
			}
		}
		for _, name := range []string{"start", "end", "cycle", "term", "mark"} {
			put(name, rapid.String().AsAny())
		}
		for _, name := range []string{"client", "count"} {
			put(name, rapid.Int64Range(-1<<53, 1<<53).AsAny())
		}
		for _, name := range []string{"cost", "price"} {
			put(name, rapid.StringMatching(`-?[0-9]{1,12}(\.[0-9]{1,4})?`).AsAny())
		}
		put("active", rapid.Bool().AsAny())
		text, err := json.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		var got Fields
		var want plain
		if err := got.UnmarshalJSON(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, plain(got)); d != "" {
			t.Errorf("%s\n%s", text, d)
		}
	})
	if err := new(Fields).UnmarshalJSON([]byte(`{"cost": "ten"}`)); err == nil {
		t.Error("an amount that is no number is read")
	}
}
