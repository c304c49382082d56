package halosim

import (
	"encoding/json"
	"net/http"
	"time"
)

// serveAdmin answers the simulator's own routes, which want no token: serve a simulator on loopback only.
//
//	GET    /_sim/faults    the faults that are on with how often they struck, and all there are
//	POST   /_sim/faults    a Fault, or a list of them, to switch on
//	DELETE /_sim/faults    switch off ?name=, or all
//	GET    /_sim/requests  requests by method and route; DELETE begins anew
//	GET    /_sim/state     everything; PUT replaces it
//	POST   /_sim/process   creates the invoices due by ?date= (2006-01-02), and returns them
//	POST   /_sim/expire    ends all tokens
func (s *Sim) serveAdmin(w http.ResponseWriter, r *http.Request) {
	var err error
	switch r.Method + " " + r.URL.Path {
	case "GET /_sim/faults":
		writeJSON(w, http.StatusOK, map[string]any{"on": s.On(), "known": Faults})
		return
	case "POST /_sim/faults":
		var faults []Fault
		if faults, err = oneOrMany[Fault](r); err == nil {
			for _, f := range faults {
				if err = s.Inject(f); err != nil {
					break
				}
			}
		}
	case "DELETE /_sim/faults":
		s.Clear(r.URL.Query().Get("name"))
	case "GET /_sim/requests":
		writeJSON(w, http.StatusOK, s.Requests())
		return
	case "DELETE /_sim/requests":
		s.ResetRequests()
	case "GET /_sim/state":
		writeJSON(w, http.StatusOK, s.State())
		return
	case "PUT /_sim/state":
		var state State
		if err = json.NewDecoder(r.Body).Decode(&state); err == nil {
			s.Set(state)
		}
	case "POST /_sim/process", "GET /_sim/process":
		var date time.Time
		if date, err = time.Parse("2006-01-02", r.URL.Query().Get("date")); err == nil {
			made := s.Process(date)
			if made == nil {
				made = []Billed{}
			}
			writeJSON(w, http.StatusOK, made)
			return
		}
	case "POST /_sim/expire":
		s.ExpireTokens()
	default:
		writeJSON(w, http.StatusNotFound, map[string]string{"message": "no such route of the simulator"})
		return
	}
	if err != nil {
		writeJSON(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func oneOrMany[T any](r *http.Request) ([]T, error) {
	var body json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		return nil, err
	}
	var many []T
	if json.Unmarshal(body, &many) == nil {
		return many, nil
	}
	many = make([]T, 1)
	return many, json.Unmarshal(body, &many[0])
}
