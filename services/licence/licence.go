package licence

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/shopspring/decimal"
	"github.com/tidwall/gjson"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/reconcile"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// Fields of a licence in Halo that are ours. A field that is nil or empty is not ours at the moment: it is neither
// written nor compared.
type Fields struct {
	ClientID int64  `json:"client,omitempty"`
	Count    *int64 `json:"count,omitempty"`
	// PurchasePrice and Price are per seat and billing cycle, ex VAT, at most 4 places.
	PurchasePrice *decimal.Decimal `json:"cost,omitempty"`
	Price         *decimal.Decimal `json:"price,omitempty"`
	Start         string           `json:"start,omitempty"` // as Halo writes dates; UTC
	End           string           `json:"end,omitempty"`
	Cycle         string           `json:"cycle,omitempty"`
	Term          string           `json:"term,omitempty"`
	Active        bool             `json:"active"`
	Mark          string           `json:"mark,omitempty"`
}

// UnmarshalJSON reads what json.Marshal made of Fields, in an eighth of its time: every item of an import is read several
// times over, and a page of licences was a third this. Whoever calls it has made sure that the text is JSON.
func (f *Fields) UnmarshalJSON(text []byte) (err error) {
	amount := func(v gjson.Result) *decimal.Decimal {
		d, wrong := decimal.NewFromString(v.String())
		err = cmp.Or(err, wrong)
		return &d
	}
	gjson.ParseBytes(text).ForEach(func(name, v gjson.Result) bool {
		if v.Type == gjson.Null {
			return true
		}
		switch name.Str {
		case "client":
			f.ClientID = v.Int()
		case "count":
			n := v.Int()
			f.Count = &n
		case "cost":
			f.PurchasePrice = amount(v)
		case "price":
			f.Price = amount(v)
		case "start":
			f.Start = v.Str
		case "end":
			f.End = v.Str
		case "cycle":
			f.Cycle = v.Str
		case "term":
			f.Term = v.Str
		case "active":
			f.Active = v.Bool()
		case "mark":
			f.Mark = v.Str
		}
		return true
	})
	return err
}

// Settings are what the rules need of a connection.
type Settings struct {
	Connection string
	Instance   string
	Account    string // of Giacom; part of the mark
	Currency   string
	Basis      moneyv1.Basis // what the price of a term longer than a month means
	Deactivate bool          // licences that are proven gone from Giacom
	// AcrossMethods: a licence goes on under the id of another import method.
	AcrossMethods bool
	Permit        connections.Permit
}

func settingsOf(c *connectionv1.Connection) Settings {
	s := Settings{
		Connection: c.GetSlug(), Instance: c.GetHalo().GetInstance(), Account: c.GetGiacom().GetAccount(),
		Currency: c.GetGiacom().GetCurrency(), Basis: c.GetGiacom().GetAnnualPriceBasis(),
		AcrossMethods: c.GetLicences() == nil || c.GetLicences().AdoptAcrossMethods == nil || c.GetLicences().GetAdoptAcrossMethods(),
		Deactivate:    c.GetLicences().GetDeactivateRemoved(), Permit: connections.PermitOf(c),
	}
	if s.Currency == "" {
		s.Currency = "GBP"
	}
	return s
}

// Mark is what a licence of ours carries in Halo, in snowid.
func (s Settings) Mark(key string) string { return "giacom:" + s.Account + ":" + key }

// Words of Halo for cycles and terms. They are free text there; these are Giacom's own.
var (
	cycleWords = map[giacomv1.Cycle]string{
		giacomv1.Cycle_CYCLE_UNSPECIFIED: "", giacomv1.Cycle_CYCLE_MONTHLY: "Monthly", giacomv1.Cycle_CYCLE_ANNUAL: "Annual",
		giacomv1.Cycle_CYCLE_TRIENNIAL: "Triennial", giacomv1.Cycle_CYCLE_ONE_TIME: "One-Time",
	}
	termWords = map[giacomv1.Term]string{
		giacomv1.Term_TERM_UNSPECIFIED: "", giacomv1.Term_TERM_MONTHLY: "Monthly", giacomv1.Term_TERM_ANNUAL: "Annual",
		giacomv1.Term_TERM_TRIENNIAL: "Triennial",
	}
	months = map[string]int64{"": 1, "Monthly": 1, "Annual": 12, "Triennial": 36}
)

// wanted is what Halo should hold for a subscription that is billed, and whether anything about the subscription itself
// stands against writing it. Fields are filled as far as they can be known even then, so that the plan shows them.
func wanted(g *giacomv1.Subscription, s Settings) (Fields, reconcile.Verdict) {
	f := Fields{Active: true, Mark: s.Mark(g.GetKey()), Start: haloDate(g.GetStartTime()), End: haloDate(g.GetEndTime())}
	verdict := statusVerdict(g)
	hold := func(code, format string, args ...any) {
		if verdict.State == reconcile.Pending { // the first reason is the one to act on
			verdict = reconcile.Hold(code, fmt.Sprintf(format, args...))
		}
	}
	if n, err := seats(g.GetQuantity()); err != nil {
		hold("quantity", "Giacom's number of seats is %s; Halo bills whole seats. Correct it in Giacom.", err)
	} else {
		f.Count = &n
	}
	cycle, cycleKnown := cycleWords[g.GetCycle()]
	if !cycleKnown {
		hold("cycle_unknown", "Giacom bills this %q, which Seatline does not know. Exclude the subscription, or bill it by hand.", g.GetCycleWord())
	}
	term, termKnown := termWords[g.GetTerm()]
	if !termKnown {
		hold("term_unknown", "The term %q is not known to Seatline. Exclude the subscription, or bill it by hand.", g.GetTermWord())
	}
	f.Cycle, f.Term = cycle, term
	if !cycleKnown || !termKnown {
		return f, verdict
	}
	price, code, why := perCycle(g.GetPurchasePrice(), cycle, term, s)
	if code != "" {
		hold(code, "%s", why)
		return f, verdict
	}
	f.PurchasePrice = &price
	return f, verdict
}

// statusVerdict: Suspended seats are still paid for. A feed without a status lists what is billed.
func statusVerdict(g *giacomv1.Subscription) reconcile.Verdict {
	switch g.GetStatus() {
	case giacomv1.Status_STATUS_UNSPECIFIED, giacomv1.Status_STATUS_ACTIVE, giacomv1.Status_STATUS_SUSPENDED:
		return reconcile.Go()
	case giacomv1.Status_STATUS_PENDING:
		return reconcile.Park("pending_in_giacom", "Giacom has not provisioned it yet; it is billed once its status is Active.")
	default:
		return reconcile.Hold("status", fmt.Sprintf("Giacom says %q: whether that is still paid for is not known. Exclude the subscription, or correct it in Giacom.", g.GetStatusWord()))
	}
}

// seats reads Giacom's quantity: a whole number that is not negative. 0 is one.
func seats(quantity string) (int64, error) {
	if strings.TrimSpace(quantity) == "" {
		return 0, fmt.Errorf("missing")
	}
	d, err := decimal.NewFromString(strings.TrimSpace(quantity))
	if err != nil || !d.IsInteger() || d.IsNegative() || !d.BigInt().IsInt64() {
		return 0, fmt.Errorf("%q", quantity)
	}
	return d.IntPart(), nil
}

// perCycle turns Giacom's price per seat into one per billing cycle, 4 places, half up. Where that needs to know what
// the price buys and nobody has said, it is not guessed.
func perCycle(m *moneyv1.Money, cycle, term string, s Settings) (price decimal.Decimal, code, why string) {
	if m == nil || m.GetAmount() == "" {
		return price, "price_missing", "Giacom gives no purchase price. Correct it in Giacom, or exclude the subscription."
	}
	price, err := decimal.NewFromString(m.GetAmount())
	if err != nil {
		return price, "price_missing", fmt.Sprintf("Giacom's price %q is not a number. Correct it in Giacom.", m.GetAmount())
	}
	if m.GetCurrency() != "" && !strings.EqualFold(m.GetCurrency(), s.Currency) {
		return price, "currency", fmt.Sprintf("The price is in %s, the connection bills in %s. Exclude the subscription, or bill it by hand.", m.GetCurrency(), s.Currency)
	}
	if cycle == "One-Time" || term == "Monthly" || term == "" && months[cycle] == 1 {
		return price.Round(4), "", ""
	}
	ofCycle := decimal.NewFromInt(months[cycle])
	switch s.Basis {
	case moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH:
		return price.Mul(ofCycle).Round(4), "", ""
	case moneyv1.Basis_BASIS_PER_SEAT_PER_TERM:
		length := months[term]
		if term == "" {
			length = months[cycle]
		}
		return price.Mul(ofCycle).DivRound(decimal.NewFromInt(length), 4), "", ""
	}
	return price, "price_basis", "Whether Giacom's price of an annual or longer term is per month or per term is not set. Set annual_price_basis of the connection."
}

func haloDate(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return halo.NewDate(t.AsTime()).String()
}

// removalOf tells whether a subscription is removed, by proof, and whether a scheduled run has seen it.
func removalOf(sub *subscriptionv1.Subscription) (removed, scheduled bool) {
	g := sub.GetGiacom()
	switch g.GetStatus() {
	case giacomv1.Status_STATUS_CANCELLED, giacomv1.Status_STATUS_DELETED:
		removed = true
	}
	removed = removed || sub.GetState() == subscriptionv1.State_STATE_REMOVED || g.GetRemoval() != nil
	return removed, removed && g.GetRemoval().GetScheduled()
}

// superseded: the import method was changed, and the one chosen now does not list it. Giacom may bill it all the same.
func superseded(sub *subscriptionv1.Subscription) bool {
	return sub.GetGiacom().GetRemoval().GetProof() == giacomv1.Removal_PROOF_METHOD
}

// markField is how changes name the mark.
const markField = "snowid"

// diff lists the fields in which Halo would have to change. Fields that after leaves out are not ours.
func diff(before, after *Fields) []reconcile.Field {
	if after == nil {
		return nil
	}
	old := Fields{}
	if before != nil {
		old = *before
	}
	var d []reconcile.Field
	add := func(name, b, a string) {
		if a != "" && a != b {
			d = append(d, reconcile.Field{Name: name, Before: b, After: a})
		}
	}
	if after.ClientID != 0 {
		add("client_id", number(old.ClientID), number(after.ClientID))
	}
	add("count", numberPtr(old.Count), numberPtr(after.Count))
	add("purchase_price", amount(old.PurchasePrice), amount(after.PurchasePrice))
	add("price", amount(old.Price), amount(after.Price))
	add("start_date", old.Start, after.Start)
	add("end_date", old.End, after.End)
	add("billing_cycle", old.Cycle, after.Cycle)
	add("term_duration", old.Term, after.Term)
	add(markField, old.Mark, after.Mark)
	if before == nil || old.Active != after.Active {
		b := strconv.FormatBool(old.Active)
		if before == nil {
			b = ""
		}
		add("is_active", b, strconv.FormatBool(after.Active))
	}
	return d
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func numberPtr(n *int64) string {
	if n == nil {
		return ""
	}
	return number(*n)
}

// amount compares to 4 places: Halo keeps amounts as binary floating point.
func amount(d *decimal.Decimal) string {
	if d == nil {
		return ""
	}
	return d.Round(4).String()
}

// merge is what Halo holds after after was written over before.
func merge(before, after *Fields) *Fields {
	m := *after
	if before == nil {
		return &m
	}
	if m.ClientID == 0 {
		m.ClientID = before.ClientID
	}
	m.Count, m.PurchasePrice, m.Price = cmp.Or(m.Count, before.Count), cmp.Or(m.PurchasePrice, before.PurchasePrice), cmp.Or(m.Price, before.Price)
	m.Start, m.End, m.Cycle = cmp.Or(m.Start, before.Start), cmp.Or(m.End, before.End), cmp.Or(m.Cycle, before.Cycle)
	m.Term, m.Mark = cmp.Or(m.Term, before.Term), cmp.Or(m.Mark, before.Mark)
	return &m
}

// action names what a write would do, for plans and the change log.
func action(x reconcile.Item[Fields]) string {
	switch a, d := x.Applied, x.Desired; {
	case d == nil:
		return "none"
	case a == nil || x.HaloID == 0:
		return "create"
	case d.Mark != "" && a.Mark != d.Mark:
		return "adopt"
	case a.Active && !d.Active:
		return "deactivate"
	case !a.Active && d.Active:
		return "reactivate"
	case d.ClientID != 0 && a.ClientID != d.ClientID:
		return "move"
	}
	return "update"
}

// monthlyCost is what a licence costs us per month, nil if that cannot be said.
func monthlyCost(f *Fields) *decimal.Decimal {
	zero := decimal.Zero
	if f == nil || !f.Active {
		return &zero
	}
	length, ok := months[f.Cycle]
	if !ok || f.Count == nil || f.PurchasePrice == nil {
		return nil
	}
	sum := f.PurchasePrice.Mul(decimal.NewFromInt(*f.Count)).DivRound(decimal.NewFromInt(length), 2)
	return &sum
}

// since is a date for people.
func since(t *timestamppb.Timestamp) string { return t.AsTime().UTC().Format(time.DateOnly) }
