package simulator

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// Prefix of the paths that a simulator answers with Admin.
const Prefix = "/_sim/"

// Route is an admin route of one simulator. A nil answer is told as 204, an error as 400.
type Route func(r *http.Request) (answer any, err error)

// Admin answers a simulator's own routes, which want neither key nor token: serve a simulator on loopback only. own are
// the simulator's, by method and path; all have
//
//	GET    /_sim/faults    the faults that are on with how often they struck, and all there are
//	POST   /_sim/faults    a Fault, or a list of them, to switch on
//	DELETE /_sim/faults    switch off ?name=, or all
//	GET    /_sim/requests  requests by route; DELETE begins anew
//	GET    /_sim/agents    requests by User-Agent (without its version) and route
func (r *Rig) Admin(w http.ResponseWriter, req *http.Request, own map[string]Route) {
	var answer any
	var err error
	switch route := req.Method + " " + req.URL.Path; route {
	case "GET /_sim/faults":
		answer = map[string]any{"on": r.On(), "known": r.known}
	case "POST /_sim/faults":
		err = Each(req, r.Inject)
	case "DELETE /_sim/faults":
		r.Clear(req.URL.Query().Get("name"))
	case "GET /_sim/requests":
		answer = r.Requests()
	case "GET /_sim/agents":
		answer = r.RequestsBy()
	case "DELETE /_sim/requests":
		r.ResetRequests()
	default:
		do, ok := own[route]
		if !ok {
			WriteJSON(w, http.StatusNotFound, map[string]string{"message": "no such route of the simulator"})
			return
		}
		answer, err = do(req)
	}
	switch {
	case err != nil:
		WriteJSON(w, http.StatusBadRequest, map[string]string{"message": err.Error()})
	case answer == nil:
		w.WriteHeader(http.StatusNoContent)
	default:
		WriteJSON(w, http.StatusOK, answer)
	}
}

// Each decodes one T or a list of them from the body, and does each.
func Each[T any](r *http.Request, do func(T) error) error {
	var raw json.RawMessage
	if err := json.NewDecoder(r.Body).Decode(&raw); err != nil {
		return fmt.Errorf("body: %w", err)
	}
	var list []T
	if json.Unmarshal(raw, &list) != nil {
		list = make([]T, 1)
		if err := json.Unmarshal(raw, &list[0]); err != nil {
			return fmt.Errorf("body: %w", err)
		}
	}
	for _, v := range list {
		if err := do(v); err != nil {
			return err
		}
	}
	return nil
}

// WriteJSON answers with v.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone
}
