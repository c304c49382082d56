// Package event is what crosses the bus: the wire form of an event, publishing through an outbox
// in the caller's own transaction, and consuming in batches.
//
// An event carries the full state of one entity, not a delta. Its subject names the entity, the
// state stream keeps one message per subject, and so the stream is at any moment a complete picture:
// a new subscriber reads everything there is and then follows.
//
//	owner's tx ── Publish ──> outbox ── Relay ──> JetStream ── Consume ──> consumer's tx
//	                 └──────> history
//
// The tables are the record and the stream is a view of it. Three rules make that hold without
// any exactly-once machinery:
//
//   - An entity's revision only grows (NewRevision), so a consumer that writes
//     "... where excluded.revision > current.revision" is unharmed by duplicates and reordering.
//   - The outbox row and the state row are written in one transaction, and a row leaves the outbox
//     only after the stream has acknowledged it.
//   - Whatever is lost or torn on the bus is rebuilt from the history table: when the stream is
//     found to be another one than before, on demand (Republish), and by a slow comparison of the
//     two (Relay.CheckEvery).
//
// Every service keeps the tables of this package (Schema) in its own Postgres schema.
package event
