package connections

import (
	"strings"

	"seatline.dev/pkg/reconcile"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// Permit says what of a connection may be written to Halo. Two that were made of equal settings are
// equal to reflect.DeepEqual.
type Permit struct {
	auto    bool
	limited bool // to the canary's customers
	clients map[int64]bool
	mexIDs  map[string]bool
}

// PermitOf reads it from a connection's settings. Whatever is not clearly allowed to write only observes.
func PermitOf(c *connectionv1.Connection) Permit {
	p := Permit{auto: c.GetMode() == connectionv1.Mode_MODE_AUTO && c.GetEnabled() && !c.GetDeleted(), limited: c.Canary != nil}
	if !p.limited {
		return p
	}
	p.clients, p.mexIDs = map[int64]bool{}, map[string]bool{}
	for _, id := range c.GetCanary().GetHaloClientIds() {
		p.clients[id] = true
	}
	for _, id := range c.GetCanary().GetMexIds() {
		p.mexIDs[strings.ToUpper(strings.TrimSpace(id))] = true
	}
	return p
}

// Mode of an item that concerns a customer: Halo's id of it, 0 for none, and Giacom's, empty for none.
func (p Permit) Mode(clientID int64, mexID string) reconcile.Mode {
	switch {
	case !p.auto:
		return reconcile.Observe
	case p.limited && !(clientID != 0 && p.clients[clientID]) && !p.mexIDs[strings.ToUpper(strings.TrimSpace(mexID))]:
		return reconcile.Spared
	}
	return reconcile.Auto
}

// Widest is the mode of the item that may most: Auto as soon as anything at all may be written.
func (p Permit) Widest() reconcile.Mode {
	if !p.auto {
		return reconcile.Observe
	}
	return reconcile.Auto
}
