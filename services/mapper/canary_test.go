package mapper

import (
	"testing"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
)

// Only the canary's customers are created; the others wait, and come when the canary goes.
func TestCanaryCustomers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{})
	w.conn.Customers.Create = true
	w.conn.Canary = &connectionv1.Canary{MexIds: []string{"a"}}
	w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"), customerEvent("B", "Bolt"))
	eventtest.Eventually(t, "the canary's customer to be created", func() bool { return w.clients()["Acme"] == 1 })
	w.settle()
	if w.clients()["Bolt"] != 0 {
		t.Error("a customer that is no canary was created")
	}
	if s := w.mapping("B").GetStatus(); s.GetState() != itemv1.State_STATE_HELD || s.GetReason().GetCode() != "canary" {
		t.Errorf("the other is %v", s)
	}
	w.conn.Canary = nil
	w.connect()
	eventtest.Eventually(t, "the other to be created", func() bool { return w.clients()["Bolt"] == 1 })
}

// A customer that waits to be created is not created any more once its connection is deleted.
func TestNothingIsCreatedForADeletedConnection(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{})
	if err := w.sim.Inject(halosim.Fault{Name: "unauthorised", Method: "POST", Route: "/Client"}); err != nil {
		t.Fatal(err)
	}
	w.conn.Customers.Create = true
	w.start()
	w.connect()
	w.send(customerEvent("A", "Acme"))
	state := func() itemv1.State { return w.mapping("A").GetStatus().GetState() }
	eventtest.Eventually(t, "the customer to be tried", func() bool { return w.sim.Requests()["POST /Client"] > 0 })
	eventtest.Eventually(t, "that to be told", func() bool { _, ok := eventtest.State(t, w.bus, "mapping")["demo/A"]; return ok })
	w.conn.Enabled, w.conn.Deleted = false, true
	w.send(event.Event{Type: "seatline.connection.deleted.v1", Entity: "connection", Connection: "demo", Key: "demo", Data: w.conn})
	eventtest.Eventually(t, "the customer to be held", func() bool { return state() == itemv1.State_STATE_HELD })
}
