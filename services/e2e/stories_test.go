package e2e

import (
	"fmt"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"seatline.dev/pkg/giacom/giacomsim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
	"seatline.dev/services/estate"
	"seatline.dev/services/oracle"
	"seatline.dev/services/seatline/ctl"
)

func TestFirstImportOfARealEstate(t *testing.T) {
	t.Parallel()
	s := tell(t, plot{estate: estate.Generate(estate.Config{Seed: 1, Now: time.Now()}), rules: keepAndAdd})
	s.poll(true)
	s.right("after the first import")
	s.poll(true)
	s.right("after a second poll")
}

// The everyday life of a subscription, each step checked against the oracle.
func TestTheLifeOfASubscription(t *testing.T) {
	t.Parallel()
	s := tell(t, plot{estate: small(), rules: []*pricingv1.PriceRule{{Name: "plus 20 %", Price: &pricingv1.PriceRule_CostPlusPercent{CostPlusPercent: "20"}, AddLine: &pricingv1.AddLine{}}}})
	sub := s.sub(0)
	mark := "microsoft/" + sub.GUID
	s.poll(true)
	s.right("after the first import")

	s.must(s.w.Giacom.SetSeats(sub.ID, 41))
	s.poll(true)
	s.right("after seats went up")
	if l := s.licence(mark); l == nil || l.Count != 41 {
		t.Fatalf("the licence is %+v, want 41 seats", l)
	}

	s.must(s.w.Giacom.SetPrice(sub.ID, decimal.RequireFromString("11.11")))
	s.poll(true)
	s.right("after a price change")

	s.must(s.w.Giacom.Remove(sub.ID))
	s.poll(true)
	s.right("missing once")
	if l := s.licence(mark); !l.IsActive {
		t.Fatal("deactivated without proof")
	}
	s.poll(true)
	s.right("proven removed")
	if l := s.licence(mark); l.IsActive {
		t.Fatal("still active although proven removed on scheduled runs")
	}

	s.must(s.w.Giacom.PutSubscription(sub))
	s.poll(true)
	s.right("back again")
	if l := s.licence(mark); !l.IsActive {
		t.Fatal("not active again")
	}

	s.must(s.w.Giacom.Suspend(sub.ID))
	s.poll(true)
	s.right("suspended seats are still billed")

	s.must(s.w.Giacom.Rename(sub.MexID, "Quite Another Name Ltd"))
	s.poll(true)
	s.right("after the customer was renamed")
}

func TestRemovalsThatMayNotDeactivate(t *testing.T) {
	t.Parallel()
	gone := func(s *story, mark string) *licencev1.Licence {
		s.Helper()
		l, err := licencev1.NewLicenceServiceClient(s.w.Client(ctl.Licence)).GetLicence(s.ctx, &licencev1.GetLicenceRequest{Connection: "acme", Key: mark})
		s.must(err)
		return l
	}
	t.Run("with the option off they are shown and untouched", func(t *testing.T) {
		t.Parallel()
		s := tell(t, plot{estate: small(), rules: keepAndAdd, settings: func(c *connectionv1.Connection) { c.Licences.DeactivateRemoved = false }})
		mark := "microsoft/" + s.sub(0).GUID
		s.poll(true)
		s.must(s.w.Giacom.Remove(s.sub(0).ID))
		s.poll(true)
		s.poll(true)
		s.right("removed with the option off")
		if l := gone(s, mark); !l.GetGone() || l.GetStatus().GetState() != itemv1.State_STATE_HELD {
			t.Fatalf("the licence is not shown as gone: %v", l.GetStatus())
		}
		s.apply(func(c *connectionv1.Connection) { c.Licences.DeactivateRemoved = true })
		s.poll(true)
		s.right("after the option was switched on")
		if s.licence(mark).IsActive {
			t.Fatal("still active with the option on")
		}
	})
	t.Run("manual runs alone never deactivate", func(t *testing.T) {
		t.Parallel()
		s := tell(t, plot{estate: small(), rules: keepAndAdd})
		mark := "microsoft/" + s.sub(0).GUID
		s.poll(false)
		s.must(s.w.Giacom.Remove(s.sub(0).ID))
		for range 3 {
			s.poll(false)
		}
		s.right("removed, seen by manual runs only")
		if !s.licence(mark).IsActive {
			t.Fatal("a manual run deactivated")
		}
		s.poll(true)
		s.right("confirmed by a scheduled run")
		if s.licence(mark).IsActive {
			t.Fatal("not deactivated by the scheduled run")
		}
	})
	t.Run("incomplete pulls prove nothing", func(t *testing.T) {
		t.Parallel()
		s := tell(t, plot{estate: small(), rules: keepAndAdd})
		mark := "microsoft/" + s.sub(0).GUID
		s.poll(true)
		s.must(s.w.Giacom.Remove(s.sub(0).ID))
		s.must(s.w.Giacom.Inject(giacomsim.Fault{Name: "no_id", Route: "report"}))
		for range 3 {
			if run := s.poll(true); run.GetComplete() || run.GetOutcome() != runv1.Outcome_OUTCOME_INCOMPLETE {
				t.Fatalf("a pull with a row that has no id counts as complete: %v", run)
			}
		}
		if !s.licence(mark).IsActive {
			t.Fatal("an incomplete pull deactivated")
		}
	})
	t.Run("a run that removes too much is held, released, rejected", func(t *testing.T) {
		t.Parallel()
		s := tell(t, plot{estate: small(), rules: keepAndAdd, settings: func(c *connectionv1.Connection) {
			c.Guards.MaxRemovals, c.Guards.AllowCustomerRemoval = 1, false
		}})
		s.poll(true)
		for _, sub := range s.data.Giacom.Subscriptions[:3] { // the whole of one customer
			s.must(s.w.Giacom.Remove(sub.ID))
		}
		s.poll(true)
		before := s.w.Halo.State()
		run := s.poll(true)
		if run.GetOutcome() != runv1.Outcome_OUTCOME_HELD {
			t.Fatalf("the run is %s, want held", run.GetOutcome())
		}
		if d := oracle.Compare(before, s.w.Halo.State()); len(d) > 0 {
			t.Fatalf("a held run changed Halo: %v", d)
		}
		runs := runv1.NewRunServiceClient(s.w.Client(ctl.Fetcher))
		s.command(0, "runs", "reject", run.GetId(), "--reason", "Giacom had an outage")
		if _, err := runs.ReleaseRun(s.ctx, &runv1.DecideRunRequest{Id: run.GetId(), Reason: "on second thoughts"}); status.Code(err) != codes.FailedPrecondition {
			t.Fatalf("release of a rejected run: %v", err)
		}
		run = s.poll(true)
		s.command(0, "runs", "release", run.GetId(), "--reason", "they really left")
		s.settle()
		s.oracle.Observe(s.w.Giacom.Account(), oracle.Run{Scheduled: true, Complete: true, Released: true, At: time.Now()})
		s.right("after the release")
	})
}

func TestMappings(t *testing.T) {
	t.Parallel()
	data := small()
	for i := range data.Halo.Clients[:1] {
		data.Halo.Clients[i].Name = "Nobody would guess"
	}
	s := tell(t, plot{estate: data, rules: keepAndAdd, settings: func(c *connectionv1.Connection) { c.Customers.Create = false }})
	mex, client := data.Giacom.Customers[0].MexID, data.Halo.Clients[0].ID
	mappings := mappingv1.NewMappingServiceClient(s.w.Client(ctl.Mapper))
	s.poll(true)
	s.right("with one customer not mapped")
	m, err := mappings.GetMapping(s.ctx, &mappingv1.GetMappingRequest{Connection: "acme", MexId: mex})
	s.must(err)
	if m.GetState() != mappingv1.State_STATE_UNMAPPED || m.GetReason().GetText() == "" || m.GetSubscriptions() != 3 {
		t.Fatalf("the unmapped customer is shown as %v", m)
	}

	set := func(client int64, when string) {
		t.Helper()
		_, err := mappings.SetMapping(s.ctx, &mappingv1.SetMappingRequest{Connection: "acme", MexId: mex, HaloClientId: client})
		s.must(err)
		s.settle()
		s.settings.Mapped[mex] = client
		s.oracle.SetSettings(s.settings)
		s.oracle.Settle(time.Now())
		s.right(when)
	}
	set(client, "after the mapping was added late")
	other := s.w.Halo.State().Clients[1].ID
	set(other, "after the mapping was changed")
	set(client, "after it was changed back")

	if _, err := mappings.SetMapping(s.ctx, &mappingv1.SetMappingRequest{Connection: "acme", MexId: mex, HaloClientId: 987654}); status.Code(err) != codes.NotFound && status.Code(err) != codes.FailedPrecondition && status.Code(err) != codes.InvalidArgument {
		t.Fatalf("mapping to a Halo client that does not exist: %v", err)
	}

	subs := subscriptionv1.NewSubscriptionServiceClient(s.w.Client(ctl.Mapper))
	key := "microsoft/" + s.sub(4).GUID
	if _, err := subs.ExcludeSubscription(s.ctx, &subscriptionv1.ExcludeSubscriptionRequest{Connection: "acme", Key: key, Reason: "our own use"}); err != nil {
		t.Fatal(err)
	}
	s.settle()
	s.settings.Excluded[key] = "our own use"
	s.oracle.SetSettings(s.settings)
	s.must(s.w.Giacom.SetSeats(s.sub(4).ID, 77))
	s.poll(true)
	s.right("a subscription that is left unbilled is left alone")

	// The same decisions on the command line.
	decide := func(when string) {
		t.Helper()
		s.settle()
		s.oracle.SetSettings(s.settings)
		s.oracle.Settle(time.Now())
		s.right(when)
	}
	s.says(s.command(0, "subscriptions", "reset", "acme", key), "follows its customer's mapping again")
	delete(s.settings.Excluded, key)
	decide("billed again")
	s.says(s.command(0, "subscriptions", "assign", "acme", key, fmt.Sprint(other)), "is billed to "+fmt.Sprint(other))
	s.settings.Assigned[key] = other
	decide("billed to another customer than its own")
	s.command(0, "subscriptions", "reset", "acme", key)
	delete(s.settings.Assigned, key)
	decide("billed to its own customer again")
	s.says(s.command(2, "subscriptions", "exclude", "acme", key), "--reason")
	s.says(s.command(0, "subscriptions", "exclude", "acme", key, "--reason", "a trial"), "is left unbilled: a trial")
	s.settings.Excluded[key] = "a trial"
	decide("left unbilled once more")
}

func TestEveryMethod(t *testing.T) {
	t.Parallel()
	for _, m := range []struct {
		name   string
		method connectionv1.ImportMethod
		feed   connectionv1.AllProductsFeed
	}{
		{"subscriptions", connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS, connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_SUBSCRIPTIONS},
		{"account totals", connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS, connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_ACCOUNT_TOTALS},
		{"report", connectionv1.ImportMethod_IMPORT_METHOD_REPORT, connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_SUBSCRIPTIONS},
		{"both", connectionv1.ImportMethod_IMPORT_METHOD_BOTH, connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_SUBSCRIPTIONS},
	} {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			s := tell(t, plot{estate: small(), rules: keepAndAdd, settings: func(c *connectionv1.Connection) {
				c.Giacom.Method, c.Giacom.AllProductsFeed = m.method, m.feed
			}})
			s.poll(true)
			s.right("after the first import")
			s.must(s.w.Giacom.SetSeats(s.sub(1).ID, 23))
			s.poll(true)
			s.right("after a change")
		})
	}
}

func TestRenewalUnderANewGUID(t *testing.T) {
	t.Parallel()
	s := tell(t, plot{estate: small(), rules: keepAndAdd})
	s.poll(true)
	licences := len(s.w.Halo.State().Licences)
	old := s.sub(0)
	s.must(s.w.Giacom.Renew(old.ID, "99000001", "0a0a0a0a-0000-4000-8000-000000000001"))
	s.poll(true)
	s.right("while the old one is missing but not proven gone")
	s.poll(true)
	s.right("after the renewal took over the licence")
	if n := len(s.w.Halo.State().Licences); n != licences {
		t.Fatalf("%d licences, want %d: the renewal must take over, not add", n, licences)
	}
	if s.licence("microsoft/0a0a0a0a-0000-4000-8000-000000000001") == nil {
		t.Fatal("no licence carries the mark of the renewal")
	}
}

func TestPriceBasisThatNobodyKnowsHolds(t *testing.T) {
	t.Parallel()
	data := small()
	for i := range data.Giacom.Subscriptions {
		data.Giacom.Subscriptions[i].Term = "Annual"
	}
	s := tell(t, plot{estate: data, rules: keepAndAdd, settings: func(c *connectionv1.Connection) {
		c.Giacom.AnnualPriceBasis = moneyv1.Basis_BASIS_UNSPECIFIED
	}})
	s.poll(true)
	s.right("nothing may be written while the price basis is not known")
	s.apply(func(c *connectionv1.Connection) { c.Giacom.AnnualPriceBasis = moneyv1.Basis_BASIS_PER_SEAT_PER_TERM })
	s.poll(true)
	s.right("after the basis was set")
}
