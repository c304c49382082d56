package inty

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestWhichLicencesAreIntys(t *testing.T) {
	for name, c := range map[string]struct {
		licence Licence
		mapped  bool
		want    bool
	}{
		"status in the name":                          {Licence{Name: "Microsoft 365 Business Premium (Active)"}, false, true},
		"another status, another case":                {Licence{Name: "Exchange Online - (SUSPENDED) "}, false, true},
		"a word of the product":                       {Licence{Name: "Microsoft 365 F3 (EEA)"}, true, false},
		"Giacom's have none":                          {Licence{Name: "Microsoft 365 Business Premium", Distributor: "Giacom"}, true, false},
		"ours, adopted":                               {Licence{Name: "Visio (Active)", Mark: "giacom:acme:giacom/1"}, true, false},
		"distributor":                                 {Licence{Name: "Visio", Distributor: " intY"}, false, true},
		"status field, customer was mapped":           {Licence{Name: "Visio", Status: "Active", StatusInField: true}, true, true},
		"status field of some other connector":        {Licence{Name: "Visio", Status: "Active", StatusInField: true}, false, false},
		"status field, another distributor, mapped":   {Licence{Name: "Visio", Status: "Active", StatusInField: true, Distributor: "Pax8"}, true, false},
		"parentheses that are not at the end of name": {Licence{Name: "(Active) Directory P1"}, true, false},
	} {
		if got := IsIntys(c.licence, c.mapped); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestUnitedStates(t *testing.T) {
	yes, no := true, false
	for name, c := range map[string]struct {
		evidence Evidence
		want     Region
	}{
		"nothing known":                  {Evidence{Countries: []string{"", " "}}, Asked},
		"country":                        {Evidence{Countries: []string{"United States"}}, UnitedStates},
		"code":                           {Evidence{Countries: []string{"us"}, Currencies: []string{"USD"}}, UnitedStates},
		"currency only":                  {Evidence{Currencies: []string{"usd"}}, UnitedStates},
		"British":                        {Evidence{Countries: []string{"GB"}, Currencies: []string{"GBP"}}, Elsewhere},
		"pounds only":                    {Evidence{Currencies: []string{"GBP"}}, Elsewhere},
		"a British one billed in dollar": {Evidence{Countries: []string{"GB"}, Currencies: []string{"USD"}}, Asked},
		"two countries":                  {Evidence{Countries: []string{"GB", "USA"}}, Asked},
		"a person says no":               {Evidence{Answer: &no, Countries: []string{"US"}}, Elsewhere},
		"a person says yes":              {Evidence{Answer: &yes, Countries: []string{"GB"}}, UnitedStates},
	} {
		if got, why := Locate(c.evidence); got != c.want || why == "" {
			t.Errorf("%s: %v (%s)", name, got, why)
		}
	}
}

func TestProposals(t *testing.T) {
	customers := []Customer{
		{MexID: "MEX1", Name: "Harbour Dental", Tenants: []string{"T-1"}},
		{MexID: "MEX2", Name: "Fernhill Care Ltd"},
		{MexID: "MEX3", Name: "Twice"}, {MexID: "MEX4", Name: "Twice"},
		{MexID: "MEX5", Name: "Mapped Elsewhere", ClientID: 70},
		{MexID: "MEX6", Name: "Done", ClientID: 6},
		{MexID: "MEX7", Name: "Shared"},
	}
	for name, c := range map[string]struct {
		mapping Mapping
		tenants []string
		want    Fit
		mex     string
		why     string
	}{
		"mapped already":          {Mapping{ClientID: 6, IntyName: "Twice"}, nil, Mapped, "MEX6", "mapped"},
		"tenant before name":      {Mapping{ClientID: 1, IntyName: "Fernhill Care Ltd"}, []string{"t-1 "}, Proposed, "MEX1", "tenant"},
		"exact name of Halo":      {Mapping{ClientID: 1, IntyName: "HD", ClientName: "Harbour Dental"}, nil, Proposed, "MEX1", "same name"},
		"name but for legal form": {Mapping{ClientID: 2, IntyName: "FERNHILL CARE limited"}, nil, Proposed, "MEX2", "legal form"},
		"ambiguous":               {Mapping{ClientID: 3, IntyName: "Twice"}, nil, Ambiguous, "", "2 Giacom customers"},
		"taken by another":        {Mapping{ClientID: 5, IntyName: "Mapped Elsewhere"}, nil, Ambiguous, "", "mapped to customer 70"},
		"nobody":                  {Mapping{ClientID: 9, IntyName: "Nobody"}, nil, None, "", "by hand"},
		"no names at all":         {Mapping{ClientID: 9}, nil, None, "", "by hand"},
	} {
		got := Propose([]Mapping{c.mapping}, map[int64][]string{c.mapping.ClientID: c.tenants}, customers)[0]
		if got.Fit != c.want || got.Customer.MexID != c.mex || !strings.Contains(got.Why, c.why) {
			t.Errorf("%s: %+v", name, got)
		}
	}
	both := Propose([]Mapping{{ClientID: 1, IntyName: "Shared"}, {ClientID: 2, IntyName: "Shared"}}, nil, customers)
	if both[0].Fit != Ambiguous || both[1].Fit != Ambiguous {
		t.Errorf("one Giacom customer was proposed for two customers of Halo: %+v", both)
	}
}

func TestPairs(t *testing.T) {
	inty := func(id int64, change ...func(*Licence)) Licence {
		l := Licence{ID: id, ClientID: 39, Name: "Visio Plan 2 (Active)", Count: 5, Term: "P1Y", Active: true}
		for _, f := range change {
			f(&l)
		}
		return l
	}
	ours := func(key string, id int64, change ...func(*Giacom)) Giacom {
		g := Giacom{Key: key, HaloID: id, ClientID: 39, Name: "Visio Plan 2", SKU: "CFQ7", Count: 5, Term: "Annual"}
		for _, f := range change {
			f(&g)
		}
		return g
	}
	for name, c := range map[string]struct {
		found   []Licence
		giacom  []Giacom
		region  Region
		choices map[int64]Choice
		want    []State
		key     string // of the first
	}{
		"the only one":                     {[]Licence{inty(1)}, []Giacom{ours("a", 501)}, Elsewhere, nil, []State{Ready}, "a"},
		"adopted in place":                 {[]Licence{inty(1)}, []Giacom{ours("a", 1)}, Elsewhere, nil, []State{Adopted}, "a"},
		"adopted, even in the US":          {[]Licence{inty(1)}, []Giacom{ours("a", 1)}, UnitedStates, nil, []State{Adopted}, "a"},
		"US":                               {[]Licence{inty(1)}, []Giacom{ours("a", 501)}, UnitedStates, nil, []State{Excluded}, ""},
		"asked":                            {[]Licence{inty(1)}, []Giacom{ours("a", 501)}, Asked, nil, []State{NotAnswered}, "a"},
		"held as possible duplicate":       {[]Licence{inty(1)}, []Giacom{ours("a", 0, func(g *Giacom) { g.Rivals = []int64{1}; g.Count = 9 })}, Elsewhere, nil, []State{Duplicate}, "a"},
		"another term":                     {[]Licence{inty(1, func(l *Licence) { l.Term = "Monthly" })}, []Giacom{ours("a", 501)}, Elsewhere, nil, []State{Unpaired}, ""},
		"a term nobody knows":              {[]Licence{inty(1, func(l *Licence) { l.Term = "" })}, []Giacom{ours("a", 501)}, Elsewhere, nil, []State{Ready}, "a"},
		"another SKU":                      {[]Licence{inty(1, func(l *Licence) { l.SKU = "XX" })}, []Giacom{ours("a", 501)}, Elsewhere, nil, []State{Unpaired}, ""},
		"another customer":                 {[]Licence{inty(1, func(l *Licence) { l.ClientID = 40 })}, []Giacom{ours("a", 501)}, Elsewhere, nil, []State{Unpaired}, ""},
		"two of Inty's":                    {[]Licence{inty(1), inty(2)}, []Giacom{ours("a", 501)}, Elsewhere, nil, []State{Several, Several}, ""},
		"two of Giacom's":                  {[]Licence{inty(1)}, []Giacom{ours("a", 501), ours("b", 502)}, Elsewhere, nil, []State{Several}, ""},
		"one adopted, one left over":       {[]Licence{inty(1), inty(2)}, []Giacom{ours("a", 1)}, Elsewhere, nil, []State{Adopted, Unpaired}, "a"},
		"chosen, so the rest is clear":     {[]Licence{inty(1), inty(2)}, []Giacom{ours("a", 501), ours("b", 502)}, Elsewhere, map[int64]Choice{1: {Key: "b"}}, []State{Ready, Ready}, "b"},
		"left alone, so the rest is clear": {[]Licence{inty(1), inty(2)}, []Giacom{ours("a", 501)}, Elsewhere, map[int64]Choice{1: {Leave: true}}, []State{Left, Ready}, ""},
		"chosen in spite of the term":      {[]Licence{inty(1, func(l *Licence) { l.Term = "Monthly" })}, []Giacom{ours("a", 501)}, Elsewhere, map[int64]Choice{1: {Key: "a"}}, []State{Ready}, "a"},
		"chosen, and gone":                 {[]Licence{inty(1)}, nil, Elsewhere, map[int64]Choice{1: {Key: "a"}}, []State{Unpaired}, ""},
		"no licences of Giacom at all":     {[]Licence{inty(1)}, nil, Elsewhere, nil, []State{Unpaired}, ""},
	} {
		got := PairUp(c.found, c.giacom, map[int64]Region{39: c.region, 40: c.region}, c.choices)
		states, key := []State{}, ""
		for _, p := range got {
			states = append(states, p.State)
			if p.Why == "" {
				t.Errorf("%s: no reason for %+v", name, p)
			}
		}
		if got[0].Giacom != nil {
			key = got[0].Giacom.Key
		}
		if diff := cmp.Diff(c.want, states); diff != "" || key != c.key {
			t.Errorf("%s: %s%q", name, diff, key)
		}
	}
}

// Four times the customers take about four times as long to decide about: a page waits for it, also for 5,000 of them.
func TestAtScaleALargeProvider(t *testing.T) {
	small := min(migrate(t, 1_250), migrate(t, 1_250))
	if large := migrate(t, 5_000); large > 10*small {
		t.Errorf("5,000 customers took %s, 1,250 only %s", large, small)
	}
}

// migrate proposes and pairs all of a provider with so many customers, five licences each.
func migrate(t *testing.T, customers int64) time.Duration {
	t.Helper()
	const each = 5
	var mappings []Mapping
	var known []Customer
	var found []Licence
	var giacom []Giacom
	for c := range customers {
		mappings = append(mappings, Mapping{IntyID: fmt.Sprint(c), IntyName: fmt.Sprintf("Customer %d Ltd", c), ClientID: c + 1})
		known = append(known, Customer{MexID: fmt.Sprint("MEX", c), Name: fmt.Sprintf("CUSTOMER %d Limited", c)})
		for p := range int64(each) {
			found = append(found, Licence{ID: 1 + c*each + p, ClientID: c + 1, Name: fmt.Sprintf("Plan %d (Active)", p)})
			giacom = append(giacom, Giacom{Key: fmt.Sprint(c, "/", p), HaloID: 1_000_000 + c*each + p, ClientID: c + 1, Name: fmt.Sprintf("Plan %d", p)})
		}
	}
	began := time.Now()
	for _, p := range Propose(mappings, nil, known) {
		if p.Fit != Proposed {
			t.Fatalf("not proposed: %+v", p)
		}
	}
	regions := map[int64]Region{}
	for c := range customers {
		regions[c+1] = Elsewhere
	}
	for _, p := range PairUp(found, giacom, regions, nil) {
		if p.State != Ready {
			t.Fatalf("not paired: %+v", p)
		}
	}
	return time.Since(began)
}
