package licence

import (
	"testing"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/reconcile"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

func TestPricePerCycle(t *testing.T) {
	t.Parallel()
	const perMonth, perTerm, nobodySaid = moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH, moneyv1.Basis_BASIS_PER_SEAT_PER_TERM, moneyv1.Basis_BASIS_UNSPECIFIED
	for _, c := range []struct {
		price, cycle, term string
		basis              moneyv1.Basis
		want, code         string
	}{
		{"16.60", "Monthly", "Monthly", nobodySaid, "16.6", ""},
		{"16.60", "", "", nobodySaid, "16.6", ""},
		{"0", "Monthly", "", nobodySaid, "0", ""},
		{"16.60", "Monthly", "Annual", nobodySaid, "", "price_basis"},
		{"16.60", "Monthly", "Annual", perMonth, "16.6", ""},
		{"100", "Monthly", "Annual", perTerm, "8.3333", ""},
		{"16.60", "Annual", "Annual", perMonth, "199.2", ""},
		{"199.20", "Annual", "Annual", perTerm, "199.2", ""},
		{"100", "Annual", "Triennial", perTerm, "33.3333", ""},
		{"100", "Annual", "", perTerm, "100", ""},
		{"0.00005", "Monthly", "Monthly", nobodySaid, "0.0001", ""},
		{"9", "One-Time", "", nobodySaid, "9", ""},
		{"", "Monthly", "Monthly", nobodySaid, "", "price_missing"},
	} {
		got, code, _ := perCycle(&moneyv1.Money{Amount: c.price}, c.cycle, c.term, Settings{Currency: "GBP", Basis: c.basis})
		if code != c.code || code == "" && got.String() != c.want {
			t.Errorf("%s %s/%s %v: %s %q, want %s %q", c.price, c.cycle, c.term, c.basis, got, code, c.want, c.code)
		}
	}
	if _, code, _ := perCycle(&moneyv1.Money{Amount: "1", Currency: "EUR"}, "Monthly", "Monthly", Settings{Currency: "GBP"}); code != "currency" {
		t.Errorf("a price in euros: %q", code)
	}
}

func TestWhatIsHeldAndWhatIsBilled(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*subscriptionv1.Subscription)
		want   string
	}{
		"active":             {func(*subscriptionv1.Subscription) {}, ""},
		"suspended":          {func(s *subscriptionv1.Subscription) { s.Giacom.Status = giacomv1.Status_STATUS_SUSPENDED }, ""},
		"no status":          {func(s *subscriptionv1.Subscription) { s.Giacom.Status = giacomv1.Status_STATUS_UNSPECIFIED }, ""},
		"no seats":           {func(s *subscriptionv1.Subscription) { s.Giacom.Quantity = "0" }, ""},
		"pending":            {func(s *subscriptionv1.Subscription) { s.Giacom.Status = giacomv1.Status_STATUS_PENDING }, "pending_in_giacom"},
		"expired":            {func(s *subscriptionv1.Subscription) { s.Giacom.Status = giacomv1.Status_STATUS_EXPIRED }, "status"},
		"unknown status":     {func(s *subscriptionv1.Subscription) { s.Giacom.Status = giacomv1.Status_STATUS_UNKNOWN }, "status"},
		"half a seat":        {func(s *subscriptionv1.Subscription) { s.Giacom.Quantity = "1.5" }, "quantity"},
		"quantity missing":   {func(s *subscriptionv1.Subscription) { s.Giacom.Quantity = "" }, "quantity"},
		"negative seats":     {func(s *subscriptionv1.Subscription) { s.Giacom.Quantity = "-1" }, "quantity"},
		"unknown cycle":      {func(s *subscriptionv1.Subscription) { s.Giacom.Cycle = giacomv1.Cycle_CYCLE_UNKNOWN }, "cycle_unknown"},
		"unknown term":       {func(s *subscriptionv1.Subscription) { s.Giacom.Term = giacomv1.Term_TERM_UNKNOWN }, "term_unknown"},
		"price missing":      {func(s *subscriptionv1.Subscription) { s.Giacom.PurchasePrice = nil }, "price_missing"},
		"customer to create": {func(s *subscriptionv1.Subscription) { s.State = subscriptionv1.State_STATE_CLIENT_PENDING }, "client_pending"},
		"not mapped":         {func(s *subscriptionv1.Subscription) { s.State = subscriptionv1.State_STATE_UNRESOLVED }, "customer_not_mapped"},
		"never created":      {removed, "removed"},
	} {
		s := situation{Sub: sub("giacom/1", 1, 5, c.change), Settings: Settings{Account: "acct", Currency: "GBP"}, Match: &match{Verdict: reconcile.Go()}}
		if d := decide(s); d.Verdict.Reason.Code != c.want {
			t.Errorf("%s: %q (%s), want %q", name, d.Verdict.Reason.Code, d.Verdict.Reason.Text, c.want)
		}
	}
}

// Only what nothing of ours was ever written to is let go, and only when it turns out to be meant for somebody else.
func TestWhatIsLetGo(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sub    *subscriptionv1.Subscription
		change func(*reconcile.Item[Fields])
		want   bool
	}{
		"still its customer's":     {sub("giacom/1", 1, 5), nil, false},
		"moved by hand":            {sub("giacom/1", 1, 5), func(x *reconcile.Item[Fields]) { x.Applied.ClientID = 2 }, false},
		"another customer's":       {sub("giacom/1", 2, 5), nil, true},
		"gone":                     {sub("giacom/1", 2, 5, removed), nil, false},
		"not mapped any more":      {sub("giacom/1", 0, 5, func(s *subscriptionv1.Subscription) { s.State = subscriptionv1.State_STATE_UNRESOLVED }), nil, false},
		"written":                  {sub("giacom/1", 2, 5), func(x *reconcile.Item[Fields]) { x.Applied.Mark = "giacom:acct:giacom/1" }, false},
		"of another id of ours":    {sub("giacom/1", 2, 5), func(x *reconcile.Item[Fields]) { x.Applied.Mark = "giacom:acct:microsoft/a" }, false},
		"of an account renamed":    {sub("giacom/1", 2, 5), func(x *reconcile.Item[Fields]) { x.Applied.Mark = "giacom:before:giacom/1" }, false},
		"its mark wiped by hand":   {sub("giacom/1", 2, 5), func(x *reconcile.Item[Fields]) { x.Drifted = []string{markField} }, false},
		"being written":            {sub("giacom/1", 2, 5), func(x *reconcile.Item[Fields]) { x.State = reconcile.Applying }, false},
		"nobody knows if written":  {sub("giacom/1", 2, 5), func(x *reconcile.Item[Fields]) { x.Unclear = true }, false},
		"there is nothing to keep": {sub("giacom/1", 2, 5), func(x *reconcile.Item[Fields]) { x.HaloID, x.Applied = 0, nil }, false},
	} {
		five := int64(5)
		x := &reconcile.Item[Fields]{HaloID: 9, State: reconcile.Held, Desired: &Fields{ClientID: 1}, Applied: &Fields{ClientID: 1, Count: &five, Active: true}}
		if c.change != nil {
			c.change(x)
		}
		s := situation{Sub: c.sub, Settings: Settings{Account: "acct", Currency: "GBP"}, Item: x}
		if got := s.letsGo(); got != c.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestALicenceWaitsForTheLineOfItsOldCustomer(t *testing.T) {
	t.Parallel()
	five := int64(5)
	x := &reconcile.Item[Fields]{HaloID: 9, State: reconcile.InSync, Applied: &Fields{ClientID: 1, Count: &five, Active: true, Mark: "giacom:acct:giacom/1"}}
	s := situation{Sub: sub("giacom/1", 2, 5), Settings: Settings{Account: "acct", Currency: "GBP"}, Item: x, LinkedAt: -94}
	if d := decide(s); d.Verdict.Reason.Code != "line" || d.Desired.ClientID != 2 {
		t.Errorf("got %+v, want it parked for the line", d.Verdict)
	}
	s.LinkedAt = 0
	if d := decide(s); d.Verdict.State != reconcile.Pending {
		t.Errorf("got %+v, want it to move", d.Verdict)
	}
	s.Asks = []decimal.Decimal{decimal.NewFromInt(20), decimal.NewFromInt(21)}
	if d := decide(s); d.Verdict.Reason.Code != "price_conflict" {
		t.Errorf("got %+v, want two prices held", d.Verdict)
	}
}

func TestRemovalChangesNothingButActive(t *testing.T) {
	t.Parallel()
	five, cost := int64(5), decimal.NewFromInt(3)
	x := &reconcile.Item[Fields]{HaloID: 9, State: reconcile.InSync, Applied: &Fields{ClientID: 1, Count: &five, PurchasePrice: &cost, Active: true, Mark: "giacom:acct:giacom/1"}}
	s := situation{Sub: sub("giacom/1", 2, 9, removed), Settings: Settings{Deactivate: true}, Item: x}
	d := decide(s)
	if f := diff(x.Applied, d.Desired); len(f) != 1 || f[0].Name != "is_active" || d.Verdict.State != reconcile.Pending {
		t.Errorf("would change %v, %+v", f, d.Verdict)
	}
	s.Settings.Deactivate = false
	if d := decide(s); d.Verdict.Reason.Code != "gone" || !d.Gone || len(diff(x.Applied, d.Desired)) != 0 {
		t.Errorf("with the option off: %+v", d)
	}
}

func TestProductsByNameLoseTheirStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"Microsoft 365", "microsoft 365 (Active)", true},
		{"Microsoft 365", "Microsoft 365 - (Suspended)", true},
		{"Teams (Annual)", "Teams", false},
		{"Exchange (Plan 1)", "Exchange (Plan 2)", false},
	} {
		if got := sameProduct(newcomer{Name: c.a}, found{Name: c.b}); got != c.same {
			t.Errorf("%q and %q: same %v", c.a, c.b, got)
		}
	}
}

// What a person said of a licence does not hold any more once another subscription has it.
func TestADecisionDoesNotTakeWhatAnotherHasSince(t *testing.T) {
	t.Parallel()
	five := int64(5)
	n := newcomer{Key: "giacom/1", Mark: "giacom:acct:giacom/1", ClientID: 1, Name: "Microsoft 365", SKU: "SKU1", Count: &five, Adopt: 11}
	r := found{HaloID: 11, ClientID: 1, Type: 1, Name: "Microsoft 365", SKU: "SKU1", Active: true, MarkKnown: true, Fields: Fields{Count: &five}}
	if m := adopt([]newcomer{n}, []found{r})[n.Key]; m.Adopt == nil || m.Adopt.HaloID != 11 {
		t.Errorf("what nobody has is not taken: %+v", m)
	}
	r.Owner, r.OwnerKey = ownedByLive, "giacom/2"
	if m := adopt([]newcomer{n}, []found{r})[n.Key]; m.Adopt != nil || m.Verdict.State != reconcile.Pending {
		t.Errorf("taken from giacom/2: %+v", m)
	}
}
