package inty

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
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

// Propose finds the Giacom customer of an old mapping: the tenant decides, else the exact name, else
// the name but for case, punctuation and legal form. tenants are those of Inty's licences of that Halo
// customer. Nothing is guessed where several fit.
func Propose(m Mapping, tenants []string, customers []Customer) Proposal {
	for _, c := range customers {
		if c.ClientID == m.ClientID && m.ClientID != 0 {
			return Proposal{Fit: Mapped, Customer: c, Why: "mapped"}
		}
	}
	mine := slices.Concat(tenants, []string{m.TenantID})
	names := []string{m.IntyName, m.ClientName}
	for _, by := range []struct {
		what string
		fits func(Customer) bool
	}{
		{"the same Microsoft tenant", func(c Customer) bool { return meet(mine, c.Tenants) }},
		{"the same name", func(c Customer) bool {
			return slices.ContainsFunc(names, func(n string) bool {
				return strings.TrimSpace(n) != "" && strings.TrimSpace(n) == strings.TrimSpace(c.Name)
			})
		}},
		{"the same name but for case, punctuation or legal form", func(c Customer) bool {
			return slices.ContainsFunc(names, func(n string) bool { return plain(n) != "" && plain(n) == plain(c.Name) })
		}},
	} {
		var fit []Customer
		for _, c := range customers {
			if by.fits(c) {
				fit = append(fit, c)
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

// ProposeAll is Propose for all old mappings together: one Giacom customer is proposed once only.
func ProposeAll(mappings []Mapping, tenants map[int64][]string, customers []Customer) []Proposal {
	out := make([]Proposal, len(mappings))
	takers := map[string]map[int64]bool{}
	for i, m := range mappings {
		out[i] = Propose(m, tenants[m.ClientID], customers)
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

func meet(a, b []string) bool {
	return slices.ContainsFunc(a, func(x string) bool {
		x = strings.TrimSpace(x)
		return x != "" && slices.ContainsFunc(b, func(y string) bool { return strings.EqualFold(x, strings.TrimSpace(y)) })
	})
}

var legalForms = []string{"ltd", "limited", "llc", "inc", "plc", "llp"}

// plain is a name as far as spellings of it agree.
func plain(name string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(strings.ToLower(strings.ReplaceAll(name, "&", " and "))) {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r):
			b.WriteRune(r)
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’', r == '.':
		default:
			b.WriteByte(' ')
		}
	}
	words := strings.Fields(b.String())
	for len(words) > 1 && slices.Contains(legalForms, words[len(words)-1]) {
		words = words[:len(words)-1]
	}
	return strings.Join(words, " ")
}
