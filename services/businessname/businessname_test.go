package businessname

import (
	"testing"

	"pgregory.net/rapid"
)

func TestNamesOfOneBusinessFoldToOne(t *testing.T) {
	for _, same := range [][]string{
		{"Acme Ltd", "ACME LIMITED", "Acme, Ltd.", "acme", "  Acme  (Ltd) "},
		{"Smith & Sons", "Smith and Sons LLP", "SMITH&SONS"},
		{"Café Müller PLC", "Cafe Muller"},
		{"O'Neill", "O’Neill", "ONeill"},
		{"Smith-Jones", "Smith Jones"},
	} {
		for _, n := range same {
			if got, want := Fold(n), Fold(same[0]); got != want {
				t.Errorf("%q becomes %q, %q becomes %q", n, got, same[0], want)
			}
		}
	}
	for _, pair := range [][2]string{{"Acme", "Acme 2"}, {"Limited", ""}, {"Ltd Edition", "Edition"}} {
		if Fold(pair[0]) == Fold(pair[1]) {
			t.Errorf("%q and %q both become %q", pair[0], pair[1], Fold(pair[0]))
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		n := Fold(rapid.String().Draw(t, "name"))
		if again := Fold(n); again != n {
			t.Fatalf("%q becomes %q", n, again)
		}
	})
}
