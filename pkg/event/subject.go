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
func EncodeKey(key string) string {
	plain := true
	for i := range len(key) {
		if !keyChar(key[i]) {
			plain = false
			break
		}
	}
	if plain {
		return key
	}
	var b strings.Builder
	for i := range len(key) {
		if c := key[i]; keyChar(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return b.String()
}

// DecodeKey undoes EncodeKey. It fails for a token that EncodeKey does not make.
func DecodeKey(token string) (string, error) {
	if !strings.Contains(token, "=") {
		return token, nil
	}
	var b strings.Builder
	for i := 0; i < len(token); i++ {
		if token[i] != '=' {
			b.WriteByte(token[i])
			continue
		}
		c, ok := hexByte(token, i+1)
		if !ok {
			return "", fmt.Errorf("key token %q: '=' without two hexadecimal digits", token)
		}
		b.WriteByte(c)
		i += 2
	}
	return b.String(), nil
}

func keyChar(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_' || c == '/'
}

// hexByte reads the two hexadecimal digits at s[i:].
func hexByte(s string, i int) (byte, bool) {
	if i+2 > len(s) {
		return 0, false
	}
	hi, ok1 := hexDigit(s[i])
	lo, ok2 := hexDigit(s[i+1])
	return hi<<4 | lo, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
