package event

import (
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
)

// Event is one message on the bus: the state of an entity after a change, or, when Log is set,
// something that happened.
type Event struct {
	// ID is unique; Publish makes one when it is empty.
	ID string
	// Type is the verb, for example "seatline.licence.changed.v1".
	Type string
	// Entity is the noun, for example "licence"; with Connection and Key it names the subject.
	Entity     string
	Connection string
	// Key of the entity within its connection. Any text up to 400 bytes; Subject encodes it.
	Key string
	// Revision of the entity; see NewRevision. Not used by log events.
	Revision int64
	// Run of the fetcher that set off the change; empty when none did.
	Run string
	// Cause is the ID of the event that this one answers.
	Cause string
	// Source is who publishes it, "seatline/<service>".
	Source string
	// Time of the change; Publish takes the present when it is zero.
	Time time.Time
	// TraceParent is the W3C trace context the event was made in; Publish takes it from its ctx
	// when it is empty.
	TraceParent string
	// Log sends the event to the log stream, which keeps everything for a while, instead of the
	// state stream, which keeps the last of each key for ever.
	Log bool
	// Data is the payload on the way out. On the way in it is nil: use Unmarshal.
	Data proto.Message
	// Payload is Data serialised. Set it instead of Data when the bytes are at hand.
	Payload []byte
	// Sequence is the position in the publisher's outbox; 0 before publishing.
	Sequence int64
	// StreamSequence is the position in the stream; 0 unless the event was received.
	StreamSequence uint64
}

// Unmarshal reads the payload into m.
func (e Event) Unmarshal(m proto.Message) error {
	if err := proto.Unmarshal(e.Payload, m); err != nil {
		return fmt.Errorf("payload of %s %s %s is not a %s: %w", e.Type, e.Connection, e.Key, m.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}

// CausedBy returns e as an answer to cause: of the same run and trace, and naming it.
func (e Event) CausedBy(cause Event) Event {
	e.Run, e.Cause, e.TraceParent = cause.Run, cause.ID, cause.TraceParent
	return e
}

// payload returns the bytes to send.
func (e Event) payload() ([]byte, error) {
	if e.Data == nil {
		return e.Payload, nil
	}
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(e.Data)
	if err != nil {
		return nil, fmt.Errorf("serialise %s %s %s: %w", e.Type, e.Connection, e.Key, err)
	}
	return b, nil
}

// NewRevision returns the revision of a change made now to an entity whose revision is old (0 for
// a new one): the time in microseconds, yet always more than old. Because of the time, an entity
// of a database restored from a backup does not repeat revisions that the bus has already seen.
// The same in SQL: greatest(old + 1, (extract(epoch from clock_timestamp()) * 1e6)::bigint).
func NewRevision(old int64, now time.Time) int64 {
	return max(old+1, now.UnixMicro())
}
