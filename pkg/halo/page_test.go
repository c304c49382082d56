package halo

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"testing"
)

// paged serves rows 1..n in one of the manners a server might page.
func paged(n int, serve func(no, size int) (from, to, count int)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		no, _ := strconv.Atoi(q.Get("page_no"))
		size, _ := strconv.Atoi(q.Get("page_size"))
		if q.Get("pageinate") != "true" || no == 0 || size == 0 {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		from, to, count := serve(no, size)
		items := []map[string]any{}
		for i := from; i < min(to, n); i++ {
			items = append(items, map[string]any{"id": i + 1})
		}
		reply := map[string]any{"columns": []int{}, "items": items}
		if count >= 0 {
			reply["record_count"] = count
		}
		_ = json.NewEncoder(w).Encode(reply)
	}
}

func TestEveryMannerOfPagingIsReadToItsEnd(t *testing.T) {
	const n = 2345
	for _, c := range []struct {
		name     string
		serve    func(no, size int) (from, to, count int)
		requests int64
		fails    bool
	}{
		{"as asked", func(no, size int) (int, int, int) { return (no - 1) * size, no * size, n }, 3, false},
		{"capped, counting pages by the cap", func(no, size int) (int, int, int) {
			size = min(size, 100)
			return (no - 1) * size, no * size, n
		}, 24, false},
		{"capped, counting pages by what was asked", func(no, size int) (int, int, int) {
			return (no - 1) * size, (no-1)*size + min(size, 100), n
		}, 24, false},
		{"no count", func(no, size int) (int, int, int) { return (no - 1) * size, no * size, -1 }, 3, false},
		{"paging ignored", func(int, int) (int, int, int) { return 0, n, n }, 1, false},
		{"paging ignored, no count", func(int, int) (int, int, int) { return 0, n, -1 }, 2, false},
		{"the same page again and again", func(int, int) (int, int, int) { return 0, 1000, n }, 2, true},
		{"stops short", func(no, size int) (int, int, int) { return (no - 1) * size, min(no*size, 1500), n }, 4, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &stub{}
			cl, _ := serve(t, s, paged(n, c.serve))
			seen := map[Int]bool{}
			var failed error
			for item, err := range cl.Items(context.Background()) {
				if err != nil {
					failed = err
					break
				}
				if seen[item.ID] {
					t.Fatalf("row %d came twice", item.ID)
				}
				seen[item.ID] = true
			}
			if c.fails {
				if ClassOf(failed) != Unavailable {
					t.Errorf("got %v after %d rows, want an incomplete list to be an error", failed, len(seen))
				}
			} else if failed != nil || len(seen) != n {
				t.Errorf("%d of %d rows, %v", len(seen), n, failed)
			}
			if got := s.calls.Load(); got > c.requests {
				t.Errorf("%d requests, want at most %d", got, c.requests)
			}
		})
	}
}

func TestRowsUnderAnUnknownKeyOrNone(t *testing.T) {
	for _, body := range []string{`[{"id":1,"halo_id":3}]`, `{"record_count":1,"externallinks":[{"id":1}]}`, `{"external_links":[{"id":1}],"columns":[1]}`} {
		c, _ := serve(t, &stub{}, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		n := 0
		for _, err := range c.ExternalLinks(context.Background(), TableCustomer, 0) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		if n != 1 {
			t.Errorf("%s: %d rows", body, n)
		}
	}
}

func TestProbes(t *testing.T) {
	const line = `{"id":1,"unit_price":2.50}`
	for _, c := range []struct {
		name, licences, licence, invoices, invoice string
		want                                       Capabilities
	}{
		{
			"everything", `{"record_count":1,"licences":[{"id":5,"snowid":"giacom:a:b/1"}]}`, `{"id":5}`,
			`{"record_count":1,"invoices":[{"id":-9,"lines":[` + line + `]}]}`, `{"id":-9,"lines":[` + line + `]}`, Capabilities{Yes, Yes, 0},
		},
		{
			"nothing", `{"record_count":2,"licences":[{"id":5}]}`, `{"id":5,"snowid":"giacom:a:b/1"}`,
			`{"record_count":1,"invoices":[{"id":-9}]}`, `{"id":-9,"lines":[` + line + `]}`, Capabilities{No, No, 1},
		},
		{
			"thin lines", `{"record_count":0,"licences":[]}`, ``,
			`{"record_count":1,"invoices":[{"id":-9,"lines":[{"id":1}]}]}`, `{"id":-9,"lines":[` + line + `]}`, Capabilities{Unknown, No, 0},
		},
		{"an empty instance", `{"record_count":0,"licences":[]}`, ``, `{"record_count":0,"invoices":[]}`, ``, Capabilities{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cl, _ := serve(t, &stub{}, func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, map[string]string{
					"/api/SoftwareLicence": c.licences, "/api/SoftwareLicence/5": c.licence,
					"/api/RecurringInvoice": c.invoices, "/api/RecurringInvoice/-9": c.invoice,
				}[r.URL.Path])
			})
			got, err := cl.Probe(context.Background(), Capabilities{})
			if err != nil || got != c.want {
				t.Errorf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}
