package billing

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/servicetest"
)

// still is a way to Halo on which a process stands still once, after it has read an invoice in order to write it.
type still struct {
	mu   sync.Mutex
	then func()
}

func (s *still) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := http.DefaultTransport.RoundTrip(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.then != nil && r.Method == http.MethodGet && strings.HasSuffix(r.URL.Path, "/RecurringInvoice/-1") {
		s.then()
		s.then = nil
	}
	return res, err
}

// A process reads an invoice and stands still until another has taken it over and written it. It does not write any more.
func TestWhoStoodStillDoesNotWriteAnInvoice(t *testing.T) {
	t.Parallel()
	s := &still{}
	b := newBench(t, halosim.Config{}, estate(1), func(c *Config) { c.Transport = s })
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	b.licence(aLicenceEvent(1, 1, 5, "10"))
	b.settled()
	s.mu.Lock()
	s.then = func() {
		if taken, err := servicetest.TakeOver(t.Context(), b.pool); !taken || err != nil {
			t.Errorf("taken over: %v, %v", taken, err)
		}
		if err := b.sim.EditInvoice(-1, func(i *halosim.Invoice) { i.Lines[0].UnitCost = halosim.Pounds("11") }); err != nil {
			t.Error(err)
		}
	}
	s.mu.Unlock()
	b.sim.ResetRequests()
	b.licence(aLicenceEvent(1, 1, 5, "11"))
	b.settled()
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := b.sim.Requests()["POST /RecurringInvoice"]; n != 0 || s.then != nil {
		t.Errorf("%d writes, stood still: %t; want none, another had written it", n, s.then == nil)
	}
	if got := b.state("-1/1001"); got != "in_sync" {
		t.Errorf("the line is %s", got)
	}
}
