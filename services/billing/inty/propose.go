package inty

import (
	"fmt"
	"slices"
	"strings"

	"seatline.dev/services/businessname"
)

// Mapping is a row of inty_client_mappings as it was saved.
type Mapping struct {
	IntyID, IntyName  string
	ClientID          int64
	ClientName        string
	TenantID          string
	Country, Currency string // from a file
}

// Customer of Giacom, and the Halo customer it is mapped to (0: none). Ignored ones are left out.
type Customer struct {
	MexID, Name string
	Tenants     []string
	Country     string
	ClientID    int64
}

// Fit says how an old mapping stands in Giacom.
type Fit int

const (
	None      Fit = iota
	Mapped        // its Halo customer is mapped already
	Proposed      // exactly one Giacom customer fits
	Ambiguous     // several fit, or the one that fits is mapped elsewhere
)

// Proposal is what an old mapping means in Giacom, and why.
type Proposal struct {
	Fit        Fit
	Customer   Customer
	Why        string
	Candidates []string // Giacom ids, where several fit
}

// index finds Giacom customers by what an old mapping may know of them.
type index struct {
	byClient                  map[int64]Customer
	byTenant, byName, byPlain map[string][]Customer
}

func indexOf(customers []Customer) index {
	x := index{map[int64]Customer{}, map[string][]Customer{}, map[string][]Customer{}, map[string][]Customer{}}
	add := func(in map[string][]Customer, key string, c Customer) {
		if key != "" && !slices.ContainsFunc(in[key], func(o Customer) bool { return o.MexID == c.MexID }) {
			in[key] = append(in[key], c)
		}
	}
	for _, c := range customers {
		if c.ClientID != 0 {
			x.byClient[c.ClientID] = c
		}
		for _, t := range c.Tenants {
			add(x.byTenant, tenant(t), c)
		}
		add(x.byName, strings.TrimSpace(c.Name), c)
		add(x.byPlain, businessname.Fold(c.Name), c)
	}
	return x
}

func tenant(id string) string { return strings.ToLower(strings.TrimSpace(id)) }

// propose finds the Giacom customer of an old mapping: the tenant decides, else the exact name, else
// the name but for case, punctuation and legal form. tenants are those of Inty's licences of that Halo
// customer. Nothing is guessed where several fit.
func (x index) propose(m Mapping, tenants []string) Proposal {
	if c, ok := x.byClient[m.ClientID]; ok && m.ClientID != 0 {
		return Proposal{Fit: Mapped, Customer: c, Why: "mapped"}
	}
	for _, by := range []struct {
		what  string
		words []string
		key   func(string) string
		in    map[string][]Customer
	}{
		{"the same Microsoft tenant", slices.Concat(tenants, []string{m.TenantID}), tenant, x.byTenant},
		{"the same name", []string{m.IntyName, m.ClientName}, strings.TrimSpace, x.byName},
		{"the same name but for case, punctuation or legal form", []string{m.IntyName, m.ClientName}, businessname.Fold, x.byPlain},
	} {
		var fit []Customer
		for _, w := range by.words {
			for _, c := range by.in[by.key(w)] {
				if !slices.ContainsFunc(fit, func(o Customer) bool { return o.MexID == c.MexID }) {
					fit = append(fit, c)
				}
			}
		}
		switch {
		case len(fit) == 0:
			continue
		case len(fit) > 1:
			p := Proposal{Fit: Ambiguous, Why: fmt.Sprintf("%d Giacom customers have %s", len(fit), by.what)}
			for _, c := range fit {
				p.Candidates = append(p.Candidates, c.MexID)
			}
			return p
		case fit[0].ClientID != 0:
			return Proposal{Fit: Ambiguous, Candidates: []string{fit[0].MexID}, Why: fmt.Sprintf("%s (%s) has %s, but is mapped to customer %d of Halo", fit[0].MexID, fit[0].Name, by.what, fit[0].ClientID)}
		}
		return Proposal{Fit: Proposed, Customer: fit[0], Why: by.what}
	}
	return Proposal{Why: "no Giacom customer has its tenant or its name; map it by hand"}
}

// Propose finds the Giacom customers of the old mappings; one Giacom customer is proposed once only.
func Propose(mappings []Mapping, tenants map[int64][]string, customers []Customer) []Proposal {
	out := make([]Proposal, len(mappings))
	known, takers := indexOf(customers), map[string]map[int64]bool{}
	for i, m := range mappings {
		out[i] = known.propose(m, tenants[m.ClientID])
		if out[i].Fit == Proposed {
			id := out[i].Customer.MexID
			if takers[id] == nil {
				takers[id] = map[int64]bool{}
			}
			takers[id][m.ClientID] = true
		}
	}
	for i := range out {
		if out[i].Fit == Proposed && len(takers[out[i].Customer.MexID]) > 1 {
			out[i] = Proposal{Fit: Ambiguous, Candidates: []string{out[i].Customer.MexID},
				Why: fmt.Sprintf("%s (%s) fits %d old mappings to different customers of Halo", out[i].Customer.MexID, out[i].Customer.Name, len(takers[out[i].Customer.MexID]))}
		}
	}
	return out
}
