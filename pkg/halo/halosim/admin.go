package halosim

import (
	"encoding/json"
	"net/http"
	"time"

	"seatline.dev/pkg/simulator"
)

// admin are the routes of this simulator, beside those that all have:
//
//	GET  /_sim/state    everything; PUT replaces it
//	POST /_sim/process  creates the invoices due by ?date= (2006-01-02), and returns them
//	POST /_sim/expire   ends all tokens
//	GET  /_sim/journal  the last writes, by whom, and whether they changed anything, where the configuration asks for it
func (s *Sim) admin() map[string]simulator.Route {
	process := func(r *http.Request) (any, error) {
		date, err := time.Parse("2006-01-02", r.URL.Query().Get("date"))
		if err != nil {
			return nil, err
		}
		return append([]Billed{}, s.Process(date)...), nil
	}
	return map[string]simulator.Route{
		"GET /_sim/journal": func(*http.Request) (any, error) { return append([]Entry{}, s.Journal()...), nil },
		"GET /_sim/state":   func(*http.Request) (any, error) { return s.State(), nil },
		"PUT /_sim/state": func(r *http.Request) (any, error) {
			var state State
			if err := json.NewDecoder(r.Body).Decode(&state); err != nil {
				return nil, err
			}
			s.Set(state)
			return nil, nil
		},
		"POST /_sim/process": process,
		"GET /_sim/process":  process,
		"POST /_sim/expire":  func(*http.Request) (any, error) { s.ExpireTokens(); return nil, nil },
	}
}
