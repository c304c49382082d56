package halosim

import (
	"net/http"
	"slices"

	"seatline.dev/pkg/simulator"
)

// serveDelete deletes an object that nothing needs.
func (s *Sim) serveDelete(w http.ResponseWriter, q request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !q.hasID || s.detail(q) == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	inUse := func(what string) {
		simulator.WriteJSON(w, http.StatusBadRequest, what+" is in use. Please mark it as inactive.")
	}
	switch q.name {
	case "/Client":
		if slices.ContainsFunc(s.licences.rows, func(l *Licence) bool { return l.ClientID == q.id }) ||
			slices.ContainsFunc(s.invoices.rows, func(i *Invoice) bool { return i.ClientID == q.id }) {
			inUse("Customer '" + s.clientName(q.id) + "'")
			return
		}
		s.clients.drop(q.id)
	case "/SoftwareLicence":
		for id := range s.linked[q.id] {
			if inv, ok := s.invoices.byID[id]; ok && inv.links(q.id) {
				inUse("Subscription '" + s.licences.byID[q.id].Name + "'")
				return
			}
		}
		s.licences.drop(q.id)
	case "/RecurringInvoice":
		s.invoices.drop(q.id)
	case "/ExternalLink":
		s.links.drop(q.id)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	w.WriteHeader(http.StatusOK)
}

func (o Invoice) links(licence int64) bool {
	return slices.ContainsFunc(o.Lines, func(l Line) bool {
		return slices.ContainsFunc(slices.Concat(l.Subscriptions, l.Licences), func(r QuantityRow) bool { return r.LicenceID == licence })
	})
}
