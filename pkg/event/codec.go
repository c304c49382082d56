package event

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const contentType = "application/protobuf"

// Encode returns e as a NATS message: CloudEvents 1.0, binary mode, one lower-case "ce-" header per
// attribute. The NATS binding gives datacontenttype no special header; traceparent stands without
// the prefix, where every tracing library looks for it.
func Encode(e Event) (*nats.Msg, error) {
	if err := e.valid(); err != nil {
		return nil, err
	}
	data, err := e.payload()
	if err != nil {
		return nil, err
	}
	h := make(nats.Header, 16)
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{encodeHeader(value)}
		}
	}
	set("ce-specversion", "1.0")
	set("ce-id", e.ID)
	set("ce-source", e.Source)
	set("ce-type", e.Type)
	set("ce-subject", e.Key)
	set("ce-time", e.Time.UTC().Format(time.RFC3339Nano))
	set("ce-datacontenttype", contentType)
	set("ce-connection", e.Connection)
	if e.Revision != 0 {
		set("ce-revision", strconv.FormatInt(e.Revision, 10))
	}
	set("ce-run", e.Run)
	set("ce-cause", e.Cause)
	if e.Sequence != 0 {
		// The sequence extension is ordered as text, hence the leading zeros.
		set("ce-sequence", fmt.Sprintf("%020d", e.Sequence))
	}
	set("traceparent", e.TraceParent)
	return &nats.Msg{Subject: Subject(e), Header: h, Data: data}, nil
}

// valid says what keeps e from being sent.
func (e Event) valid() error {
	switch {
	case e.ID == "", e.Type == "", e.Source == "":
		return fmt.Errorf("event %q of type %q from %q: id, type and source must be set", e.ID, e.Type, e.Source)
	case !token(e.Connection), !token(e.Entity):
		return fmt.Errorf("event %s: connection %q and entity %q must consist of a-z, A-Z, 0-9, '-' and '_'", e.ID, e.Connection, e.Entity)
	case e.Key == "" || len(e.Key) > 400:
		return fmt.Errorf("event %s of %s %s: key must have 1 to 400 bytes, has %d", e.ID, e.Connection, e.Entity, len(e.Key))
	case !utf8.ValidString(e.Key):
		return fmt.Errorf("event %s of %s %s: key %q is not UTF-8", e.ID, e.Connection, e.Entity, e.Key)
	case !e.Log && e.Revision <= 0:
		return fmt.Errorf("event %s of %s %s %s: a state event needs a revision", e.ID, e.Connection, e.Entity, e.Key)
	}
	return nil
}

func token(s string) bool {
	for i := range len(s) {
		if !keyChar(s[i]) || s[i] == '/' {
			return false
		}
	}
	return s != ""
}

// Decode reads a message that Encode, or any other CloudEvents producer, made. Header names are
// read in any case, since other libraries write them otherwise; headers that are not attributes,
// such as those an atomic batch leaves behind, are ignored.
func Decode(m *nats.Msg) (Event, error) {
	return decode(m.Subject, m.Header, m.Data)
}

// DecodeMsg is Decode for a message received through JetStream; it also sets StreamSequence.
func DecodeMsg(m jetstream.Msg) (Event, error) {
	e, err := decode(m.Subject(), m.Headers(), m.Data())
	if meta, merr := m.Metadata(); merr == nil {
		e.StreamSequence = meta.Sequence.Stream
	}
	return e, err
}

func decode(subject string, header nats.Header, data []byte) (Event, error) {
	e, err := parseSubject(subject)
	if err != nil {
		return e, err
	}
	e.Payload = data
	var spec, connection, key, content string
	var errs []error
	for name, values := range header {
		if len(values) == 0 {
			continue
		}
		value, verr := decodeHeader(values[0])
		if verr != nil {
			if isAttribute(name) {
				errs = append(errs, fmt.Errorf("header %s: %w", name, verr))
			}
			continue
		}
		switch strings.ToLower(name) {
		case "ce-specversion":
			spec = value
		case "ce-id":
			e.ID = value
		case "ce-source":
			e.Source = value
		case "ce-type":
			e.Type = value
		case "ce-subject":
			key = value
		case "ce-datacontenttype":
			content = value
		case "ce-connection":
			connection = value
		case "ce-run":
			e.Run = value
		case "ce-cause":
			e.Cause = value
		case "traceparent":
			e.TraceParent = value
		case "ce-time":
			if e.Time, err = time.Parse(time.RFC3339Nano, value); err != nil {
				errs = append(errs, fmt.Errorf("ce-time: %w", err))
			}
		case "ce-revision":
			if e.Revision, err = strconv.ParseInt(value, 10, 64); err != nil {
				errs = append(errs, fmt.Errorf("ce-revision: %w", err))
			}
		case "ce-sequence":
			if e.Sequence, err = strconv.ParseInt(value, 10, 64); err != nil {
				errs = append(errs, fmt.Errorf("ce-sequence: %w", err))
			}
		}
	}
	switch {
	case spec != "1.0":
		errs = append(errs, fmt.Errorf("ce-specversion is %q, not 1.0", spec))
	case content != "" && content != contentType:
		errs = append(errs, fmt.Errorf("ce-datacontenttype is %q, not %s", content, contentType))
	case connection != "" && connection != e.Connection:
		errs = append(errs, fmt.Errorf("ce-connection is %q but the subject says %q", connection, e.Connection))
	case key != "" && key != e.Key:
		errs = append(errs, fmt.Errorf("ce-subject is %q but the subject says %q", key, e.Key))
	}
	errs = append(errs, e.valid())
	return e, errors.Join(errs...)
}

func isAttribute(name string) bool {
	return len(name) > 3 && strings.EqualFold(name[:3], "ce-")
}

// encodeHeader percent-encodes as the CloudEvents HTTP binding says, which the NATS binding
// follows: space, double quote, percent, and everything outside printable ASCII.
func encodeHeader(s string) string { return escape(s, '%', headerChar) }

// decodeHeader undoes encodeHeader. As the binding asks, it also takes hexadecimal digits in lower
// case, and characters that are encoded without need; other than the binding, it refuses what
// does not come out as UTF-8.
func decodeHeader(s string) (string, error) {
	value, err := unescape(s, '%')
	if err == nil && !utf8.ValidString(value) {
		err = fmt.Errorf("%q does not decode to UTF-8", s)
	}
	return value, err
}

func headerChar(c byte) bool {
	return c > 0x20 && c < 0x7f && c != '"' && c != '%'
}
