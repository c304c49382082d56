package mapper

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

func client7(name string, t traits) evidence { return evidence{Client: 7, Name: name, traits: t} }

// others keep words such as "dental" from being rare.
var others = []evidence{
	{Client: 101, Name: "Northgate Dental Ltd"}, {Client: 102, Name: "Quayside Dental Practice"}, {Client: 103, Name: "Elm Tree Services"},
	{Client: 104, Name: "Branch Services Group"}, {Client: 105, Name: "Oak & Ash Joinery"}, {Client: 106, Name: "Fenwick Group Services"},
}

func TestSuggestionsSayWhy(t *testing.T) {
	t.Parallel()
	tenant := traits{Tenants: []string{"0B5A3C1E-0000-4000-8000-000000000001"}}
	for name, c := range map[string]struct {
		customer evidence
		client   evidence
		bonds    bonds
		min, max int32 // of the score; 0, 0: not suggested
		says     string
	}{
		"the same name":                     {evidence{Name: "Harbour Bakery"}, client7("Harbour Bakery", traits{}), bonds{}, 90, 95, "names are equal."},
		"case and legal form":               {evidence{Name: "HARBOUR BAKERY LIMITED"}, client7("Harbour Bakery Ltd", traits{}), bonds{}, 85, 92, "equal but for spelling"},
		"accents and ampersands":            {evidence{Name: "Café Zoë & Söhne"}, client7("Cafe Zoe and Sohne Ltd.", traits{}), bonds{}, 85, 92, "equal but for spelling"},
		"a typing error":                    {evidence{Name: "Harbuor Bakery"}, client7("Harbour Bakery Ltd", traits{}), bonds{}, 60, 84, "alike"},
		"a word more":                       {evidence{Name: "Harbour Bakery Whitby"}, client7("Harbour Bakery", traits{}), bonds{}, 40, 80, "alike"},
		"another number":                    {evidence{Name: "Harbour Bakery 12"}, client7("Harbour Bakery 13", traits{}), bonds{}, 0, 0, ""},
		"another word before a common one":  {evidence{Name: "Southgate Dental"}, client7("Rivermead Dental", traits{}), bonds{}, 0, 0, ""},
		"the tenant, whatever it is called": {evidence{Name: "HB Holdings", traits: traits{Tenants: []string{"0b5a3c1e-0000-4000-8000-000000000001"}}}, client7("Harbour Bakery", tenant), bonds{}, 90, 95, "Same tenant id 0b5a3c1e"},
		"the domain":                        {evidence{Name: "HB", traits: traits{Domains: []string{"info@www.harbour.example"}}}, client7("Harbour Bakery", traits{Domains: []string{"https://Harbour.example/shop"}}), bonds{}, 70, 80, "Same domain harbour.example"},
		"a domain that anybody may have":    {evidence{Name: "HB", traits: traits{Domains: []string{"hb@gmail.com"}}}, client7("Harbour Bakery", traits{Domains: []string{"gmail.com"}}), bonds{}, 0, 0, ""},
		"a post code alone says too little": {evidence{Name: "HB", traits: traits{PostCodes: []string{"YO21 1AA"}}}, client7("Harbour Bakery", traits{PostCodes: []string{"yo211aa"}}), bonds{}, 0, 0, ""},
		"a post code beside a likeness":     {evidence{Name: "Harbour Bakery Whitby", traits: traits{PostCodes: []string{"YO21 1AA"}}}, client7("Harbour Bakery", traits{PostCodes: []string{"yo211aa"}}), bonds{}, 55, 90, "Same post code YO211AA"},
		"Halo's own word":                   {evidence{ID: "A", Name: "Z"}, client7("Harbour Bakery", traits{}), bonds{tied: map[string][]int64{"A": {7}}}, 95, 99, "Halo itself ties"},
		"somebody else's already":           {evidence{Name: "Harbour Bakery"}, client7("Harbour Bakery", traits{}), bonds{taken: map[int64]string{7: "B"}}, 50, 60, "But Giacom customer B is mapped to it"},
		"nothing in common":                 {evidence{Name: "Zebra"}, client7("Harbour Bakery", traits{}), bonds{}, 0, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			found := suggest([]evidence{c.customer}, append([]evidence{c.client}, others...), c.bonds)
			score, why := int32(0), ""
			if len(found) > 0 && found[0].Candidates[0].ClientID == 7 {
				score, why = found[0].Candidates[0].Score, strings.Join(found[0].Candidates[0].Reasons, " ")
			}
			if score < c.min || score > c.max || !strings.Contains(why, c.says) {
				t.Errorf("score %d (%s); want %d to %d with %q", score, why, c.min, c.max, c.says)
			}
		})
	}
}

func TestNobodyStandsOutAmongEquals(t *testing.T) {
	t.Parallel()
	clients := []evidence{{Client: 7, Name: "Acme Ltd"}, {Client: 8, Name: "ACME Limited"}, {Client: 9, Name: "Delta"}}
	found := suggest([]evidence{{ID: "A", Name: "Acme"}, {ID: "D1", Name: "Delta Ltd"}, {ID: "D2", Name: "delta"}}, clients, bonds{})
	got := map[string]string{}
	for _, s := range found {
		got[s.MexID] = s.Ambiguity
	}
	want := map[string]string{
		"A":  `"Acme Ltd" (7) and "ACME Limited" (8) fit about equally well.`,
		"D1": `"Delta" (9) also fits Giacom customer D2.`,
		"D2": `"Delta" (9) also fits Giacom customer D1.`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestSuggestionsKeepTheirPromises(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.SampledFrom([]string{"Acme", "Ácme", "Ltd", "Limited", "&", "and", "Dental", "Dentl", "12", "13", "<b>", "\"", "🦷", ""})
		name := rapid.Custom(func(t *rapid.T) string { return strings.Join(rapid.SliceOfN(word, 0, 4).Draw(t, "words"), " ") })
		var customers, clients []evidence
		for i, n := range rapid.SliceOfN(name, 0, 12).Draw(t, "giacom") {
			customers = append(customers, evidence{ID: fmt.Sprint("C", i), Name: n})
		}
		for i, n := range rapid.SliceOfN(name, 0, 12).Draw(t, "halo") {
			clients = append(clients, evidence{Client: int64(i + 1), Name: n})
		}
		claimed := map[int64]string{}
		for _, s := range suggest(customers, clients, bonds{}) {
			for i, c := range s.Candidates {
				if c.Score < leastScore || c.Score > 100 || len(c.Reasons) == 0 || i > 0 && c.Score > s.Candidates[i-1].Score {
					t.Fatalf("candidates %+v", s.Candidates)
				}
			}
			if s.Ambiguity != "" {
				continue
			}
			best := s.Candidates[0]
			if len(s.Candidates) > 1 && best.Score == s.Candidates[1].Score {
				t.Fatalf("two are equal at the top: %+v", s.Candidates)
			}
			if other := claimed[best.ClientID]; other != "" {
				t.Fatalf("%d stands out for %s and %s", best.ClientID, other, s.MexID)
			}
			claimed[best.ClientID] = s.MexID
		}
	})
}

// 5,000 customers and 5,000 clients, every third called a little differently.
func TestAtScaleSuggestionsForThousandsAreQuick(t *testing.T) {
	words := []string{"Harbour", "Elm", "Northern", "Fenwick", "Quay", "Oak", "Silver", "Mill", "Castle", "Abbey", "Rose", "Granite", "Falcon", "Tyne", "Severn"}
	trades := []string{"Dental", "Joinery", "Solicitors", "Logistics", "Foods", "Partners", "Care", "Motors", "Design", "Print"}
	r := rand.New(rand.NewPCG(1, 2))
	var customers, clients []evidence
	for i := range 5000 {
		name := fmt.Sprintf("%s %s%c %s", words[r.IntN(len(words))], words[r.IntN(len(words))], 'a'+rune(i%26), trades[r.IntN(len(trades))])
		clients = append(clients, evidence{Client: int64(i + 1), Name: name + " Ltd"})
		if i%3 == 0 {
			name = strings.Replace(name, "a", "e", 1)
		}
		customers = append(customers, evidence{ID: fmt.Sprint("C", i), Name: name})
	}
	began := time.Now()
	found := suggest(customers, clients, bonds{})
	took := time.Since(began)
	t.Logf("%d suggestions in %s", len(found), took)
	if len(found) < 4000 {
		t.Errorf("%d suggestions, want most of 5,000", len(found))
	}
	if limit := 30 * time.Second; took > limit { // a second or two on an idle machine; comparing all with all takes minutes
		t.Errorf("it took %s", took)
	}
}

func TestStake(t *testing.T) {
	t.Parallel()
	price := func(p string) *moneyv1.Money { return &moneyv1.Money{Amount: p, Currency: "gbp"} }
	for name, c := range map[string]struct {
		g             *giacomv1.Subscription
		month, byTerm string // empty: unknown
	}{
		"by the month":            {&giacomv1.Subscription{Quantity: "5", PurchasePrice: price("10.10"), Term: giacomv1.Term_TERM_MONTHLY}, "50.5", "50.5"},
		"no term, no cycle":       {&giacomv1.Subscription{Quantity: "5", PurchasePrice: price("2")}, "10", "10"},
		"by the year":             {&giacomv1.Subscription{Quantity: "2", PurchasePrice: price("12"), Term: giacomv1.Term_TERM_ANNUAL}, "24", "2"},
		"three years by no term":  {&giacomv1.Subscription{Quantity: "1", PurchasePrice: price("36"), Cycle: giacomv1.Cycle_CYCLE_TRIENNIAL}, "36", "1"},
		"once":                    {&giacomv1.Subscription{Quantity: "1", PurchasePrice: price("36"), Cycle: giacomv1.Cycle_CYCLE_ONE_TIME}, "0", "0"},
		"cancelled":               {&giacomv1.Subscription{Quantity: "1", PurchasePrice: price("36"), Status: giacomv1.Status_STATUS_CANCELLED}, "0", "0"},
		"no price is not nothing": {&giacomv1.Subscription{Quantity: "1"}, "", ""},
		"no quantity":             {&giacomv1.Subscription{PurchasePrice: price("1")}, "", ""},
		"an unknown term":         {&giacomv1.Subscription{Quantity: "1", PurchasePrice: price("1"), Term: giacomv1.Term_TERM_UNKNOWN}, "", ""},
	} {
		got := stakeOf(c.g)
		text := func(d *decimal.Decimal) string {
			if d == nil {
				return ""
			}
			return d.String()
		}
		if text(got.IfMonth) != c.month || text(got.IfTerm) != c.byTerm {
			t.Errorf("%s: %s and %s, want %s and %s", name, text(got.IfMonth), text(got.IfTerm), c.month, c.byTerm)
		}
	}
}
