package billing

import (
	"fmt"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/reconcile"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// Licence is a licence of ours as the licence service last told, as far as the rules look at it.
type Licence struct {
	Connection, Key string
	HaloID          int64 // 0 until it exists in Halo
	// ClientID is the Halo customer that it should belong to; OldClientID the one it still belongs
	// to while it waits to be moved, else 0.
	ClientID, OldClientID int64
	// LeftClientID is one that it moved away from and whose lines may still link it, else 0.
	LeftClientID int64 `json:"-"`
	ClientName   string

	// Count and Active are desired; Holds is the number of seats that Halo counts now, 0 if inactive.
	Count  int64
	Active bool
	Holds  int64
	// Cost is the desired purchase price, per seat and billing cycle; nil when not known.
	Cost *decimal.Decimal
	// Price that Halo's licence holds, per seat and billing cycle; nil when not known.
	Price *decimal.Decimal
	// RRP per seat and billing cycle; nil when Giacom gives none.
	RRP *decimal.Decimal

	Cycle     giacomv1.Cycle
	Term      giacomv1.Term
	MexID     string
	SKU, Name string
	// Creating: on its way into Halo, and not decided about before. Lines that might be meant for it are not
	// given to another of its product meanwhile; else nothing is decided about it until it is there.
	Creating bool `json:",omitempty"`
	// Waits, where it is not in Halo because a licence there may be the same. Nothing is decided about it until a
	// person has, and whether there are two of its product or one is in doubt.
	Waits *Waits `json:",omitempty"`
	// LeftAlone: a person excluded its subscription, or its customer is ignored or not mapped. Lines that bill it stay as they
	// are, whatever rules become meanwhile, and none is added.
	LeftAlone bool `json:",omitempty"`
	// Of the event that last changed it.
	Revision          int64  `json:"-"`
	Run, Cause, Trace string `json:"-"`
}

// licenceOf reads an event of the licence service. A licence that waits is planned for as Halo holds
// it: lines do not run ahead of it. ok is false when there is none.
func licenceOf(p *licencev1.Licence) (l Licence, ok bool, err error) {
	g, want, has := p.GetSubscription().GetGiacom(), p.GetDesired(), p.GetApplied()
	if p.GetStatus().GetState() == itemv1.State_STATE_RETIRED {
		return Licence{}, false, nil
	}
	doubt := duplicate(p)
	if waits(p.GetStatus()) && doubt == nil {
		want = has
	}
	if want == nil {
		return Licence{}, false, nil
	}
	l = Licence{
		Connection: p.GetConnection(), Key: p.GetKey(), HaloID: p.GetStatus().GetHaloId(),
		ClientID: want.GetClientId(), ClientName: p.GetSubscription().GetHaloClientName(),
		Count: want.GetCount(), Active: want.GetActive(),
		Cycle: g.GetCycle(), Term: g.GetTerm(), MexID: g.GetMexId(), SKU: g.GetSku(), Name: g.GetName(),
		Creating: beingCreated(p.GetStatus()), Waits: doubt,
		LeftAlone: leftAlone(p.GetSubscription()),
	}
	if has.GetActive() {
		l.Holds = has.GetCount()
	}
	switch {
	case l.ClientID == 0:
		l.ClientID = has.GetClientId()
	case l.HaloID != 0 && has.GetClientId() != 0 && has.GetClientId() != l.ClientID:
		l.OldClientID = has.GetClientId()
	}
	if l.Cost, err = amount(want.GetPurchasePrice()); err != nil {
		return l, false, fmt.Errorf("purchase price: %w", err)
	}
	if l.Price, err = amount(has.GetPrice()); err != nil {
		return l, false, fmt.Errorf("price: %w", err)
	}
	if l.RRP, err = amount(g.GetRrp()); err != nil {
		return l, false, fmt.Errorf("RRP: %w", err)
	}
	return l, true, nil
}

// leftAlone: nobody in Halo is billed for the subscription, nor was when Giacom removed it.
func leftAlone(s *subscriptionv1.Subscription) bool {
	return s.GetState() == subscriptionv1.State_STATE_UNRESOLVED || s.GetState() == subscriptionv1.State_STATE_REMOVED && s.GetHaloClientId() == 0
}

// beingCreated: in a moment it will be in Halo, with an id that lines can link; what is decided before would be
// decided again right after. Whatever else a licence waits for, lines are planned for it.
func beingCreated(s *itemv1.Status) bool {
	return s.GetHaloId() == 0 && (s.GetState() == itemv1.State_STATE_PENDING || s.GetState() == itemv1.State_STATE_APPLYING)
}

// Waits of a licence that a person has to decide about before it is in Halo.
type Waits struct {
	Candidates []int64 // licences in Halo, any of which may be it
}

// duplicate says of a licence that is held as a possible duplicate what it may be; nil of any other.
func duplicate(p *licencev1.Licence) *Waits {
	if p.GetStatus().GetReason().GetCode() != "possible_duplicate" || p.GetApplied() != nil {
		return nil
	}
	w := &Waits{}
	for _, c := range p.GetCandidates() {
		w.Candidates = append(w.Candidates, c.GetHaloId())
	}
	return w
}

// undecided: lines that might be meant for it are not given to another of its product, and that is all.
func (l *Licence) undecided() bool { return l.Creating || l.Waits != nil }

// leaves tells whether lines of a customer must let go of the licence (R7).
func (l *Licence) leaves(client int64) bool {
	return client != 0 && client != l.ClientID && (client == l.OldClientID || client == l.LeftClientID)
}

// waits tells whether a rule keeps the licence from being written. One that is held because its
// connection does not write it yet is planned for, and one that waits for its line must not be waited for.
func waits(s *itemv1.Status) bool {
	switch code := s.GetReason().GetCode(); s.GetState() {
	case itemv1.State_STATE_HELD:
		return !reconcile.Reason{Code: code}.OnlyShown()
	case itemv1.State_STATE_PARKED:
		return code != "line"
	}
	return false
}

func amount(m *moneyv1.Money) (*decimal.Decimal, error) {
	if m.GetAmount() == "" {
		return nil, nil
	}
	d, err := decimal.NewFromString(m.GetAmount())
	if err != nil {
		return nil, fmt.Errorf("amount %q is not a number", m.GetAmount())
	}
	return &d, nil
}

// perCycle turns a recommended price into one per billing cycle, the way the licence service does it
// with the purchase price that stands beside it in the feed: 4 places, half up. nil where it cannot be said.
func perCycle(price *decimal.Decimal, cycle giacomv1.Cycle, term giacomv1.Term, basis moneyv1.Basis) *decimal.Decimal {
	if price == nil {
		return nil
	}
	ofCycle, ofTerm := cycleMonths[cycle], termMonths[term]
	if ofTerm == 0 {
		ofTerm = ofCycle
	}
	var v decimal.Decimal
	switch {
	case cycle == giacomv1.Cycle_CYCLE_ONE_TIME, ofTerm == 1:
		v = price.Round(4)
	case basis == moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH:
		v = price.Mul(decimal.NewFromInt(ofCycle)).Round(4)
	case basis == moneyv1.Basis_BASIS_PER_SEAT_PER_TERM && ofTerm > 0:
		v = price.Mul(decimal.NewFromInt(ofCycle)).DivRound(decimal.NewFromInt(ofTerm), 4)
	default:
		return nil
	}
	return &v
}

var (
	cycleMonths = map[giacomv1.Cycle]int64{
		giacomv1.Cycle_CYCLE_UNSPECIFIED: 1, giacomv1.Cycle_CYCLE_MONTHLY: 1, giacomv1.Cycle_CYCLE_ANNUAL: 12, giacomv1.Cycle_CYCLE_TRIENNIAL: 36,
	}
	termMonths = map[giacomv1.Term]int64{
		giacomv1.Term_TERM_MONTHLY: 1, giacomv1.Term_TERM_ANNUAL: 12, giacomv1.Term_TERM_TRIENNIAL: 36,
	}
)
