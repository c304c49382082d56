package reconcile

import (
	"time"

	"github.com/shopspring/decimal"
)

// State of an item. The numbers are those of seatline.item.v1.State.
type State int16

const (
	InSync   State = 1 // Halo holds what it should
	Pending  State = 2 // a difference to be written
	Applying State = 3 // a write is under way, or its outcome is unclear; people are told of the latter only, see public
	Parked   State = 4 // waits for something named
	Held     State = 5 // waits for a person
	Failed   State = 6 // Halo said no
	Retired  State = 7 // nothing is wanted any more
)

// Mode of a connection.
type Mode int

const (
	Observe Mode = iota // every difference is held; nothing is written
	Auto                // differences are written
	Spared              // differences are written, but not yet those of this item's customer: it is no canary
)

// Reason says why an item is in its state: a code for programs, a sentence with the way out for people.
type Reason struct {
	Code string
	Text string
}

// ReasonObserve is why a difference is held while the connection only observes, and ReasonCanary while
// it writes only what concerns its canary customers.
var (
	ReasonObserve = Reason{"observe", "The connection observes: nothing is written until its mode is auto."}
	ReasonCanary  = Reason{"canary", "Only the connection's canary customers are written, and this is none of them. Add it to the canary, or take the canary away to have everything written."}
)

// OnlyShown tells whether an item is held for no other reason than that its connection does not write
// it yet: it is in the plan, what follows from it is planned too, and nobody need decide about it.
func (r Reason) OnlyShown() bool { return r.Code == ReasonObserve.Code || r.Code == ReasonCanary.Code }

// Verdict is what the rules say about a difference: go ahead, park it or hold it.
type Verdict struct {
	State  State // Pending (go ahead), Parked or Held
	Reason Reason
}

// Go lets a difference through.
func Go() Verdict { return Verdict{State: Pending} }

// Park makes an item wait for something that an event will bring.
func Park(code, text string) Verdict { return Verdict{Parked, Reason{code, text}} }

// reasonDoubt is why an item that somebody may have created waits.
var reasonDoubt = Reason{"create_unclear", "It may have been created just before the database was restored; it is looked for before anything else is done."}

// Hold makes an item wait for a person.
func Hold(code, text string) Verdict { return Verdict{Held, Reason{code, text}} }

// Field is one field that differs, in words for people.
type Field struct {
	Name   string `json:"f"`
	Before string `json:"b"`
	After  string `json:"a"`
}

// Item is one object of Halo, as this service knows it. D holds the fields that are ours.
type Item[D any] struct {
	Connection string
	Key        string
	Instance   string // Halo host and tenant
	Group      string // one writer per (Instance, Group); empty for none
	Revision   int64  // of the event that says so

	Desired *D       // nil: nothing is wanted
	Applied *D       // what Halo holds by all we know: written by us, or seen there since; nil: nothing
	Drifted []string // fields in which Halo was last seen to hold something else than what was written
	HaloID  int64

	State    State
	Reason   Reason
	Sticky   bool      // set by an outcome: stays until desired changes or a person decides
	Unclear  bool      // a call may have landed
	Intent   *D        // what that call set out to write, for Apply to look for; nil where nothing is unclear
	Claim    string    // whose it is while a write is under way
	Since    time.Time // when the present claim, or the one that is unclear, was made
	Attempts int

	Facts    []byte // what the domain wants carried along, for its events and its applier
	Title    string
	Customer string
	Follows  bool // in the plan for its money though nothing is written

	// Per month ex VAT; nil when not known.
	MonthlyBefore, MonthlyAfter *decimal.Decimal
	Currency                    string

	Run, Cause, Trace, Who string
	Priority               int16 // lower goes first
	Updated                time.Time

	readyAt  time.Time // zero: never by itself
	existed  bool
	previous State
}

// public is the state that everybody is told, in lists, counts, events and by itself. A claim is written to a table of its own
// only, so what is being written is pending until it has been, for whoever reads the items and for whoever knows of the claim.
func (x Item[D]) public() State {
	if x.State == Applying && x.Claim != "" && !x.Unclear {
		return Pending
	}
	return x.State
}

// Want is what the rules decided for one item.
type Want[D any] struct {
	Connection, Key string
	Instance, Group string
	Desired         *D // nil retires the item; nothing is written
	Verdict         Verdict
	Mode            Mode

	// HaloID and Applied, when the caller knows that the object exists and what it holds: a line
	// found on an invoice, for example. They are taken for items that have none.
	HaloID  int64
	Applied *D
	// LetGo: what the item was to take over, and has never written to, is not its own after all.
	LetGo bool
	// Doubt: somebody who is known no more may have created it. Apply is to look for it first, once that cannot land any more.
	Doubt bool

	Facts                       []byte
	Title, Customer             string
	Follows                     bool
	MonthlyBefore, MonthlyAfter *decimal.Decimal
	Currency                    string

	Run, Cause, Trace, Who string
	Priority               int16
}

// settle is the heart of the state machine: what state an item is in, given what is wanted, what the
// rules say and what Halo holds. differs tells whether applied differs from desired.
func settle(state State, sticky, desireChanged, differs, wanted bool, verdict Verdict, mode Mode, reason Reason) (State, Reason, bool) {
	switch {
	case state == Applying:
		// The claim is still out; its completion settles the item anew.
		return Applying, reason, sticky
	case !wanted:
		return Retired, verdict.Reason, false
	case verdict.State == Parked || verdict.State == Held:
		return verdict.State, verdict.Reason, false
	case !differs:
		return InSync, Reason{}, false
	case sticky && !desireChanged && (mode == Auto || state != Parked):
		return state, reason, true
	case mode == Observe:
		return Held, ReasonObserve, false
	case mode == Spared:
		return Held, ReasonCanary, false
	default:
		return Pending, Reason{}, false
	}
}
