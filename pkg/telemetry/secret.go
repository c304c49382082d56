package telemetry

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// redacted stands wherever a secret would have been shown.
const redacted = "[redacted]"

// Secret is a password, key or token. However it is logged, printed or marshalled, its content
// does not appear; Reveal is the one way to it.
type Secret string

// Reveal returns the content, for the one place that sends it.
func (s Secret) Reveal() string { return string(s) }

// String shows whether there is a secret, never which.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return redacted
}

// GoString keeps %#v from showing the content.
func (s Secret) GoString() string { return fmt.Sprintf("telemetry.Secret(%q)", s.String()) }

// Format keeps every other verb, such as %x or %d, from showing it.
func (s Secret) Format(f fmt.State, verb rune) {
	if verb == 'v' && f.Flag('#') {
		fmt.Fprint(f, s.GoString())
		return
	}
	fmt.Fprint(f, s.String())
}

func (s Secret) LogValue() slog.Value         { return slog.StringValue(s.String()) }
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.String()) }

// UnmarshalText lets flags, environment and files set a secret.
func (s *Secret) UnmarshalText(text []byte) error { *s = Secret(text); return nil }

// UnmarshalJSON reads what MarshalJSON would have written, had it not redacted.
func (s *Secret) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*string)(s)) }
