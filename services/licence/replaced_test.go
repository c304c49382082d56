package licence

import (
	"testing"
	"time"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
)

// A licence of Inty's is deactivated while billing says that a line replaced it, and nothing else of it changes.
func TestReplacedLicencesOfInty(t *testing.T) {
	t.Parallel()
	of := func(id int64) halosim.Licence {
		return halosim.Licence{ID: id, Type: 1, Name: "Visio (Active)", Count: 7, ClientID: 1, IsActive: true, Distributor: "Inty"}
	}
	w := newWorld(t, halosim.Config{}, 2, of(501), of(502))
	stop := w.start()
	w.connect()
	replace := func(key string, ids ...int64) {
		w.billed(key, func(l *invoicelinev1.Line) {
			for _, id := range ids {
				l.Replaced = append(l.Replaced, &invoicelinev1.Replaced{HaloId: id, ClientId: 1, ClientName: "Customer 1", Name: "Visio (Active)", Who: "sue"})
			}
		})
	}
	replace("-9/1", 501)
	replace("-9/2")
	w.wantHalo("1 7 false ", "1 7 true ")
	if got := w.state("inty/501"); got != "in_sync" {
		t.Errorf("the replaced licence is %s", got)
	}
	var who string
	if err := w.pool.QueryRow(t.Context(), `select who from changes where key = 'inty/501' and outcome = 'applied'`).Scan(&who); err != nil || who != "sue" {
		t.Errorf("the change log names %q (%v)", who, err)
	}

	stop()
	w.start()
	replace("-9/2", 502, 501) // a second line of the first, and one more
	w.wantHalo("1 7 false ", "1 7 false ")

	replace("-9/1") // one of two lines was put back: the other still replaces it
	w.wantHalo("1 7 false ", "1 7 false ")
	replace("-9/2", 502)
	w.wantHalo("1 7 true ", "1 7 false ")

	// What is not ours is never created anew, and what is gone is not waited for.
	w.sim.Set(halosim.State{Clients: []halosim.Client{{ID: 1, Name: "Customer 1"}}})
	replace("-9/2")
	w.settle()
	if n := len(w.sim.State().Licences); n != 0 {
		t.Errorf("%d licences were created", n)
	}
}

// While the connection observes, nothing is deactivated; it is once the mode is auto.
func TestReplacedLicencesWaitForTheMode(t *testing.T) {
	t.Parallel()
	w := newWorld(t, halosim.Config{}, 1, halosim.Licence{ID: 501, Type: 1, Name: "Visio (Active)", Count: 7, ClientID: 1, IsActive: true})
	w.conn.Mode = connectionv1.Mode_MODE_OBSERVE
	w.start()
	eventtest.Send(t, w.bus, event.Event{ // before its connection is known
		Type: "seatline.invoice_line.changed.v1", Entity: "invoice-line", Connection: "demo", Key: "-9/1", Revision: time.Now().UnixMicro(),
		Data: &invoicelinev1.Line{Connection: "demo", Key: "-9/1", Replaced: []*invoicelinev1.Replaced{{HaloId: 501, ClientId: 1, Name: "Visio (Active)"}}},
	})
	w.settle()
	w.connect()
	w.wantHalo("1 7 true ")
	if got := w.state("inty/501"); got != "held observe" {
		t.Errorf("the replaced licence is %s", got)
	}
	w.conn.Mode = connectionv1.Mode_MODE_AUTO
	w.connect()
	w.wantHalo("1 7 false ")
}
