// Package simulator is what the simulators of Giacom and Halo are controlled with: faults that are switched on by name,
// counts of the requests so far, and routes of their own to do so from outside.
package simulator

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// Fault is one fault that is switched on.
type Fault struct {
	Name string `json:"name"`
	// Method and Route it strikes, as Strike is told them; all when empty, but for the token route, which is struck only
	// when named.
	Method string `json:"method,omitempty"`
	Route  string `json:"route,omitempty"`
	// Rate strikes that share of the requests, chosen by the seed; 0 means every one.
	Rate float64 `json:"rate,omitempty"`
	// Nth strikes only the N-th request from now on that Method and Route fit.
	Nth int `json:"nth,omitempty"`
	// Skip lets that many pass first; Times ends it after so many strikes, 0 means until cleared.
	Skip  int `json:"skip,omitempty"`
	Times int `json:"times,omitempty"`
	// Delay of the faults that wait.
	Delay time.Duration `json:"delay,omitempty"`
	// RetryAfter in seconds, of the faults that tell one.
	RetryAfter int `json:"retryAfter,omitempty"`
	// Value of the faults that say so.
	Value int `json:"value,omitempty"`
	// Match names a row, for the faults that say so.
	Match string `json:"match,omitempty"`
}

// Rig is the controls of one simulator. It is safe for use by several goroutines.
type Rig struct {
	known      map[string]string
	tokenRoute string

	mu       sync.Mutex
	faults   []*fault
	random   *rand.Rand
	requests map[string]int
	agents   map[string]map[string]int
}

type fault struct {
	Fault
	seen, struck int
}

// NewRig returns controls with no fault on. known are all faults by name, with what each does; random decides about those
// that come at a rate.
func NewRig(known map[string]string, tokenRoute string, random rand.Source) *Rig {
	return &Rig{known: known, tokenRoute: tokenRoute, random: rand.New(random), requests: map[string]int{}, agents: map[string]map[string]int{}}
}

// Inject switches a fault on, beside those that are on.
func (r *Rig) Inject(f Fault) error {
	if r.known[f.Name] == "" {
		return fmt.Errorf("no fault is called %q", f.Name)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = append(r.faults, &fault{Fault: f})
	return nil
}

// Clear switches off the fault of that name, or all when it is empty.
func (r *Rig) Clear(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = slices.DeleteFunc(r.faults, func(f *fault) bool { return name == "" || f.Name == name })
}

// On lists the faults that are switched on, with how often each struck.
func (r *Rig) On() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	on := map[string]int{}
	for _, f := range r.faults {
		on[f.Name] += f.struck
	}
	return on
}

// Struck are the faults that strike one request.
type Struck []Fault

// Strike decides which faults strike a request.
func (r *Rig) Strike(method, route string) Struck {
	r.mu.Lock()
	defer r.mu.Unlock()
	var now Struck
	for _, f := range r.faults {
		if f.Method != "" && f.Method != method || f.Route != "" && !strings.EqualFold(f.Route, route) || f.Route == "" && route == r.tokenRoute {
			continue
		}
		f.seen++
		switch {
		case f.Nth > 0 && f.seen != f.Nth, f.seen <= f.Skip, f.Times > 0 && f.struck >= f.Times:
			continue
		case f.Rate > 0 && r.random.Float64() >= f.Rate:
			continue
		}
		f.struck++
		now = append(now, f.Fault)
	}
	return now
}

// Find is the fault of that name, if it strikes.
func (s Struck) Find(name string) (Fault, bool) {
	i := slices.IndexFunc(s, func(f Fault) bool { return f.Name == name })
	if i < 0 {
		return Fault{}, false
	}
	return s[i], true
}

// Has tells whether the fault of that name strikes.
func (s Struck) Has(name string) bool { _, ok := s.Find(name); return ok }

// Count counts a request by its route, and by who asked: the User-Agent without its version.
func (r *Rig) Count(route, userAgent string) {
	agent, _, _ := strings.Cut(userAgent, "/")
	r.mu.Lock()
	defer r.mu.Unlock()
	r.requests[route]++
	if r.agents[agent] == nil {
		r.agents[agent] = map[string]int{}
	}
	r.agents[agent][route]++
}

// Requests counts the API requests so far, by route as the simulator names them.
func (r *Rig) Requests() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.requests)
}

// RequestsBy is Requests of each program that asked: "seatline-licence" and the like.
func (r *Rig) RequestsBy() map[string]map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	by := make(map[string]map[string]int, len(r.agents))
	for agent, requests := range r.agents {
		by[agent] = maps.Clone(requests)
	}
	return by
}

// ResetRequests begins counting anew.
func (r *Rig) ResetRequests() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.requests)
	clear(r.agents)
}
