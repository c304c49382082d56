package list

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"pgregory.net/rapid"

	"seatline.dev/pkg/postgres/postgrestest"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// row of a table with everything a list may hold.
type row struct {
	key    string
	name   string
	state  int
	count  int64
	price  *string // null in places
	active bool
	at     time.Time
	lines  []string
}

func table(t testing.TB) (*pgxpool.Pool, []row) {
	t.Helper()
	pool := postgrestest.New(t)
	_, err := pool.Exec(t.Context(), `create table l (connection text, key text, name text, state smallint, origin text, count bigint, price numeric,
		active boolean, update_time timestamptz, line_keys text[], primary key (connection, key))`)
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for i := range 60 {
		r := row{
			key: fmt.Sprintf("giacom/%03d", i), name: []string{"Business Premium", "business_basic", "100% Étoile", "Exchange (Plan 1)"}[i%4],
			state: 1 + i%7, count: int64(i%5) - 1, active: i%2 == 0,
			at: time.Date(2026, 1, 1+i%3, 0, 0, 0, i*1000, time.UTC), lines: []string{fmt.Sprint(i % 3)},
		}
		if i%6 != 0 {
			price := fmt.Sprintf("%d.%d", i%7, i%10)
			r.price = &price
		}
		rows = append(rows, r)
		_, err := pool.Exec(t.Context(), `insert into l values ('demo', $1, $2, $3, $4, $5, $6::text::numeric, $7, $8, $9)`,
			r.key, r.name, r.state, []string{"mark", "operator"}[i%2], r.count, r.price, r.active, r.at, r.lines)
		if err != nil {
			t.Fatal(err)
		}
	}
	return pool, rows
}

var keys = Select{Columns: "l.key", From: "l"}

func scanKey(r pgx.CollectableRow) (key string, err error) { return key, r.Scan(&key) }

// all reads every page.
func all(ctx context.Context, pool *pgxpool.Pool, filter, order string, size int32) (found []string, pages int, err error) {
	req := &licencev1.ListLicencesRequest{PageSize: size, Filter: filter, OrderBy: order}
	for {
		q, err := licences().Query(req, Scope{"connection": "demo"})
		if err != nil {
			return nil, 0, err
		}
		page, next, err := Collect(ctx, pool, q, keys, scanKey)
		if err != nil {
			return nil, 0, fmt.Errorf("filter %q order %q token %q: %w", filter, order, req.PageToken, err)
		}
		found, pages = append(found, page...), pages+1
		if next == "" {
			return found, pages, nil
		}
		if len(page) != int(size) {
			return nil, 0, fmt.Errorf("a page of %d, not %d, promises another", len(page), size)
		}
		req.PageToken = next
	}
}

// Filters mean in the database what they mean in words.
func TestFiltersFindWhatTheySay(t *testing.T) {
	pool, rows := table(t)
	for filter, want := range map[string]func(row) bool{
		`name = "Business Premium"`:          func(r row) bool { return r.name == "Business Premium" },
		`name = "business*"`:                 func(r row) bool { return strings.HasPrefix(r.name, "business") },
		`name != "B*"`:                       func(r row) bool { return !strings.HasPrefix(r.name, "B") },
		`name : "100%"`:                      func(r row) bool { return strings.Contains(r.name, "100%") },
		`name : "s_b"`:                       func(r row) bool { return strings.Contains(r.name, "s_b") },
		`name : "ÉTOILE" OR name : "Étoile"`: func(r row) bool { return strings.Contains(r.name, "Étoile") },
		`name : "PREMIUM"`:                   func(r row) bool { return strings.Contains(r.name, "Premium") },
		`"plan 1"`:                           func(r row) bool { return strings.Contains(r.name, "Plan 1") },
		`state = (held OR parked)`: func(r row) bool {
			return r.state == int(itemv1.State_STATE_HELD) || r.state == int(itemv1.State_STATE_PARKED)
		},
		`count < 0`:                          func(r row) bool { return r.count < 0 },
		`price >= 3.50`:                      func(r row) bool { return r.price != nil && *r.price >= "3.5" },
		`NOT price >= 3.50`:                  func(r row) bool { return r.price == nil || *r.price < "3.5" },
		`price:*`:                            func(r row) bool { return r.price != nil },
		`active != true AND line_keys : "2"`: func(r row) bool { return !r.active && r.lines[0] == "2" },
		`update_time < "2026-01-02"`:         func(r row) bool { return r.at.Day() == 1 },
		`update_time >= timestamp("2026-01-03T00:00:00Z") OR count = 3`: func(r row) bool { return r.at.Day() == 3 || r.count == 3 },
		`name = "'; drop table l; --"`:                                  func(row) bool { return false },
	} {
		t.Run(filter, func(t *testing.T) {
			got, _, err := all(t.Context(), pool, filter, "", 100)
			if err != nil {
				t.Fatal(err)
			}
			var expected []string
			for _, r := range rows {
				if want(r) {
					expected = append(expected, r.key)
				}
			}
			if diff := cmp.Diff(expected, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// However a list is ordered and cut into pages, every row comes once and in the order of a single page.
func TestPagesHoldEveryRowOnce(t *testing.T) {
	pool, rows := table(t)
	fields := []string{"key", "name", "state", "count", "update_time"}
	rapid.Check(t, func(t *rapid.T) {
		var parts []string
		for _, field := range rapid.SliceOfNDistinct(rapid.SampledFrom(fields), 0, 3, rapid.ID).Draw(t, "fields") {
			parts = append(parts, field+rapid.SampledFrom([]string{"", " desc"}).Draw(t, "direction"))
		}
		order := strings.Join(parts, ", ")
		filter := rapid.SampledFrom([]string{"", "count > 0", "active = true", "connection = demo", "count = 2 connection = demo", "count = 2 OR count = 3", "name = \"B*\"", "key = \"giacom/007\""}).Draw(t, "filter")
		size := rapid.Int32Range(1, 70).Draw(t, "size")
		whole, _, err := all(context.Background(), pool, filter, order, 1000)
		if err != nil {
			t.Fatal(err)
		}
		cut, pages, err := all(context.Background(), pool, filter, order, size)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(whole, cut); diff != "" {
			t.Fatalf("order %q, pages of %d (-one page +pages):\n%s", order, size, diff)
		}
		if filter == "" && len(whole) != len(rows) {
			t.Fatalf("%d rows of %d", len(whole), len(rows))
		}
		if want := max(1, (len(whole)+int(size)-1)/int(size)); pages != want {
			t.Fatalf("%d pages of %d for %d rows", pages, size, len(whole))
		}
	})
}

func TestRowsThatComeAndGoShiftNothing(t *testing.T) {
	pool, _ := table(t)
	q, err := licences().Query(&licencev1.ListLicencesRequest{PageSize: 10})
	if err != nil {
		t.Fatal(err)
	}
	first, next, err := Collect(t.Context(), pool, q, keys, scanKey)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `delete from l where key <= 'giacom/004'; insert into l (connection, key) values ('demo', 'aaa')`); err != nil {
		t.Fatal(err)
	}
	q, err = licences().Query(&licencev1.ListLicencesRequest{PageSize: 10, PageToken: next})
	if err != nil {
		t.Fatal(err)
	}
	second, _, err := Collect(t.Context(), pool, q, keys, scanKey)
	if err != nil {
		t.Fatal(err)
	}
	if first[9] != "giacom/009" || second[0] != "giacom/010" {
		t.Errorf("after %s comes %s", first[9], second[0])
	}
}

func TestNullInAnOrderIsReportedNotSkipped(t *testing.T) {
	pool, _ := table(t)
	q, err := licences().Query(&licencev1.ListLicencesRequest{PageSize: 10, OrderBy: "price desc"})
	if err != nil {
		t.Fatal(err)
	}
	// PostgreSQL puts null first when descending, so the first page ends on one.
	if _, _, err := Collect(t.Context(), pool, q, keys, scanKey); err == nil || !strings.Contains(err.Error(), `"price" is null`) {
		t.Errorf("got %v", err)
	}
}

func TestScanIntoStructs(t *testing.T) {
	pool, rows := table(t)
	type brief struct {
		Key   string
		Count int64
	}
	q, err := licences().Query(&licencev1.ListLicencesRequest{PageSize: 3})
	if err != nil {
		t.Fatal(err)
	}
	got, next, err := Collect(t.Context(), pool, q, Select{Columns: "l.key, l.count", From: "l", Where: "l.key <> $1", Args: []any{rows[1].key}}, pgx.RowToStructByName[brief])
	if err != nil {
		t.Fatal(err)
	}
	want := []brief{{rows[0].key, rows[0].count}, {rows[2].key, rows[2].count}, {rows[3].key, rows[3].count}}
	if diff := cmp.Diff(want, got); diff != "" || next == "" {
		t.Errorf("next %q (-want +got):\n%s", next, diff)
	}
}

// A page at the end of 100,000 rows costs what the first one does: it is found, not counted to.
func TestLatePagesAreFound(t *testing.T) {
	pool, _ := table(t)
	_, err := pool.Exec(t.Context(), `insert into l (connection, key, name) select 'demo', 'k' || lpad(i::text, 6, '0'), 'x' from generate_series(1, 100000) i`)
	if err == nil {
		_, err = pool.Exec(t.Context(), `analyze l`)
	}
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		request *licencev1.ListLicencesRequest
		scope   Scope
	}{
		"scope":      {&licencev1.ListLicencesRequest{}, Scope{"connection": "demo"}},
		"filter":     {&licencev1.ListLicencesRequest{Filter: `connection = demo`}, nil},
		"both":       {&licencev1.ListLicencesRequest{Filter: `connection = demo`}, Scope{"connection": "demo"}},
		"no filter":  {&licencev1.ListLicencesRequest{}, nil},
		"descending": {&licencev1.ListLicencesRequest{OrderBy: "connection desc"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			first, err := licences().Query(test.request, test.scope)
			if err != nil {
				t.Fatal(err)
			}
			test.request.PageToken = first.token([]string{"demo", "k050000"})
			late, err := licences().Query(test.request, test.scope)
			if err != nil {
				t.Fatal(err)
			}
			sql, args := late.SQL(keys)
			plan, err := pool.Query(t.Context(), "explain (analyze, buffers, timing off, costs off, summary off) "+sql, args...)
			if err != nil {
				t.Fatal(err)
			}
			lines, err := pgx.CollectRows(plan, pgx.RowTo[string])
			if err != nil {
				t.Fatal(err)
			}
			buffers := regexp.MustCompile(`Buffers: shared hit=(\d+)`).FindStringSubmatch(strings.Join(lines, "\n"))
			if buffers == nil {
				t.Fatal(strings.Join(lines, "\n"))
			}
			// 101 rows and the way down the index; half of all would be some hundreds.
			if n, _ := strconv.Atoi(buffers[1]); n > 120 || strings.Contains(strings.Join(lines, " "), "Sort") {
				t.Errorf("the page is not read straight from the key's index:\n%s", strings.Join(lines, "\n"))
			}
			var took []time.Duration
			for range 11 {
				began := time.Now()
				page, _, err := Collect(t.Context(), pool, late, keys, scanKey)
				if err != nil || len(page) != 100 || page[0] != "k050001" && page[0] != "k049999" {
					t.Fatalf("%d rows, %v", len(page), err)
				}
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			t.Logf("median of a late page of 100: %s", took[len(took)/2])
		})
	}
}
