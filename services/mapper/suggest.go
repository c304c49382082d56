package mapper

import (
	"fmt"
	"math"
	"net/url"
	"slices"
	"strings"

	"seatline.dev/services/businessname"
)

// Suggestions: which Halo customer an unmapped Giacom customer may be. Each piece of evidence says how
// likely the two are the same; pieces add up as independent witnesses do. Numbers are judgement, kept
// in one place, and never map anything by themselves.
const (
	sureTie     = 0.97 // Halo itself ties the two
	sureTenant  = 0.94
	sureName    = 0.93 // the very same name
	sureNear    = 0.90 // but for case, accents, "&", punctuation and legal form
	sureDomain  = 0.75
	surePost    = 0.30
	sureSimilar = 0.80 // times the similarity
	leastLike   = 0.50 // similarity below which a name says nothing
	takenBy     = 0.60 // times, for a Halo customer that another Giacom customer is mapped to

	leastScore   = 40 // below which nobody is suggested
	clearMargin  = 5  // by which the best must lead to stand out
	maxSuggested = 5
)

// traits tell who a customer is besides its name, as they are stored.
type traits struct {
	Tenants   []string `json:"tenants,omitempty"`
	Domains   []string `json:"domains,omitempty"`
	PostCodes []string `json:"post_codes,omitempty"`
}

// evidence is what is known of a customer on either side.
type evidence struct {
	ID     string // mexId; empty on Halo's side
	Client int64  // Halo's id
	Name   string
	traits
}

// candidate is a Halo customer that a Giacom customer may be.
type candidate struct {
	ClientID int64    `json:"id"`
	Name     string   `json:"name"`
	Score    int32    `json:"score"`
	Reasons  []string `json:"reasons"`
}

// suggestion is what is proposed for one customer. Ambiguity says why none stands out; empty if the first does.
type suggestion struct {
	MexID      string
	Candidates []candidate
	Ambiguity  string
}

// ties of customers kept in Halo itself, and who is mapped to whom already.
type bonds struct {
	tied  map[string][]int64 // mexId to clients
	taken map[int64]string   // client to a customer mapped to it, for people
}

// suggest proposes clients for customers. It looks at all of them together: a client that two
// customers claim equally stands out for neither.
func suggest(customers, clients []evidence, b bonds) []suggestion {
	f := newFinder(clients)
	out := make([]suggestion, 0, len(customers))
	for _, c := range customers {
		var list []candidate
		for _, i := range f.near(c, b) {
			if x := f.weigh(c, i, b); x.Score >= leastScore {
				list = append(list, x)
			}
		}
		if len(list) == 0 {
			continue
		}
		slices.SortFunc(list, func(x, y candidate) int {
			if x.Score != y.Score {
				return int(y.Score - x.Score)
			}
			return int(x.ClientID - y.ClientID)
		})
		s := suggestion{MexID: c.ID, Candidates: list[:min(len(list), maxSuggested)]}
		if len(list) > 1 && list[0].Score-list[1].Score < clearMargin {
			s.Ambiguity = fmt.Sprintf("%s and %s fit about equally well.", called(list[0]), called(list[1]))
		}
		out = append(out, s)
	}
	contest(out)
	return out
}

func called(c candidate) string { return fmt.Sprintf("%q (%d)", c.Name, c.ClientID) }

// contest marks suggestions whose best client is another customer's best as well, unless it leads clearly.
func contest(all []suggestion) {
	byClient := map[int64][]int{}
	for i, s := range all {
		byClient[s.Candidates[0].ClientID] = append(byClient[s.Candidates[0].ClientID], i)
	}
	for _, rivals := range byClient {
		if len(rivals) < 2 {
			continue
		}
		slices.SortFunc(rivals, func(a, b int) int { return int(all[b].Candidates[0].Score - all[a].Candidates[0].Score) })
		best, next := all[rivals[0]].Candidates[0].Score, all[rivals[1]].Candidates[0].Score
		for n, i := range rivals {
			if n == 0 && best-next >= clearMargin || all[i].Ambiguity != "" {
				continue
			}
			other := rivals[0]
			if n == 0 {
				other = rivals[1]
			}
			all[i].Ambiguity = fmt.Sprintf("%s also fits Giacom customer %s.", called(all[i].Candidates[0]), all[other].MexID)
		}
	}
}

// finder finds clients by any piece of evidence without comparing everybody with everybody.
type finder struct {
	clients  []evidence
	names    *names
	byName   map[string][]int32
	byClient map[int64]int32
	byTenant map[string][]int32
	byDomain map[string][]int32
}

func newFinder(clients []evidence) *finder {
	f := &finder{clients: clients, byName: map[string][]int32{}, byClient: map[int64]int32{}, byTenant: map[string][]int32{}, byDomain: map[string][]int32{}}
	norm := make([]string, len(clients))
	for i, c := range clients {
		at := int32(i)
		norm[i] = businessname.Fold(c.Name)
		f.byName[norm[i]] = append(f.byName[norm[i]], at)
		f.byClient[c.Client] = at
		for _, t := range c.Tenants {
			f.byTenant[fold(t)] = append(f.byTenant[fold(t)], at)
		}
		for _, d := range c.Domains {
			f.byDomain[domainOf(d)] = append(f.byDomain[domainOf(d)], at)
		}
	}
	f.names = newNames(norm)
	return f
}

// near are the places of the clients worth weighing, in order.
func (f *finder) near(c evidence, b bonds) []int32 {
	found := slices.Clone(f.byName[businessname.Fold(c.Name)])
	for _, id := range b.tied[c.ID] {
		if i, ok := f.byClient[id]; ok {
			found = append(found, i)
		}
	}
	for _, t := range c.Tenants {
		found = append(found, f.byTenant[fold(t)]...)
	}
	for _, d := range c.Domains {
		found = append(found, f.byDomain[domainOf(d)]...)
	}
	found = append(found, f.names.nearest(businessname.Fold(c.Name), 20)...)
	slices.Sort(found)
	return slices.Compact(found)
}

// weigh says how well a client fits, and why.
func (f *finder) weigh(c evidence, at int32, b bonds) candidate {
	x := f.clients[at]
	doubt := 1.0
	out := candidate{ClientID: x.Client, Name: x.Name}
	speaks := func(sure float64, format string, args ...any) {
		doubt *= 1 - sure
		out.Reasons = append(out.Reasons, fmt.Sprintf(format, args...))
	}
	if slices.Contains(b.tied[c.ID], x.Client) {
		speaks(sureTie, "Halo itself ties the two.")
	}
	if t := sharedBy(c.Tenants, x.Tenants, fold); t != "" {
		speaks(sureTenant, "Same tenant id %s.", t)
	}
	ours, theirs := businessname.Fold(c.Name), f.names.norm[at]
	switch {
	case ours == "":
	case strings.TrimSpace(c.Name) == strings.TrimSpace(x.Name):
		speaks(sureName, "The names are equal.")
	case ours == theirs:
		speaks(sureNear, "The names are equal but for spelling or legal form.")
	default:
		if like := f.names.similarity(ours, theirs); like >= leastLike {
			speaks(sureSimilar*like, "The names are %.0f %% alike.", 100*like)
		}
	}
	if d := sharedBy(c.Domains, x.Domains, domainOf); d != "" {
		speaks(sureDomain, "Same domain %s.", d)
	}
	if p := sharedBy(c.PostCodes, x.PostCodes, postCode); p != "" {
		speaks(surePost, "Same post code %s.", p)
	}
	sure := 1 - doubt
	if by := b.taken[x.Client]; by != "" && sure > 0 {
		sure *= takenBy
		out.Reasons = append(out.Reasons, fmt.Sprintf("But Giacom customer %s is mapped to it already.", by))
	}
	out.Score = int32(math.Round(100 * sure))
	return out
}

// sharedBy is a value that both lists hold, in a common form; empty if there is none.
func sharedBy(a, b []string, form func(string) string) string {
	for _, x := range a {
		for _, y := range b {
			if v := form(x); v != "" && v == form(y) {
				return v
			}
		}
	}
	return ""
}

func fold(s string) string { return strings.ToLower(strings.TrimSpace(s)) }

// publicDomains are those that anybody may have an address at.
var publicDomains = map[string]bool{
	"gmail.com": true, "googlemail.com": true, "outlook.com": true, "hotmail.com": true, "hotmail.co.uk": true, "live.com": true, "live.co.uk": true,
	"yahoo.com": true, "yahoo.co.uk": true, "icloud.com": true, "me.com": true, "aol.com": true, "btinternet.com": true, "btconnect.com": true,
	"sky.com": true, "talktalk.net": true, "virginmedia.com": true, "msn.com": true, "proton.me": true, "protonmail.com": true,
}

// domainOf takes the domain from an address of the web or of mail; empty when anybody may have it.
func domainOf(s string) string {
	s = fold(s)
	if at := strings.LastIndexByte(s, '@'); at >= 0 {
		s = s[at+1:]
	}
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(s)
	if err != nil {
		return ""
	}
	host := strings.TrimSuffix(strings.TrimPrefix(u.Hostname(), "www."), ".")
	if !strings.Contains(host, ".") || publicDomains[host] {
		return ""
	}
	return host
}

// postCode in capitals without spaces: "sw1a 1aa" is SW1A1AA.
func postCode(s string) string {
	return strings.ToUpper(strings.Join(strings.Fields(s), ""))
}
