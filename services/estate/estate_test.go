package estate

import (
	"cmp"
	"encoding/json"
	"os"
	"regexp"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
)

func TestGenerateIsTheSameForASeed(t *testing.T) {
	one, two, three := Generate(Config{Seed: 1}), Generate(Config{Seed: 1}), Generate(Config{Seed: 2})
	if string(jsonOf(t, one)) != string(jsonOf(t, two)) {
		t.Error("one seed gives two estates")
	}
	if string(jsonOf(t, one)) == string(jsonOf(t, three)) {
		t.Error("two seeds give one estate")
	}
	if c, s := len(one.Giacom.Customers), len(one.Giacom.Subscriptions); c < 150 || s < 2000 {
		t.Errorf("%d customers, %d subscriptions", c, s)
	}
}

func jsonOf(t *testing.T, v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestEveryCaseIsThere looks up every Case constant of the source, and that what its tag names exists.
func TestEveryCaseIsThere(t *testing.T) {
	d := Generate(Config{Seed: 3})
	source, err := os.ReadFile("cases.go")
	if err != nil {
		t.Fatal(err)
	}
	all := regexp.MustCompile(`Case = "([^"]+)"`).FindAllSubmatch(source, -1)
	if len(all) < 50 {
		t.Fatalf("only %d cases in the source", len(all))
	}
	h := index(d)
	for _, m := range all {
		tag := d.Find(Case(m[1]))
		if tag.SubscriptionID != "" && !h.subs[tag.SubscriptionID] || tag.ClientID != 0 && !h.clients[tag.ClientID] ||
			tag.LicenceID != 0 && !h.licences[tag.LicenceID] || tag.InvoiceID != 0 && !h.invoices[tag.InvoiceID] || tag.Line != 0 && h.lines[tag.Line] != tag.InvoiceID {
			t.Errorf("%s: %+v names what is not there", m[1], tag)
		}
	}
}

type indexed struct {
	subs                        map[string]bool
	clients, licences, invoices map[int64]bool
	lines                       map[int64]int64
}

func index(d Data) indexed {
	x := indexed{map[string]bool{}, map[int64]bool{}, map[int64]bool{}, map[int64]bool{}, map[int64]int64{}}
	for _, s := range d.Giacom.Subscriptions {
		x.subs[s.ID] = true
	}
	for _, c := range d.Halo.Clients {
		x.clients[c.ID] = true
	}
	for _, l := range d.Halo.Licences {
		x.licences[l.ID] = true
	}
	for _, i := range d.Halo.Invoices {
		x.invoices[i.ID] = true
		for _, l := range i.Lines {
			x.lines[l.ID] = i.ID
		}
	}
	return x
}

// TestConsistent: ids are unique, references point to something, and filling the simulators keeps all as it is.
func TestConsistent(t *testing.T) {
	d := Generate(Config{Seed: 4})
	x := index(d)
	if len(x.subs) != len(d.Giacom.Subscriptions) || len(x.clients) != len(d.Halo.Clients) || len(x.licences) != len(d.Halo.Licences) || len(x.invoices) != len(d.Halo.Invoices) {
		t.Error("an id is there twice")
	}
	lines, rows := 0, map[int64]bool{}
	for _, i := range d.Halo.Invoices {
		if !x.clients[i.ClientID] {
			t.Errorf("invoice %d is nobody's", i.ID)
		}
		lines += len(i.Lines)
		for _, l := range i.Lines {
			for _, r := range l.Subscriptions {
				if rows[r.ID] || r.LicenceID != 0 && !x.licences[r.LicenceID] {
					t.Errorf("line %d: row %+v", l.ID, r)
				}
				rows[r.ID] = true
			}
		}
	}
	if lines != len(x.lines) {
		t.Error("a line id is there twice")
	}
	g, h := giacomsim.New(giacomsim.Config{}), halosim.New(halosim.Config{})
	if err := d.Fill(g, h); err != nil {
		t.Fatal(err)
	}
	if diff := gocmp.Diff(d.Giacom, g.Account()); diff != "" {
		t.Error(diff)
	}
	if diff := gocmp.Diff(d.Halo.Clients, h.State().Clients); diff != "" {
		t.Error(diff)
	}
}

// TestBothFeedsCoverEachOnce: with both methods at once, what is in the report must be left out of the other feed, and
// nothing else.
func TestBothFeedsCoverEachOnce(t *testing.T) {
	plain := Plain(Config{Customers: 3, Subscriptions: 30}, NoLines)
	for _, s := range append(Generate(Config{Seed: 6}).Giacom.Subscriptions, plain.Giacom.Subscriptions...) {
		if got := giacom.LooksMicrosoft(cmp.Or(s.Reference, s.Name), s.Service, s.ProductID); got != (s.GUID != "") {
			t.Errorf("%s %q of %q looks like Microsoft's: %v", s.ID, s.Name, s.Service, got)
		}
	}
}

func TestPlain(t *testing.T) {
	d := Plain(Config{Customers: 7, Subscriptions: 100}, LinkedLines)
	if len(d.Giacom.Customers) != 7 || len(d.Giacom.Subscriptions) != 100 || len(d.Halo.Licences) != 100 || len(d.Halo.Invoices) != 7 {
		t.Errorf("%d %d %d %d", len(d.Giacom.Customers), len(d.Giacom.Subscriptions), len(d.Halo.Licences), len(d.Halo.Invoices))
	}
	if d := Plain(Config{Customers: 7, Subscriptions: 100}, NoLines); len(d.Halo.Licences)+len(d.Halo.Invoices) != 0 {
		t.Error("lines against the option")
	}
	if d := Generate(Config{Seed: 1, Subscriptions: 20_000}); len(d.Giacom.Subscriptions) < 19_500 || len(d.Giacom.Customers) < 1500 {
		t.Errorf("%d subscriptions of %d customers", len(d.Giacom.Subscriptions), len(d.Giacom.Customers))
	}
}

func TestEvolve(t *testing.T) {
	evolve := func(seed uint64) (giacomsim.Account, map[string]int) {
		g := giacomsim.New(giacomsim.Config{Now: func() time.Time { return time.Unix(1.8e9, 0) }})
		if err := Generate(Config{Seed: 5}).Fill(g, halosim.New(halosim.Config{})); err != nil {
			t.Fatal(err)
		}
		e := NewEvolver(g, seed, func() time.Time { return time.Unix(1.8e9, 0) })
		kinds := map[string]int{}
		for range 400 {
			kinds[e.Step().What]++
		}
		return g.Account(), kinds
	}
	one, kinds := evolve(1)
	two, _ := evolve(1)
	if diff := gocmp.Diff(one, two); diff != "" {
		t.Error(diff)
	}
	for _, kind := range []string{"seats", "price", "new", "removed", "returned", "renewed", "status", "renamed", "new customer"} {
		if kinds[kind] == 0 {
			t.Errorf("400 steps made no %q: %v", kind, kinds)
		}
	}
}
