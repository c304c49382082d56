package e2e

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/giacom/giacomsim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
	"seatline.dev/services/estate"
	"seatline.dev/services/seatline/ctl"
)

// decision is something that an operator changes while business goes on. It says what, and tells the oracle.
type decision func(s *story, rng *rand.Rand) string

// What operators decide in random stories. Who comes to Giacom later is mapped by the rules, or by one of these.
var decisions = []decision{mapAnew, mapAnew, unmap, unmap, ignore, exclude, exclude, assign, asItsCustomer, reprice, reprice, observe, automatic, removals}

// decide carries a decision out, whatever goes wrong meanwhile, and waits until all that follows from it is settled.
func (s *story) decide(rng *rand.Rand, d decision) string {
	s.Helper()
	what := d(s, rng)
	s.settle()
	s.mend()
	s.oracle.SetSettings(s.settings)
	s.oracle.Settle(time.Now())
	return what
}

// insist does something again until it succeeds: a service may be starting, and Halo may be in trouble.
func (s *story) insist(do func() error) {
	s.Helper()
	deadline := time.Now().Add(time.Minute)
	for err := do(); err != nil; err = do() {
		if time.Now().After(deadline) {
			s.Fatal(err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func mapAnew(s *story, rng *rand.Rand) string {
	mex, client := s.someCustomer(rng), s.someClient(rng)
	s.insist(func() error {
		_, err := s.mappings().SetMapping(s.ctx, &mappingv1.SetMappingRequest{Connection: "acme", MexId: mex, HaloClientId: client})
		return err
	})
	delete(s.settings.Ignored, mex)
	s.settings.Mapped[mex] = client
	return fmt.Sprintf("%s mapped to %d", mex, client)
}

func unmap(s *story, rng *rand.Rand) string {
	mex := s.someCustomer(rng)
	for decided := range s.settings.Mapped { // rather one of those that somebody has decided about
		mex = min(mex, decided)
	}
	s.insist(func() error {
		_, err := s.mappings().RemoveMapping(s.ctx, &mappingv1.GetMappingRequest{Connection: "acme", MexId: mex})
		return err
	})
	delete(s.settings.Ignored, mex)
	delete(s.settings.Mapped, mex)
	s.oracle.Unmap(mex)
	return mex + " unmapped"
}

func ignore(s *story, rng *rand.Rand) string {
	mex := s.someCustomer(rng)
	s.insist(func() error {
		_, err := s.mappings().IgnoreCustomer(s.ctx, &mappingv1.IgnoreCustomerRequest{Connection: "acme", MexId: mex, Reason: "our own"})
		return err
	})
	delete(s.settings.Mapped, mex)
	s.settings.Ignored[mex] = "our own"
	return mex + " ignored"
}

func exclude(s *story, rng *rand.Rand) string {
	key := s.someSubscription(rng)
	s.insist(func() error {
		_, err := s.subscriptions().ExcludeSubscription(s.ctx, &subscriptionv1.ExcludeSubscriptionRequest{Connection: "acme", Key: key, Reason: "a trial"})
		return err
	})
	delete(s.settings.Assigned, key)
	s.settings.Excluded[key] = "a trial"
	return key + " excluded"
}

func assign(s *story, rng *rand.Rand) string {
	key, client := s.someSubscription(rng), s.someClient(rng)
	s.insist(func() error {
		_, err := s.subscriptions().AssignSubscription(s.ctx, &subscriptionv1.AssignSubscriptionRequest{Connection: "acme", Key: key, HaloClientId: client})
		return err
	})
	delete(s.settings.Excluded, key)
	s.settings.Assigned[key] = client
	return fmt.Sprintf("%s billed to %d", key, client)
}

func asItsCustomer(s *story, rng *rand.Rand) string {
	key := s.someSubscription(rng)
	for decided := range s.settings.Excluded {
		key = min(key, decided)
	}
	s.insist(func() error {
		_, err := s.subscriptions().ResetSubscription(s.ctx, &subscriptionv1.ResetSubscriptionRequest{Connection: "acme", Key: key})
		return err
	})
	delete(s.settings.Excluded, key)
	delete(s.settings.Assigned, key)
	return key + " billed as its customer is"
}

// reprice sets rules: one for some, and one for all others.
func reprice(s *story, rng *rand.Rand) string {
	rule := func(name string) *pricingv1.PriceRule {
		r := &pricingv1.PriceRule{Name: name, Price: &pricingv1.PriceRule_Keep{Keep: true}}
		switch rng.IntN(4) {
		case 0:
			r.Price, r.Rounding = &pricingv1.PriceRule_CostPlusPercent{CostPlusPercent: fmt.Sprint(5 + rng.IntN(40))}, []string{"", "0.05", "0.5"}[rng.IntN(3)]
		case 1:
			r.Price = &pricingv1.PriceRule_Rrp{Rrp: true}
		case 2:
			r.Price = &pricingv1.PriceRule_Fixed{Fixed: fmt.Sprintf("%d.90", 3+rng.IntN(30))}
		}
		if rng.IntN(4) == 0 {
			r.MinimumQuantity, r.IncludedQuantity = proto.Int64(int64(rng.IntN(5))), proto.Int64(int64(rng.IntN(3)))
		}
		if rng.IntN(3) > 0 {
			r.AddLine = &pricingv1.AddLine{}
		}
		return r
	}
	some, all := rule("some"), rule("all")
	switch rng.IntN(4) {
	case 0:
		some.Names = []string{"*365*"}
	case 1:
		some.Customers = []string{s.someCustomer(rng), s.someCustomer(rng)}
	case 2:
		some.Cycles = []giacomv1.Cycle{giacomv1.Cycle_CYCLE_ANNUAL}
	case 3:
		some.Terms = []giacomv1.Term{giacomv1.Term_TERM_ANNUAL}
	}
	s.rules = []*pricingv1.PriceRule{some, all}
	s.insist(func() error {
		_, err := pricingv1.NewPricingServiceClient(s.w.Client(ctl.Billing)).SetPriceRules(s.ctx, &pricingv1.SetPriceRulesRequest{Rules: &pricingv1.PriceRules{Connection: "acme", Rules: s.rules}, Force: true})
		return err
	})
	s.settings.Rules = s.rules
	return fmt.Sprintf("rules %v", s.rules)
}

func observe(s *story, _ *rand.Rand) string {
	s.configure(func(c *connectionv1.Connection) { c.Mode = connectionv1.Mode_MODE_OBSERVE })
	return "mode observe"
}

func automatic(s *story, _ *rand.Rand) string {
	s.configure(func(c *connectionv1.Connection) { c.Mode = connectionv1.Mode_MODE_AUTO })
	return "mode auto"
}

func removals(s *story, _ *rand.Rand) string {
	on := !s.connection.GetLicences().GetDeactivateRemoved()
	s.configure(func(c *connectionv1.Connection) { c.Licences.DeactivateRemoved = on })
	return fmt.Sprintf("licences of removed subscriptions deactivated: %v", on)
}

// configure changes settings of the connection, and nothing else.
func (s *story) configure(change func(*connectionv1.Connection)) {
	s.Helper()
	s.connection = proto.CloneOf(s.connection)
	change(s.connection)
	s.insist(func() error {
		_, err := connectionv1.NewConnectionServiceClient(s.w.Client(ctl.Console)).ApplyConnection(s.ctx, &connectionv1.ApplyConnectionRequest{
			Connection: s.connection, GiacomApiKey: "sim-key", HaloClientSecret: "sim-secret", Force: true,
		})
		return err
	})
	s.settings.Connection = s.connection
}

func (s *story) mappings() mappingv1.MappingServiceClient {
	return mappingv1.NewMappingServiceClient(s.w.Client(ctl.Mapper))
}

func (s *story) subscriptions() subscriptionv1.SubscriptionServiceClient {
	return subscriptionv1.NewSubscriptionServiceClient(s.w.Client(ctl.Mapper))
}

// someCustomer of Giacom that was there from the beginning, so that the services know it, and that may be moved.
func (s *story) someCustomer(rng *rand.Rand) string {
	for {
		mex := s.data.Giacom.Customers[rng.IntN(len(s.data.Giacom.Customers))].MexID
		if !s.rooted(mex) {
			return strings.ToUpper(strings.TrimSpace(mex))
		}
	}
}

// rooted: Halo links a licence of the customer where nothing is billed, on an inactive line or a disabled invoice. Services
// let it move nevertheless, and the oracle does not: the link bills nobody, and Halo's people may mind it or not.
func (s *story) rooted(mex string) bool {
	return slices.ContainsFunc(slices.Concat(s.data.Cases[estate.InactiveLine], s.data.Cases[estate.DisabledInvoice]), func(t estate.Tag) bool { return t.MexID == mex })
}

// someClient of Halo that may be billed, and was there from the beginning.
func (s *story) someClient(rng *rand.Rand) int64 {
	for {
		if c := s.data.Halo.Clients[rng.IntN(len(s.data.Halo.Clients))]; !c.Inactive {
			return c.ID
		}
	}
}

// someSubscription that was there from the beginning, in every feed, and may be moved; by its key.
func (s *story) someSubscription(rng *rand.Rand) string {
	for {
		sub := s.data.Giacom.Subscriptions[rng.IntN(len(s.data.Giacom.Subscriptions))]
		if (sub.Status == "" || sub.Status == "Active") && !s.rooted(sub.MexID) {
			return keyOf(sub)
		}
	}
}

// keyOf a subscription where the report is used and the other feed for the rest.
func keyOf(sub giacomsim.Subscription) string {
	if sub.GUID != "" {
		return "microsoft/" + strings.ToLower(sub.GUID)
	}
	return "giacom/" + sub.ID
}
