package billing

import "seatline.dev/pkg/reconcile"

// sparing holds the lines that would change although they are not only the canary customers' business:
// a line is when everything that it bills belongs to one of them, whoever is invoiced.
func sparing(decisions []Decision, s *Snapshot, b Book) []Decision {
	licences := make(map[ItemKey]*Licence, len(s.Licences))
	for i := range s.Licences {
		licences[ItemKey{s.Licences[i].Connection, s.Licences[i].Key}] = &s.Licences[i]
	}
	for i := range decisions {
		d := &decisions[i]
		if d.Applied != nil && len(diff(d.Applied, &d.Desired)) == 0 {
			continue
		}
		permit := b.Settings[d.Connection].Permit
		for _, key := range d.Facts.Licences {
			l := licences[ItemKey{d.Connection, key}]
			if l == nil {
				l = &Licence{ClientID: d.Facts.Client}
			}
			if permit.Mode(l.ClientID, l.MexID) == reconcile.Spared {
				d.first(reconcile.Verdict{State: reconcile.Held, Reason: reconcile.ReasonCanary})
			}
		}
	}
	return decisions
}
