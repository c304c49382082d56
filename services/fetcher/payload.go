package fetcher

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/giacom"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// Entities as the tables number them.
const (
	entityCustomer     = 1
	entitySubscription = 2
)

// row is what is staged of one row of a pull.
type row struct {
	entity int16
	key    string
	// hash of body; empty for customers, whose body is put together in the database.
	hash []byte
	// body is nil for a row of which only the id is usable: it was seen, and what we knew of it stays.
	body []byte
	// tenant is a customer's tenant as the encoded field tenant_ids.
	tenant []byte

	mexID, name, statusWord, quantity string
	ended                             bool // Giacom says Cancelled or Deleted
	derived                           bool
}

// maxBody bounds a payload; the outbox takes less than a megabyte.
const maxBody = 500_000

// deterministic bytes make equal rows equal hashes, in every run of one build. A new build that encodes differently costs
// one round of events that change nothing.
var deterministic = proto.MarshalOptions{Deterministic: true}

func subscriptionRow(s giacom.Subscription, currency string) (row, error) {
	r := row{entity: entitySubscription, key: s.Key(), mexID: s.MexID, name: s.Name, statusWord: s.Status}
	if s.Quantity.Valid {
		r.quantity = s.Quantity.Decimal.String()
	}
	if s.MexID == "" {
		return r, nil // without a customer nobody can be billed for it
	}
	m := subscriptionMessage(s, currency)
	body, err := deterministic.Marshal(m)
	if err != nil {
		return r, fmt.Errorf("serialise subscription %s: %w", r.key, err)
	}
	if len(body) > maxBody {
		return r, nil
	}
	sum := sha256.Sum256(body)
	r.body, r.hash = body, sum[:16]
	r.ended = m.Status == giacomv1.Status_STATUS_CANCELLED || m.Status == giacomv1.Status_STATUS_DELETED
	return r, nil
}

// subscriptionMessage is the event's payload, without what only several pulls together can tell.
func subscriptionMessage(s giacom.Subscription, currency string) *giacomv1.Subscription {
	if s.Currency != "" {
		currency = s.Currency
	}
	m := &giacomv1.Subscription{
		Key: s.Key(), MexId: s.MexID, CustomerName: s.CustomerName, TenantId: s.TenantID, Name: s.Name, Sku: s.SKU,
		Microsoft: s.Microsoft, StartTime: timestamp(s.Start), EndTime: timestamp(s.End()),
		Cycle: cycles[giacom.ReadCycle(s.Cycle)], CycleWord: s.Cycle, Term: terms[giacom.ReadTerm(s.Term)], TermWord: s.Term,
		Status: statuses[giacom.ReadStatus(s.Status)], StatusWord: s.Status, Promo: s.Promo, NewCommerce: s.NCE, TermEndAction: s.TermEndAction,
	}
	if s.Quantity.Valid {
		m.Quantity = s.Quantity.Decimal.String()
	}
	basis := basisOf(m)
	m.PurchasePrice, m.Rrp = money(s.Price, currency, basis), money(s.RRP, currency, basis)
	return m
}

// basisOf is what the feed lets one know: where seats are bought by the month, a price is per month. What the price of a
// longer term buys nobody has said.
func basisOf(m *giacomv1.Subscription) moneyv1.Basis {
	byMonth := m.Term == giacomv1.Term_TERM_MONTHLY ||
		m.Term == giacomv1.Term_TERM_UNSPECIFIED && (m.Cycle == giacomv1.Cycle_CYCLE_MONTHLY || m.Cycle == giacomv1.Cycle_CYCLE_UNSPECIFIED)
	if byMonth {
		return moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH
	}
	return moneyv1.Basis_BASIS_UNSPECIFIED
}

var statuses = map[giacom.Status]giacomv1.Status{
	giacom.StatusNone: giacomv1.Status_STATUS_UNSPECIFIED, giacom.StatusActive: giacomv1.Status_STATUS_ACTIVE,
	giacom.StatusSuspended: giacomv1.Status_STATUS_SUSPENDED, giacom.StatusCancelled: giacomv1.Status_STATUS_CANCELLED,
	giacom.StatusDeleted: giacomv1.Status_STATUS_DELETED, giacom.StatusPending: giacomv1.Status_STATUS_PENDING,
	giacom.StatusExpired: giacomv1.Status_STATUS_EXPIRED, giacom.StatusDisabled: giacomv1.Status_STATUS_DISABLED,
	giacom.StatusUnknown: giacomv1.Status_STATUS_UNKNOWN,
}

var cycles = map[giacom.Cycle]giacomv1.Cycle{
	giacom.CycleNone: giacomv1.Cycle_CYCLE_UNSPECIFIED, giacom.CycleMonthly: giacomv1.Cycle_CYCLE_MONTHLY,
	giacom.CycleAnnual: giacomv1.Cycle_CYCLE_ANNUAL, giacom.CycleTriennial: giacomv1.Cycle_CYCLE_TRIENNIAL,
	giacom.CycleOneTime: giacomv1.Cycle_CYCLE_ONE_TIME, giacom.CycleUnknown: giacomv1.Cycle_CYCLE_UNKNOWN,
}

var terms = map[giacom.Term]giacomv1.Term{
	giacom.TermNone: giacomv1.Term_TERM_UNSPECIFIED, giacom.TermMonthly: giacomv1.Term_TERM_MONTHLY,
	giacom.TermAnnual: giacomv1.Term_TERM_ANNUAL, giacom.TermTriennial: giacomv1.Term_TERM_TRIENNIAL,
	giacom.TermUnknown: giacomv1.Term_TERM_UNKNOWN,
}

// customerRow leaves the tenants out of the body: one customer comes in several rows, and the database joins them.
func customerRow(c giacom.Customer) (row, error) {
	m := &giacomv1.Customer{MexId: c.MexID, Name: c.Name, Status: c.Status, CreateTime: timestamp(c.Created), Derived: c.Derived}
	if c.Address != (giacom.Address{}) {
		m.Address = &giacomv1.Address{Line1: c.Address.Line1, Line2: c.Address.Line2, City: c.Address.City, Postcode: c.Address.Postcode, Country: c.Address.Country}
	}
	if c.Contact != (giacom.Contact{}) {
		m.Contact = &giacomv1.Contact{Name: c.Contact.Name, Email: c.Contact.Email, Phone: c.Contact.Phone}
	}
	r := row{entity: entityCustomer, key: c.MexID, mexID: c.MexID, name: c.Name, statusWord: c.Status, derived: c.Derived}
	body, err := deterministic.Marshal(m)
	if err != nil {
		return r, fmt.Errorf("serialise customer %s: %w", c.MexID, err)
	}
	if len(body) > maxBody {
		return r, nil
	}
	r.body, r.tenant = body, []byte{}
	if c.TenantID != "" {
		r.tenant = protowire.AppendString(protowire.AppendTag(nil, tenantIDs, protowire.BytesType), c.TenantID)
	}
	return r, nil
}

// tenantIDs is the number of the field tenant_ids in seatline.giacom.v1.Customer.
const tenantIDs = 3

func timestamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func money(d decimal.NullDecimal, currency string, basis moneyv1.Basis) *moneyv1.Money {
	if !d.Valid {
		return nil
	}
	return &moneyv1.Money{Amount: d.Decimal.String(), Currency: currency, Basis: basis}
}
