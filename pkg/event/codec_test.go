package event

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"google.golang.org/protobuf/types/known/wrapperspb"
	"pgregory.net/rapid"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The wire form is a contract with other teams: it changes only when someone means it to.
func TestWireForm(t *testing.T) {
	at := time.Date(2026, 3, 29, 1, 30, 0, 123456000, time.UTC)
	for name, e := range map[string]Event{
		"state": {
			ID: "01960f6e-0000-7000-8000-000000000001", Type: "seatline.licence.changed.v1", Entity: "licence", Connection: "demo",
			Key: "microsoft/0b5a3c1e", Revision: 1774747800123456, Run: "r-7", Cause: "01960f6e-0000-7000-8000-000000000000",
			Source: "seatline/licence", Time: at, TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
			Sequence: 42, Data: wrapperspb.String("5 seats"),
		},
		"awkward_key": {
			ID: "1", Type: "seatline.customer.mapped.v1", Entity: "mapping", Connection: "demo",
			Key: "CAFÉ & \"Söhne\" 100%.*>", Revision: 1, Source: "seatline/mapper", Time: at,
		},
		"log": {
			ID: "2", Type: "seatline.run.started.v1", Entity: "run", Connection: "demo", Key: "r-7", Run: "r-7",
			Source: "seatline/fetcher", Time: at, Log: true, Data: wrapperspb.Int64(1),
		},
	} {
		t.Run(name, func(t *testing.T) {
			m, err := Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, wire(m))
			got, err := Decode(m)
			if err != nil {
				t.Fatal(err)
			}
			want := e
			want.Payload, _ = e.payload()
			want.Data = nil
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("decoded differs (-want +got):\n%s", diff)
			}
		})
	}
}

// wire writes a message as text, headers sorted.
func wire(m *nats.Msg) string {
	var lines []string
	for name, values := range m.Header {
		for _, v := range values {
			lines = append(lines, name+": "+v)
		}
	}
	slices.Sort(lines)
	return fmt.Sprintf("%s\n%s\n\n%x\n", m.Subject, strings.Join(lines, "\n"), m.Data)
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", path, diff)
	}
}

func TestDecodeReadsWhatOthersWrite(t *testing.T) {
	m := &nats.Msg{Subject: "seatline.v1.demo.licence.a", Data: []byte("x"), Header: nats.Header{
		"Ce-Specversion":      {"1.0"},
		"CE-ID":               {"7"},
		"Ce-Source":           {"elsewhere"},
		"ce-Type":             {"seatline.licence.changed.v1"},
		"Ce-Revision":         {"3"},
		"Ce-Run":              {"%e2%82%ac%41"}, // lower-case digits, and an A encoded without need
		"Ce-Unheardof":        {"1"},
		"Nats-Batch-Id":       {"b%zz"}, // no attribute, so not read at all
		"Nats-Batch-Sequence": {"1"},
		"Nats-Batch-Commit":   {"1"},
	}}
	got, err := Decode(m)
	if err != nil {
		t.Fatal(err)
	}
	want := Event{ID: "7", Source: "elsewhere", Type: "seatline.licence.changed.v1", Entity: "licence", Connection: "demo",
		Key: "a", Revision: 3, Run: "€A", Payload: []byte("x")}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestDecodeRefuses(t *testing.T) {
	valid := func() *nats.Msg {
		m, err := Encode(Event{ID: "1", Type: "t", Entity: "licence", Connection: "demo", Key: "k", Revision: 1, Source: "s", Time: time.Unix(1, 0)})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for name, spoil := range map[string]func(*nats.Msg){
		"no headers":                   func(m *nats.Msg) { m.Header = nil },
		"another CloudEvents version":  func(m *nats.Msg) { m.Header.Set("ce-specversion", "2.0") },
		"no id":                        func(m *nats.Msg) { m.Header.Del("ce-id") },
		"no revision on state":         func(m *nats.Msg) { m.Header.Del("ce-revision") },
		"a revision that is no number": func(m *nats.Msg) { m.Header.Set("ce-revision", "x") },
		"a time that is none":          func(m *nats.Msg) { m.Header.Set("ce-time", "yesterday") },
		"a JSON payload":               func(m *nats.Msg) { m.Header.Set("ce-datacontenttype", "application/json") },
		"a broken escape":              func(m *nats.Msg) { m.Header.Set("ce-type", "a%4") },
		"an escape that is not UTF-8":  func(m *nats.Msg) { m.Header.Set("ce-type", "a%FF") },
		"a key unlike the subject's":   func(m *nats.Msg) { m.Header.Set("ce-subject", "other") },
		"a connection unlike it":       func(m *nats.Msg) { m.Header.Set("ce-connection", "other") },
		"a foreign subject":            func(m *nats.Msg) { m.Subject = "elsewhere.v1.demo.licence.k" },
		"a subject with a token more":  func(m *nats.Msg) { m.Subject += ".x" },
		"a broken key token":           func(m *nats.Msg) { m.Subject = "seatline.v1.demo.licence.=4"; m.Header.Del("ce-subject") },
	} {
		t.Run(name, func(t *testing.T) {
			m := valid()
			spoil(m)
			if e, err := Decode(m); err == nil {
				t.Errorf("decoded to %+v", e)
			}
		})
	}
	if _, err := Decode(valid()); err != nil {
		t.Errorf("the unspoilt one: %v", err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	valid := Event{ID: "1", Type: "t", Entity: "licence", Connection: "demo", Key: "k", Revision: 1, Source: "s"}
	for name, spoil := range map[string]func(*Event){
		"no id":                    func(e *Event) { e.ID = "" },
		"no source":                func(e *Event) { e.Source = "" },
		"a connection with a dot":  func(e *Event) { e.Connection = "a.b" },
		"a wildcard for an entity": func(e *Event) { e.Entity = "*" },
		"no key":                   func(e *Event) { e.Key = "" },
		"a key too long":           func(e *Event) { e.Key = strings.Repeat("x", 401) },
		"a key that is not UTF-8":  func(e *Event) { e.Key = "\xff" },
		"state without a revision": func(e *Event) { e.Revision = 0 },
	} {
		e := valid
		spoil(&e)
		if _, err := Encode(e); err == nil {
			t.Errorf("%s: encoded", name)
		}
	}
}

func TestKeysAndHeadersSurvive(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.String().Draw(t, "key")
		token := EncodeKey(key)
		if strings.ContainsAny(token, " .*>\t\r\n") {
			t.Fatalf("token %q of key %q is not one subject token", token, key)
		}
		if back, err := DecodeKey(token); err != nil || back != key {
			t.Fatalf("key %q became %q and then %q, %v", key, token, back, err)
		}
		value := encodeHeader(key)
		for i := range len(value) {
			if c := value[i]; c <= 0x20 || c >= 0x7f || c == '"' {
				t.Fatalf("header value %q of %q holds %q", value, key, c)
			}
		}
		if back, err := decodeHeader(value); err != nil || back != key {
			t.Fatalf("value %q became %q and then %q, %v", key, value, back, err)
		}
	})
}

// Two keys never share a subject.
func TestKeysStayApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		if a != b && EncodeKey(a) == EncodeKey(b) {
			t.Fatalf("%q and %q both become %q", a, b, EncodeKey(a))
		}
	})
}

func TestRevisionNeverRunsBackwards(t *testing.T) {
	now := time.UnixMicro(1_000_000)
	for _, c := range []struct{ old, want int64 }{{0, 1_000_000}, {999_999, 1_000_000}, {1_000_000, 1_000_001}, {5_000_000, 5_000_001}} {
		if got := NewRevision(c.old, now); got != c.want {
			t.Errorf("after %d: %d, want %d", c.old, got, c.want)
		}
	}
}
