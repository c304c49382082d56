package browser

import (
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	accessv1 "seatline.dev/proto/seatline/access/v1"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
	"seatline.dev/services/seatline/ctl"
)

// awkward is a customer's name that a careless page would make something of.
const awkward = `O'Neill & "Söhne" <b>Ltd</b> 🦷`

// untidy is an estate of six customers with ten subscriptions each, of which much is not in order. By the place among the
// customer's ten: 2 has three seats more in Halo than in Giacom, 3 too and the licence is not known to be the same, 4 is
// gone from Giacom at the first three customers, 5 has become dearer, 6 is on no line. The last customer is called
// otherwise in Halo.
func untidy() estate.Data {
	data := estate.Plain(estate.Config{Seed: 11, Customers: 6, Subscriptions: 60, Now: time.Now()}, estate.LinkedLines)
	data.Giacom.Customers[0].Name, data.Halo.Clients[0].Name = awkward, awkward
	data.Giacom.Customers[1].Name, data.Halo.Clients[1].Name = "Harbour Dental", "Harbour Dental"
	data.Halo.Clients[5].Name = "Somebody else altogether"
	offLine := map[int64]bool{}
	var kept []giacomsim.Subscription
	for i, s := range data.Giacom.Subscriptions {
		l := &data.Halo.Licences[i]
		l.ClientName = data.Halo.Clients[i/10].Name
		s.CustomerName = ""
		switch i % 10 {
		case 2:
			l.SnowID, l.Count = "giacom:acme:microsoft/"+s.GUID, l.Count+3
		case 3:
			l.Count += 3
		case 5:
			s.Price.Decimal = s.Price.Decimal.Add(decimal.NewFromInt(1))
		case 6:
			offLine[l.ID] = true
		}
		if i%10 != 4 || i >= 30 {
			kept = append(kept, s)
		}
	}
	data.Giacom.Subscriptions = kept
	for i := range data.Halo.Invoices {
		inv := &data.Halo.Invoices[i]
		inv.ClientName = data.Halo.Clients[i].Name
		inv.Lines = slices.DeleteFunc(inv.Lines, func(line halosim.Line) bool {
			return slices.ContainsFunc(line.Subscriptions, func(r halosim.QuantityRow) bool { return offLine[r.LicenceID] })
		})
	}
	return data
}

// observe is a connection that observes, and answers nothing that cannot be guessed.
func observe(c *connectionv1.Connection) {
	c.Mode, c.Customers.Create, c.Billing.ProRata = connectionv1.Mode_MODE_OBSERVE, false, nil
}

// poll imports the estate.
func (s *story) poll() {
	s.Helper()
	_, err := s.w.Run(s.Context(), "acme", true)
	s.must(err)
	s.must(s.w.Settle(s.Context(), "acme"))
}

// says fails unless the page does.
func (s *story) says(texts ...string) {
	s.Helper()
	for _, text := range texts {
		s.must(s.Await(text))
	}
}

// TestTheFirstHour is a person who finds out how things stand, clears up what is unclear, and begins with one customer.
func TestTheFirstHour(t *testing.T) {
	t.Parallel()
	s := tell(t, untidy(), accessv1.Role_ROLE_OPERATOR)
	s.connect(observe)
	s.poll()

	s.must(s.Go("/c/acme"))
	s.says("things need attention", "Before the next invoice run", "27 of 57 subscriptions agree with Halo", "3 licences in Halo belong to no subscription", "Customer 000005", "Halo budget", "Margin by customer")
	s.must(s.Look("first-hour-overview"))

	s.must(s.Go("/c/acme/parity"))
	s.says("27 of 57 subscriptions agree with Halo", "On no invoice line", "What was measured when")
	s.must(s.Look("parity"))
	s.must(s.Click(`a[href="/c/acme/parity/rows?class=no_line"]`))
	s.says("Microsoft 365 Plan 0006", awkward)
	s.must(s.Look("parity-rows"))

	s.must(s.Go("/c/acme/licences"))
	s.must(s.Fill("Search", "söhne"))
	s.must(s.Choose("State", "held"))
	s.says(awkward)
	s.must(s.Look("licences"))

	// A licence that may be there already: a person says that it is.
	s.must(s.Go("/c/acme/parity/rows?class=ambiguous&q=Harbour"))
	s.must(s.Press("Microsoft 365 Plan 0003"))
	s.says("Which licence in Halo is it?", "Waits for a person")
	s.must(s.Look("licence-ambiguous"))
	s.must(s.Press("Take it over … Microsoft 365 Plan 0003, licence " + s.idOf("Microsoft 365 Plan 0003", 1)))
	s.says("Our mark is set on it", "Its seats change from", "This connection observes")
	s.must(s.Look("licence-adopt"))
	s.must(s.Press("Take it over"))
	s.says("is this subscription’s now")

	// Another is left unbilled, with a reason, and billed to somebody else instead.
	s.must(s.Press("Decide … whether and to whom it is billed"))
	s.Expect("422")
	s.must(s.Press("Leave it unbilled"))
	s.says("Say in a few words why")
	s.must(s.Fill("Why", `the "director's" own <i>seat</i>`))
	s.must(s.Press("Leave it unbilled"))
	s.says("As it is now", "It is left unbilled: the", `the "director's" own <i>seat</i>`)
	s.must(s.w.Settle(t.Context(), "acme"))
	s.must(s.Press("Microsoft 365 Plan 0003"))
	s.says("Excluded", `the "director's" own <i>seat</i>`)
	s.must(s.Press("Decide … whether and to whom it is billed"))
	s.must(s.Fill("Customer in Halo", "Somebody"))
	s.must(s.Press("Show"))
	s.must(s.Look("subscription-decide"))
	s.must(s.Press("Bill it Somebody else altogether"))
	s.says("It is billed to Somebody else altogether.", "against its customer’s mapping")
	s.must(s.Press("Follow the customer’s mapping again"))
	s.says("It follows its customer’s mapping again")
	s.must(s.w.Settle(t.Context(), "acme"))

	// A line, and everything about a customer.
	s.must(s.Go("/c/acme/lines?state=held"))
	s.must(s.Look("lines"))
	s.must(s.Press("Microsoft 365 Plan 0005"))
	s.says("Licences that it bills", "The recurring invoice in Halo", "are a guess")
	s.must(s.Look("line"))
	s.must(s.Go("/c/acme/parity/rows?class=cost"))
	s.must(s.Press(awkward))
	s.says("of 9 subscriptions agree with Halo", "Its mapping", awkward)
	s.must(s.Look("customer"))
	s.must(s.Go("/c/acme/margins"))
	s.says("Harbour Dental")
	s.must(s.Look("margins"))

	// Leaving observe: what cannot be guessed is asked, then one customer is a canary.
	s.must(s.Go("/c/acme/leave-observe"))
	s.says("What cannot be guessed", "Not answered", "What stands against it", "licences would be written")
	s.must(s.Look("leave-observe"))
	s.must(s.Choose("How does Halo bill seats that come or go", "1"))
	s.must(s.Press("Keep these answers"))
	s.says("The answers are kept", "Lines that are linked already keep their own mode")
	// Somebody else changes a setting while this page is open: nothing is lost, and it says who it was.
	console := connectionv1.NewConnectionServiceClient(s.w.Client(ctl.Console))
	theirs, err := console.GetConnection(t.Context(), &connectionv1.GetConnectionRequest{Slug: "acme"})
	s.must(err)
	theirs.DisplayName = "Acme IT Ltd"
	_, err = console.ApplyConnection(t.Context(), &connectionv1.ApplyConnectionRequest{Connection: theirs})
	s.must(err)
	s.must(s.Choose("May Seatline deactivate licences", "false"))
	s.Expect("409")
	s.must(s.Press("Keep these answers"))
	s.says("was changed by", "nothing of your change was stored")
	s.must(s.Look("leave-observe-conflict"))

	s.must(s.Press("Choose a few customers"))
	s.must(s.Press("Add Harbour Dental"))
	s.says("Go on")
	s.must(s.Look("canary"))
	s.must(s.Press("Go on"))
	s.says("Begin with 1 customer?", "Harbour Dental", "Of theirs, ")
	s.must(s.Look("leave-observe-begin"))
	was := s.w.Halo.State()
	s.must(s.Press("Begin to write"))
	s.says("It writes to Halo what concerns 1 customer")
	s.must(s.w.Settle(t.Context(), "acme"))
	s.onlyTouched(was, clientNamed(was, "Harbour Dental"))
	s.must(s.Go("/c/acme"))
	s.says("This month’s changes")
	s.must(s.Look("overview-canary"))
	s.must(s.Go("/c/acme/leave-observe"))
	s.says("It writes to Halo for a few customers")
	s.must(s.Look("leave-observe-canary"))
	s.must(s.Press("Back to observe …"))
	s.must(s.Press("Back to observe"))
	s.says("It observes: nothing is written to Halo.")
	now, err := console.GetConnection(t.Context(), &connectionv1.GetConnectionRequest{Slug: "acme"})
	s.must(err)
	if now.GetMode() != connectionv1.Mode_MODE_OBSERVE || !proto.Equal(now.GetCanary(), &connectionv1.Canary{MexIds: now.GetCanary().GetMexIds()}) || now.GetBilling().ProRata == nil {
		t.Errorf("the connection is %v", now)
	}

	// A viewer sees it all, and is offered nothing.
	link, err := s.w.SignInLink(t.Context(), "vera", accessv1.Role_ROLE_VIEWER)
	s.must(err)
	s.must(s.Go(link))
	for _, path := range []string{"/c/acme/licences", "/c/acme/lines", "/c/acme/leave-observe", "/c/acme/rules"} {
		s.must(s.Go(path))
		if buttons, err := s.Truth(`document.querySelectorAll("main form[method=post]").length > 0`); err != nil || buttons {
			t.Errorf("%s offers a viewer something (%v)", path, err)
		}
	}
}

// idOf the licence in Halo of a product, of the customer at a place.
func (s *story) idOf(product string, customer int) string {
	s.Helper()
	state := s.w.Halo.State()
	for _, l := range state.Licences {
		if l.Name == product && l.ClientID == state.Clients[customer].ID {
			return decimal.NewFromInt(l.ID).String()
		}
	}
	s.Fatalf("no licence of %s", product)
	return ""
}

func clientNamed(state halosim.State, name string) int64 {
	i := slices.IndexFunc(state.Clients, func(c halosim.Client) bool { return c.Name == name })
	return state.Clients[i].ID
}

// onlyTouched fails unless exactly one customer's licences and invoices are others than before.
func (s *story) onlyTouched(was halosim.State, client int64) {
	s.Helper()
	touched := world.Touched(was, s.w.Halo.State())
	if len(touched) != 1 || touched[client] < 5 {
		s.Errorf("written to customers %v, want %d only", touched, client)
	}
}

// billed is what all lines of ours should bill a month.
func (s *story) billed() decimal.Decimal {
	s.Helper()
	sum, err := s.w.Monthly(s.Context())
	s.must(err)
	return sum
}
