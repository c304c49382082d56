package mapper

import (
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// choice is what a person decided about one subscription: RESOLVED assigns it to a client,
// UNRESOLVED excludes it from billing.
type choice struct {
	State      subscriptionv1.State
	ClientID   int64
	ClientName string
	// Reason of an exclusion; of an assignment, why it cannot be followed at present.
	Reason string
	Who    string
}

// resolution says which Halo customer a subscription is billed to, or why to none.
type resolution struct {
	State      subscriptionv1.State
	ClientID   int64
	ClientName string
	Code, Text string
}

// resolve finds the client of a subscription. A removed one keeps the client it had or would have,
// so that whoever takes it out of Halo knows where to look.
func resolve(c choice, m mapping, removed bool) resolution {
	var r resolution
	switch {
	case c.State == subscriptionv1.State_STATE_UNRESOLVED:
		r = resolution{State: subscriptionv1.State_STATE_UNRESOLVED, Code: "excluded", Text: "excluded: " + c.Reason}
	case c.State == subscriptionv1.State_STATE_RESOLVED && c.Reason != "" && !removed:
		r = resolution{State: subscriptionv1.State_STATE_UNRESOLVED, Code: reasonInactive, Text: c.Reason}
	case c.State == subscriptionv1.State_STATE_RESOLVED:
		r = resolution{State: subscriptionv1.State_STATE_RESOLVED, ClientID: c.ClientID, ClientName: c.ClientName}
	case m.astray() && !removed:
		r = resolution{State: subscriptionv1.State_STATE_UNRESOLVED, Code: m.Code, Text: "Its customer is to be remapped. " + m.Text}
	case m.State == mappingv1.State_STATE_MAPPED:
		r = resolution{State: subscriptionv1.State_STATE_RESOLVED, ClientID: m.ClientID, ClientName: m.ClientName}
	case m.State == mappingv1.State_STATE_CREATING:
		r = resolution{State: subscriptionv1.State_STATE_CLIENT_PENDING, Code: "client_pending", Text: "Its customer is to be created in Halo first."}
	case m.State == mappingv1.State_STATE_IGNORED:
		r = resolution{State: subscriptionv1.State_STATE_UNRESOLVED, Code: reasonIgnored, Text: "Its customer is ignored: " + m.Text}
	default:
		r = resolution{State: subscriptionv1.State_STATE_UNRESOLVED, Code: reasonNotMapped, Text: "Its customer is not mapped to one of Halo. " + m.Text}
	}
	if removed {
		r.State, r.Code, r.Text = subscriptionv1.State_STATE_REMOVED, "", ""
	}
	return r
}

// verb is the type of the event that carries r.
func (r resolution) verb() string {
	switch r.State {
	case subscriptionv1.State_STATE_RESOLVED, subscriptionv1.State_STATE_CLIENT_PENDING:
		return "seatline.subscription.resolved.v1"
	case subscriptionv1.State_STATE_REMOVED:
		return "seatline.subscription.removed.v1"
	}
	return "seatline.subscription.unresolved.v1"
}

// proto is the subscription as other services and people see it.
func (s subscription) proto(g *giacomv1.Subscription) *subscriptionv1.Subscription {
	p := &subscriptionv1.Subscription{
		Connection: s.Connection, Key: s.Key, Giacom: g, State: s.Now.State,
		HaloClientId: s.Now.ClientID, HaloClientName: s.Now.ClientName,
		Assigned: s.Choice.State == subscriptionv1.State_STATE_RESOLVED, UpdateTime: timestamppb.New(s.Updated),
	}
	if s.Now.Code != "" {
		p.Reason = &itemv1.Reason{Code: s.Now.Code, Text: s.Now.Text}
	}
	if c := s.Choice; c.State != 0 {
		p.Decision = &subscriptionv1.Decision{State: c.State, HaloClientId: c.ClientID, HaloClientName: c.ClientName, Reason: c.Reason, Who: c.Who}
	}
	return p
}
