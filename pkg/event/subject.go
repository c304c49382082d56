package event

import (
	"fmt"
	"strings"
)

const (
	statePrefix = "seatline.v1."
	logPrefix   = "seatline.log.v1."
)

// Subject returns where e is published: seatline.v1.<connection>.<entity>.<key> for state,
// seatline.log.v1.<connection>.<entity>.<key> for the log. The key is encoded by EncodeKey.
func Subject(e Event) string {
	prefix := statePrefix
	if e.Log {
		prefix = logPrefix
	}
	return prefix + e.Connection + "." + e.Entity + "." + EncodeKey(e.Key)
}

// Filter returns the subject filter for an entity of a connection; empty means any.
func Filter(connection, entity string, log bool) string {
	prefix := statePrefix
	if log {
		prefix = logPrefix
	}
	if connection == "" {
		connection = "*"
	}
	if entity == "" {
		entity = "*"
	}
	return prefix + connection + "." + entity + ".*"
}

// parseSubject undoes Subject.
func parseSubject(subject string) (e Event, err error) {
	rest, ok := strings.CutPrefix(subject, statePrefix)
	if !ok {
		if rest, ok = strings.CutPrefix(subject, logPrefix); !ok {
			return e, fmt.Errorf("subject %q does not begin with %s or %s", subject, statePrefix, logPrefix)
		}
		e.Log = true
	}
	parts := strings.Split(rest, ".")
	if len(parts) != 3 {
		return e, fmt.Errorf("subject %q has not the form <connection>.<entity>.<key> after its prefix", subject)
	}
	e.Connection, e.Entity = parts[0], parts[1]
	if e.Key, err = DecodeKey(parts[2]); err != nil {
		return e, fmt.Errorf("subject %q: %w", subject, err)
	}
	return e, nil
}

// EncodeKey makes one subject token of any key, so that dots, spaces, wildcards and letters beyond
// ASCII survive. Letters, digits, '-', '_' and '/' stay as they are; any other byte becomes '='
// and two hexadecimal digits. These are the characters that NATS also allows in the keys of its
// key-value buckets.
func EncodeKey(key string) string { return escape(key, '=', keyChar) }

// DecodeKey undoes EncodeKey. It fails for a token that EncodeKey does not make.
func DecodeKey(token string) (string, error) {
	key, err := unescape(token, '=')
	if err != nil {
		return "", fmt.Errorf("key token %w", err)
	}
	return key, nil
}

func keyChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '/'
}
