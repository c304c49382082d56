package giacom

import "strings"

// Status is what a status word means.
type Status int

const (
	StatusNone Status = iota // the feed has no status
	StatusActive
	StatusSuspended
	StatusCancelled
	StatusDeleted
	StatusPending
	StatusExpired
	StatusDisabled
	StatusUnknown
)

// ReadStatus reads a status word: those of the report [F-1, G], of Microsoft [F] and of TMF [G].
func ReadStatus(word string) Status {
	switch fold(word) {
	case "":
		return StatusNone
	case "active":
		return StatusActive
	case "suspended":
		return StatusSuspended
	case "cancelled", "canceled", "terminated":
		return StatusCancelled
	case "deleted":
		return StatusDeleted
	case "pending", "pendingactive", "feasibilitychecked", "designed", "reserved":
		return StatusPending
	case "expired":
		return StatusExpired
	case "disabled", "inactive":
		return StatusDisabled
	}
	return StatusUnknown
}

// Cycle is how often Giacom bills.
type Cycle int

const (
	CycleNone Cycle = iota // the feed does not say
	CycleMonthly
	CycleAnnual
	CycleTriennial
	CycleOneTime
	CycleUnknown
)

// ReadCycle reads a billing frequency.
func ReadCycle(word string) Cycle {
	switch fold(word) {
	case "":
		return CycleNone
	case "monthly", "month", "p1m", "1month":
		return CycleMonthly
	case "annual", "annually", "yearly", "year", "p1y", "1year":
		return CycleAnnual
	case "triennial", "triennially", "p3y", "3year", "3years", "3yearly":
		return CycleTriennial
	case "onetime", "oneoff", "once":
		return CycleOneTime
	}
	return CycleUnknown
}

// Term is how long the seats are committed.
type Term int

const (
	TermNone Term = iota // the feed does not say
	TermMonthly
	TermAnnual
	TermTriennial
	TermUnknown
)

// ReadTerm reads a term: "Annual" [F-1], "P1Y" [F], "1 Year" [G].
func ReadTerm(word string) Term {
	switch fold(word) {
	case "":
		return TermNone
	case "monthly", "month", "p1m", "1month":
		return TermMonthly
	case "annual", "annually", "yearly", "year", "p1y", "1year", "p12m", "12months":
		return TermAnnual
	case "triennial", "p3y", "3year", "3years", "p36m", "36months":
		return TermTriennial
	}
	return TermUnknown
}

// fold drops case, spaces, hyphens and underscores, so that "One-Time", "one time" and "OneTime" are one word.
func fold(word string) string {
	return strings.Map(func(r rune) rune {
		switch r {
		case ' ', '-', '_', '\t', '\u00a0':
			return -1
		}
		return r
	}, strings.ToLower(strings.TrimSpace(word)))
}
