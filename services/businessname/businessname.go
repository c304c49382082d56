// Package businessname compares names of businesses as people write them.
package businessname

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// legalForms are dropped from the end of names.
var legalForms = []string{"ltd", "limited", "llp", "plc"}

// Fold makes names equal that people write differently: case, accents, "&" and "and",
// punctuation, spacing, legal forms at the end. Apostrophes and full stops vanish (O'Neill, Ltd.);
// other punctuation separates words (Smith-Jones).
func Fold(name string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(strings.ToLower(name)) {
		switch {
		case r == '&':
			b.WriteString(" and ")
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’', r == '.':
		case unicode.IsLetter(r), unicode.IsDigit(r):
			b.WriteRune(r)
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
