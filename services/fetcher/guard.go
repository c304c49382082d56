package fetcher

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"seatline.dev/pkg/giacom"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// rules are a connection's guards with their defaults filled in.
type rules struct {
	confirmations   int32
	interval        time.Duration
	maxRemovals     int64
	maxPercent      float64
	allowWholeGoing bool
}

func rulesOf(c *connectionv1.Connection) rules {
	g := c.GetGuards()
	r := rules{
		confirmations: 2, interval: time.Hour, maxRemovals: 3, maxPercent: 2, allowWholeGoing: g.GetAllowCustomerRemoval(),
	}
	if n := g.GetRemovalConfirmations(); n > 0 {
		r.confirmations = n
	}
	if g.GetRemovalInterval() != nil { // zero is a setting of its own
		r.interval = max(g.GetRemovalInterval().AsDuration(), 0)
	}
	if n := g.GetMaxRemovals(); n > 0 {
		r.maxRemovals = int64(n)
	}
	if p := g.GetMaxRemovalPercent(); p > 0 {
		r.maxPercent = p
	}
	return r
}

// shrinkage is what a run would take away.
type shrinkage struct {
	// live subscriptions before the run; ended are those of them that it removes, by absence or by their status.
	live, ended int64
	// gone customers had live subscriptions, of which absence leaves none; goneNames are a few of them.
	gone      int64
	goneNames []string
}

// hold decides whether a run must wait for a person before anything of it is published; nil to go on. A status that says
// Cancelled is Giacom's own word, so a whole customer going that way is held only by the number of its subscriptions.
func (r rules) hold(s shrinkage) *itemv1.Reason {
	const way = " Look at Giacom; release the run if that is right, reject it if not."
	if s.ended > r.maxRemovals && float64(s.ended)*100 > r.maxPercent*float64(s.live) {
		return &itemv1.Reason{Code: "too_many_removals", Text: fmt.Sprintf(
			"%d of %d subscriptions would be removed, more than %d and than %g %%.%s", s.ended, s.live, r.maxRemovals, r.maxPercent, way)}
	}
	if s.gone > 0 && !r.allowWholeGoing {
		names := strings.Join(s.goneNames, ", ")
		if more := s.gone - int64(len(s.goneNames)); more > 0 {
			names += fmt.Sprintf(" and %d more", more)
		}
		return &itemv1.Reason{Code: "customer_vanished", Text: fmt.Sprintf(
			"every subscription of %s is missing from Giacom.%s", names, way)}
	}
	return nil
}

// concluded is the outcome of a run of which everything was published.
func concluded(want giacom.Want, r giacom.Result) (outcome runv1.Outcome, complete bool, why *itemv1.Reason) {
	for _, p := range []struct {
		wanted bool
		what   string
		pull   giacom.Pull
	}{{want.Subscriptions, "subscriptions", r.Subscriptions}, {want.Customers, "customers", r.Customers}} {
		if p.wanted && !p.pull.Complete {
			return runv1.Outcome_OUTCOME_INCOMPLETE, false, &itemv1.Reason{Code: "incomplete_pull", Text: fmt.Sprintf(
				"not all %s could be read, so nothing counts as missing: %s", p.what, p.pull.Reason)}
		}
	}
	return runv1.Outcome_OUTCOME_SUCCEEDED, true, nil
}

// failure turns an error into the reason of a failed run.
func failure(err error) *itemv1.Reason {
	var e *giacom.Error
	if errors.As(err, &e) {
		return &itemv1.Reason{Code: "giacom_" + string(e.Class), Text: e.Error()}
	}
	var r *reasonError
	if errors.As(err, &r) {
		return &itemv1.Reason{Code: r.code, Text: r.Error()}
	}
	return &itemv1.Reason{Code: "internal", Text: err.Error() + "; the next run tries again"}
}

// reasonError is an error with a code for the run's reason.
type reasonError struct {
	code string
	text string
	err  error
}

func (e *reasonError) Error() string {
	if e.err == nil {
		return e.text
	}
	return fmt.Sprintf("%s: %v", e.text, e.err)
}

func (e *reasonError) Unwrap() error { return e.err }
