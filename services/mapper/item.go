package mapper

import (
	"cmp"
	"fmt"
	"strconv"

	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/reconcile"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// source of the events of this service.
const source = "seatline/mapper"

// Fields of a customer in Halo that are ours. Every mapping is an item of the reconcile engine; most
// want nothing of Halo, and then all fields are empty.
type Fields struct {
	// Create a customer, with TopLevelID (0 for Halo's default) and Name.
	Create     bool  `json:"create,omitempty"`
	TopLevelID int64 `json:"top_level_id,omitempty"`
	// ClientID is the customer that Name is to be given to, or that was created.
	ClientID int64  `json:"client_id,omitempty"`
	Name     string `json:"name,omitempty"`
}

// diff lists what would change in Halo. Who created a customer needs nothing more: where its people
// put it later is their choice.
func diff(before, after *Fields) []reconcile.Field {
	if before == nil {
		before = &Fields{}
	}
	switch {
	case after == nil:
		return nil
	case after.Create && before.ClientID == 0:
		d := []reconcile.Field{{Name: "name", After: after.Name}}
		if after.TopLevelID != 0 {
			d = append(d, reconcile.Field{Name: "top_level_id", After: strconv.FormatInt(after.TopLevelID, 10)})
		}
		return d
	case after.Create, after.Name == "":
		return nil
	case before.ClientID != after.ClientID || before.Name != after.Name:
		return []reconcile.Field{{Name: "name", Before: before.Name, After: after.Name}}
	}
	return nil
}

func action(x reconcile.Item[Fields]) string {
	switch {
	case x.Desired == nil || len(diff(x.Applied, x.Desired)) == 0:
		return "none"
	case x.Desired.Create:
		return "create"
	}
	return "update"
}

// wants says what Halo should hold of these customers.
func wants(customers []record, s settings, permit connections.Permit, known picture) []reconcile.Want[Fields] {
	var out []reconcile.Want[Fields]
	for _, c := range customers {
		if c.Now.State == 0 {
			continue // Nobody has looked yet.
		}
		w := reconcile.Want[Fields]{
			Connection: c.Connection, Key: c.MexID, Instance: s.Instance, Verdict: reconcile.Go(), Mode: permit.Mode(c.Now.ClientID, c.MexID),
			Facts: c.facts(), Title: cmp.Or(c.Name, c.MexID), Customer: cmp.Or(c.Name, c.MexID),
			Run: c.Run, Cause: c.Cause, Trace: c.Trace, Who: c.Decision.Who,
		}
		switch {
		case !c.live():
			w.Verdict.Reason = reconcile.Reason{Code: "gone", Text: "Giacom has this customer no longer."}
		case c.Now.State == mappingv1.State_STATE_CREATING:
			w.Desired = &Fields{Create: true, Name: c.Name, TopLevelID: s.TopLevelID}
		case c.Now.State == mappingv1.State_STATE_UNMAPPED, c.Now.astray():
			w.Desired, w.Verdict = &Fields{}, reconcile.Hold(c.Now.Code, c.Now.Text)
		case c.Now.follows(s) && c.Name != "":
			w.Desired = &Fields{ClientID: c.Now.ClientID, Name: c.Name}
			if there, ok := known.clients[c.Now.ClientID]; ok {
				w.HaloID, w.Applied = there.ID, &Fields{ClientID: there.ID, Name: there.Name}
			}
		default:
			w.Desired = &Fields{}
		}
		out = append(out, w)
	}
	return out
}

// facts is the mapping as the events carry it, except for what the engine adds.
func (c record) facts() []byte {
	p := c.proto()
	p.Subscriptions, p.UpdateTime, p.Etag = 0, nil, "" // Not of the mapping's own making.
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(p)
	if err != nil {
		panic(fmt.Sprintf("mapping %s/%s: %v", c.Connection, c.MexID, err)) // Text that is not UTF-8, which Postgres does not store.
	}
	return b
}

// proto is the mapping as people see it; the status is the engine's.
func (c record) proto() *mappingv1.Mapping {
	m := &mappingv1.Mapping{
		Connection: c.Connection, MexId: c.MexID, GiacomName: c.Name, State: c.Now.State, HaloClientId: c.Now.ClientID,
		HaloClientName: c.Now.ClientName, Origin: c.Now.Origin, Subscriptions: c.Subscriptions,
		UpdateTime: timestamppb.New(c.Updated), Etag: c.etag(), Who: c.Decision.Who,
	}
	if c.Now.Code != "" {
		m.Reason = &itemv1.Reason{Code: c.Now.Code, Text: c.Now.Text}
	}
	if d := c.Decision; d.State != 0 {
		m.Decision = &mappingv1.Decision{State: d.State, HaloClientId: d.ClientID, Origin: d.Origin, Reason: d.Reason}
	}
	return m
}

// etag of the mapping as it is now.
func (c record) etag() string { return strconv.FormatInt(c.Version, 10) }

// mappingEvent makes the event of a mapping from its item.
func mappingEvent(x reconcile.Item[Fields]) (event.Event, error) {
	var m mappingv1.Mapping
	if err := proto.Unmarshal(x.Facts, &m); err != nil {
		return event.Event{}, err
	}
	m.Status, m.UpdateTime = x.Status(), timestamppb.New(x.Updated)
	e := event.Event{Entity: "mapping", Data: &m, Type: "seatline.customer.unmapped.v1"}
	switch m.State {
	case mappingv1.State_STATE_MAPPED, mappingv1.State_STATE_CREATING:
		e.Type = "seatline.customer.mapped.v1"
	case mappingv1.State_STATE_IGNORED:
		e.Type = "seatline.customer.ignored.v1"
	}
	if x.State == reconcile.Retired {
		e.Type = "seatline.customer.unmapped.v1"
	}
	return e, nil
}
