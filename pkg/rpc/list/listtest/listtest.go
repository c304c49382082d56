// Package listtest holds lists to what they promise: every row comes once, and a page costs the same wherever it lies.
package listtest

import (
	"testing"

	"seatline.dev/pkg/postgres/postgrestest"
)

// Deep is how many rows Walk goes past before it asks for the page that is looked at.
const Deep = 6000

// Walk goes deep into a list and then asks for a page of a hundred rows; in a shorter list its last page is the one
// looked at. It returns how many rows there were on the way, which all differ in their key, and an error if the last
// page was not found in an index.
func Walk[T any](t testing.TB, db *postgrestest.Explained, page func(size int32, token string) (rows []T, next string, err error), key func(T) string) (found int, slow error) {
	t.Helper()
	seen, token, size := map[string]bool{}, "", int32(1000)
	for {
		rows, next, err := page(size, token)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range rows {
			if seen[key(x)] {
				t.Fatalf("%s comes twice", key(x))
			}
			seen[key(x)] = true
		}
		if next == "" || size == 100 {
			return len(seen), db.FoundInIndex(len(rows))
		}
		if token = next; len(seen) == Deep {
			size = 100
		}
	}
}
