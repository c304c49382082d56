package giacom

import "testing"

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
