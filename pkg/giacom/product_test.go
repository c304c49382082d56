package giacom

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestOneProductUnderTwoNames(t *testing.T) {
	const offer, other = "CFQ7TTC0LCHC:0002", "CFQ7TTC0LH18:0001"
	for name, c := range map[string]struct {
		a, b Product
		same bool
	}{
		"equal":                               {Product{"Business Premium", ""}, Product{"business  premium ", ""}, true},
		"the term that AccountTotals appends": {Product{"Business Premium", offer}, Product{"Business Premium (NCE Annual Term)", "55-a"}, true},
		"the status that Inty appends":        {Product{"Business Premium", ""}, Product{"Business Premium (Active)", ""}, true},
		"both":                                {Product{"Business Premium", ""}, Product{"Business Premium (NCE Annual Term) (Active)", ""}, true},
		"ids of one kind decide":              {Product{"Business Premium", offer}, Product{"Business Premium", other}, false},
		"so do Giacom's":                      {Product{"A", "55-a"}, Product{"B", "55-A"}, true},
		"ids of two kinds say nothing":        {Product{"Business Premium", offer}, Product{"Business Basic", "55-a"}, false},
		"other words in brackets are a name":  {Product{"Business Premium (no Teams)", ""}, Product{"Business Premium", ""}, false},
		"no name is no match":                 {Product{"", offer}, Product{"", "55-a"}, false},
	} {
		if got := c.a.Same(c.b); got != c.same || c.b.Same(c.a) != got {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// What is looked up by its keys alone must not miss the same product under another name.
func TestProductsThatAreTheSameHaveAKeyInCommon(t *testing.T) {
	names := rapid.SampledFrom([]string{"", "Exchange Online", "exchange  online (Active)", "EXCHANGE ONLINE - (NCE Annual Term)", "Exchange Online (Plan 1)", "K"})
	skus := rapid.SampledFrom([]string{"", " ", "CFQ7TTC0HD32:0002", " cfq7ttc0hd32:0002", "4711", "4711 ", "\u212a-1", "k-1", "K-1", "\u017f", "s"})
	rapid.Check(t, func(t *rapid.T) {
		p, q := Product{names.Draw(t, "name"), skus.Draw(t, "SKU")}, Product{names.Draw(t, "other name"), skus.Draw(t, "other SKU")}
		common := slices.ContainsFunc(p.Keys(), func(key string) bool { return slices.Contains(q.Keys(), key) })
		if p.Same(q) && !common {
			t.Fatalf("%q and %q are one product, and have no key in common: %q and %q", p, q, p.Keys(), q.Keys())
		}
		if slices.ContainsFunc(p.Keys(), func(key string) bool { return strings.TrimSpace(key) == "" }) {
			t.Fatalf("a key of %q is empty", p)
		}
	})
}
