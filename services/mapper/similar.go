package mapper

import (
	"math"
	"slices"
	"strings"
	"unicode"
)

// names compares customer names within one list of Halo's: a word that many of them have says little.
type names struct {
	clients  int
	with     map[string]int     // word to how many clients have it
	trigrams map[string][]int32 // trigram to the places of clients that have it
	norm     []string
	shared   []int32 // scratch of nearest: all 0 between calls
}

func newNames(norm []string) *names {
	n := &names{clients: len(norm), with: map[string]int{}, trigrams: map[string][]int32{}, norm: norm, shared: make([]int32, len(norm))}
	for i, name := range norm {
		for w := range wordSet(name) {
			n.with[w]++
		}
		for t := range trigramSet(name) {
			n.trigrams[t] = append(n.trigrams[t], int32(i))
		}
	}
	return n
}

// nearest are the places of up to limit names that share most trigrams with a normalised name.
func (n *names) nearest(name string, limit int) []int32 {
	var touched []int32
	set := trigramSet(name)
	for t := range set {
		if at := n.trigrams[t]; len(at)*4 <= n.clients || len(at) <= 200 { // one that every fourth name has finds nothing
			for _, i := range at {
				if n.shared[i] == 0 {
					touched = append(touched, i)
				}
				n.shared[i]++
			}
		}
	}
	// By count, the best first; a name that shares less than a third is no match.
	best := make([][]int32, len(set)+1)
	for _, i := range touched {
		if k := int(n.shared[i]); 3*k >= len(set) {
			best[k] = append(best[k], i)
		}
		n.shared[i] = 0
	}
	var out []int32
	for k := len(best) - 1; k > 0 && len(out) < limit; k-- {
		slices.Sort(best[k])
		out = append(out, best[k][:min(len(best[k]), 2*limit)]...)
	}
	return out
}

// similarity of two normalised names, 0 to 1: the share of their words that they have in common,
// typing errors forgiven, rare words counting more. Numbers must be the same: Branch 12 is not Branch 13.
func (n *names) similarity(a, b string) float64 {
	as, bs := strings.Fields(a), strings.Fields(b)
	used := make([]bool, len(bs))
	var common, all float64
	differ := false
	for _, x := range as {
		weight := n.weight(x)
		at, how := -1, 0.0
		for j, y := range bs {
			if used[j] {
				continue
			}
			if s := alike(x, y); s > how {
				at, how = j, s
			}
		}
		if at < 0 {
			all += weight
			differ = differ || numbered(x)
			continue
		}
		used[at] = true
		weight = (weight + n.weight(bs[at])) / 2
		common, all = common+how*weight, all+weight
	}
	for j, y := range bs {
		if !used[j] {
			all += n.weight(y)
			differ = differ || numbered(y)
		}
	}
	if all == 0 {
		return 0
	}
	if differ {
		common /= 2
	}
	return common / all
}

func (n *names) weight(word string) float64 {
	return math.Log(1 + float64(n.clients+1)/float64(1+n.with[word]))
}

// alike tells how far two words are the same but for typing errors: 1 equal, 0 different words.
func alike(a, b string) float64 {
	if a == b {
		return 1
	}
	if numbered(a) || numbered(b) {
		return 0
	}
	x, y := []rune(a), []rune(b)
	long := max(len(x), len(y))
	if long < 4 || 4*abs(len(x)-len(y)) > long {
		return 0
	}
	if s := 1 - float64(distance(x, y))/float64(long); s >= 0.75 {
		return s
	}
	return 0
}

func abs(n int) int { return max(n, -n) }

func numbered(word string) bool { return strings.IndexFunc(word, unicode.IsDigit) >= 0 }

// distance is how many letters must be added, dropped or replaced, or neighbours exchanged.
func distance(a, b []rune) int {
	before, row := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		earlier := before
		before, row = row, make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(before[j]+1, row[j-1]+1, before[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], earlier[j-2]+1)
			}
		}
	}
	return row[len(b)]
}

func wordSet(name string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(name) {
		out[w] = true
	}
	return out
}

// trigramSet is the sequences of three letters of each word, with its beginning marked.
func trigramSet(name string) map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(name) {
		r := []rune("^" + w + "$")
		for i := 0; i+3 <= len(r); i++ {
			out[string(r[i:i+3])] = true
		}
	}
	return out
}
