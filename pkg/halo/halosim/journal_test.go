package halosim

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheJournalTellsWhatWasWrittenAndWhetherItChangedAnything(t *testing.T) {
	b := serve(t, Config{Journal: 100})
	told := func() (all []string) {
		for _, e := range b.Journal() {
			did := "read"
			switch {
			case e.Created:
				did = "made"
			case e.Changed:
				did = "changed"
			case e.Write:
				did = "repeated"
			}
			all = append(all, fmt.Sprint(did, " ", e.Kind, " ", e.ID))
		}
		return all
	}
	b.want(201, "POST", "/api/SoftwareLicence", `[{"id":501,"client_id":39,"count":26},{"client_id":39,"name":"New","count":1}]`)
	b.want(201, "POST", "/api/SoftwareLicence", `[{"id":501,"client_id":39,"count":26}]`)
	b.want(201, "POST", "/api/Client", `[{"id":39,"name":"Acme Ltd"}]`)
	b.want(201, "POST", "/api/Client", `[{"id":39,"name":"Acme Limited"}]`)
	invoice := b.want(200, "GET", "/api/RecurringInvoice/-94", "")
	b.want(201, "POST", "/api/RecurringInvoice", "["+invoice+"]")
	b.want(201, "POST", "/api/RecurringInvoice", "["+strings.Replace(strings.Replace(invoice, `"unit_price":50`, `"unit_price":51`, 1), `"change_seq":7`, `"change_seq":8`, 1)+"]")
	want := []string{
		"changed licence 501", "made licence 502", "repeated licence 501", "repeated client 39", "changed client 39",
		"read invoice -94", "repeated invoice -94", "changed invoice -94", "changed line 911",
	}
	if diff := cmp.Diff(want, told()); diff != "" {
		t.Error(diff)
	}
	for i := range 200 {
		b.want(201, "POST", "/api/SoftwareLicence", fmt.Sprintf(`[{"id":501,"client_id":39,"count":%d}]`, i))
	}
	if all := b.Journal(); len(all) > 100 || all[len(all)-1].Seq != len(want)+200 {
		t.Errorf("%d entries are kept, the last is the %dth", len(all), all[len(all)-1].Seq)
	}
}
