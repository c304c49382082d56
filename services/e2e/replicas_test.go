package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
	"seatline.dev/services/oracle"
	"seatline.dev/services/seatline/ctl"
)

// Two replicas of everything: Halo holds what it would with one, nothing is written twice, and an invoice has one writer.
// Halo keeps a journal of who wrote what.
func TestTwoReplicasOfEverything(t *testing.T) {
	t.Parallel()
	data := estate.Plain(estate.Config{Seed: 11, Customers: 20, Subscriptions: 200, Now: time.Now()}, estate.LinkedLines)
	s := tell(t, plot{estate: data, rules: keepAndAdd, world: world.Options{Replicas: 2, Halo: halosim.Config{Journal: 20_000}}})
	s.poll(true)
	s.right("after the first import by two replicas")
	want := map[string]int{} // the mark of each licence is written, once
	for _, l := range s.w.Halo.State().Licences {
		want[fmt.Sprint("licence ", l.ID)] = 1
	}
	seen := s.writtenOnce(0, want)

	// Three runs hard on each other's heels, each with another third of every invoice's lines: while one replica writes
	// an invoice, there is work on it for the other.
	clear(want)
	licences, lines := map[string]int64{}, map[int64]int64{}
	for _, l := range s.w.Halo.State().Licences {
		licences[l.SnowID] = l.ID
	}
	for line, licence := range s.links() {
		lines[licence] = line
	}
	newcomers := s.newCustomers(data, 5)
	s.must(s.w.Halo.Inject(halosim.Fault{Name: "slow", Method: "GET", Route: "/RecurringInvoice/{id}", Delay: 400 * time.Millisecond}))
	for third := range 3 {
		for i, sub := range data.Giacom.Subscriptions {
			if i%3 != third {
				continue
			}
			licence := licences["giacom:acme:microsoft/"+sub.GUID]
			s.must(s.w.Giacom.SetSeats(sub.ID, sub.Quantity.Decimal.IntPart()+1))
			s.must(s.w.Giacom.SetPrice(sub.ID, sub.Price.Decimal.Add(sub.Price.Decimal)))
			want[fmt.Sprint("licence ", licence)], want[fmt.Sprint("line ", lines[licence])] = 1, 1
		}
		run, err := s.w.Run(s.ctx, "acme", true)
		s.must(err)
		s.oracle.Observe(s.w.Giacom.Account(), oracle.Run{Scheduled: true, Complete: run.GetComplete(), At: time.Now()})
	}
	s.settle()
	s.w.Halo.Clear("")
	s.right("after many changes")
	for _, mark := range newcomers {
		licence := s.licence(mark)
		want[fmt.Sprint("licence ", licence.ID)], want[fmt.Sprint("client ", licence.ClientID)] = 1, 1
	}
	seen = s.writtenOnce(seen, want)

	for i, service := range []string{ctl.Licence, ctl.Billing, ctl.Mapper, ctl.Fetcher} {
		s.must(s.w.Kill(s.ctx, service, 1))
		s.must(s.w.Giacom.SetSeats(data.Giacom.Subscriptions[0].ID, int64(160+i)))
		s.must(s.w.Giacom.Rename("MEX90001", fmt.Sprintf("Newcomer of the %s Ltd", service)))
		s.poll(true)
		s.right("after a replica of " + service + " was killed")
		seen = s.writtenOnce(seen, map[string]int{
			fmt.Sprint("licence ", s.licence("microsoft/"+data.Giacom.Subscriptions[0].GUID).ID): 1,
			fmt.Sprint("client ", s.licence(newcomers[0]).ClientID):                              1,
		})
	}
}

// newCustomers come to Giacom whom Halo does not know, with a subscription each; their marks.
func (s *story) newCustomers(data estate.Data, n int) (marks []string) {
	s.Helper()
	for i := range n {
		c := giacomsim.Customer{MexID: fmt.Sprintf("MEX9%04d", i+1), Name: fmt.Sprintf("Newcomer %c Ltd", 'A'+i)}
		s.w.Giacom.PutCustomer(c)
		sub := data.Giacom.Subscriptions[0]
		sub.ID, sub.MexID, sub.GUID = fmt.Sprintf("99%06d", i), c.MexID, fmt.Sprintf("0c0c0c0c-0000-4000-8000-%012d", i)
		s.must(s.w.Giacom.PutSubscription(sub))
		marks = append(marks, "microsoft/"+sub.GUID)
	}
	return marks
}

// links is by line which licence it links; of the estate's lines each links one at most.
func (s *story) links() map[int64]int64 {
	_, all := world.Links(s.w.Halo.State())
	one := make(map[int64]int64, len(all))
	for line, licences := range all {
		one[line] = licences[0]
	}
	return one
}

// writtenOnce looks at the journal of Halo after an entry, and gives the last one. Each customer, licence and line that is
// named must have been written as often, and nothing else; no write may have said what stood there already; and whoever
// writes an invoice reads it before, and after, without anybody else at it meanwhile.
func (s *story) writtenOnce(after int, want map[string]int) (last int) {
	s.Helper()
	got, invoices := map[string]int{}, map[int64][]halosim.Entry{}
	for _, e := range s.w.Halo.Journal() {
		if last = e.Seq; e.Seq <= after {
			continue
		}
		if e.Write && !e.Changed {
			s.Errorf("%s wrote %s %d, where all was so already: %s", e.By, e.Kind, e.ID, e.Sent)
		}
		if e.Kind == "invoice" {
			invoices[e.ID] = append(invoices[e.ID], e)
		} else {
			got[fmt.Sprint(e.Kind, " ", e.ID)]++
		}
	}
	for what, n := range want {
		if got[what] != n {
			s.Errorf("%s was written %d times, want %d", what, got[what], n)
		}
	}
	for what, n := range got {
		if want[what] == 0 {
			s.Errorf("%s was written %d times, and nothing of it had changed", what, n)
		}
	}
	writers := map[string]int{}
	for id, entries := range invoices {
		for i, e := range entries {
			if e.Write {
				writers[e.By]++
			}
			if e.Write && (i == 0 || i == len(entries)-1 || entries[i-1].Write || entries[i+1].Write || entries[i-1].By != e.By || entries[i+1].By != e.By) {
				s.Errorf("invoice %d was written by two at a time: %s", id, told(entries))
				break
			}
		}
	}
	s.Logf("%d customers, licences and lines were written, invoices by %v", len(got), writers)
	return last
}

func told(entries []halosim.Entry) string {
	var all []string
	for _, e := range entries {
		did := "reads"
		if e.Write {
			did = "writes"
		}
		all = append(all, fmt.Sprintf("%d %s %s", e.Seq, e.By, did))
	}
	return strings.Join(all, ", ")
}
