package billing

import (
	"fmt"
	"testing"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/reconcile"
	"seatline.dev/pkg/rpc/list/listtest"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
)

// A page from the middle of a list of lines is found in an index, wherever it lies.
func TestAtScaleAPageIsFoundInAnIndex(t *testing.T) {
	pool := postgrestest.New(t, event.Schema, reconcile.Schema(), connections.Schema(), postgres.Embedded(Service, files))
	const n = 12_000
	_, err := pool.Exec(t.Context(), `insert into items (connection, key, instance, grp, revision, desired, applied, halo_id, state, reason_code, reason_text, facts, title, customer, currency, updated)
		select 'demo', 'line/' || lpad(i::text, 8, '0'), 'sim/sim', (i / 10)::text, 1, '{"cost": "2.50"}', '{"cost": "2.50"}', i, case when i % 20 = 3 then 5 else 1 end,
			case when i % 20 = 3 then 'prices' else '' end, '', convert_to(jsonb_build_object('invoice', i / 10, 'client', i % 300, 'client_name', 'Client ' || i % 300,
			'text', 'Line ' || i, 'linked', true, 'licences', array['microsoft/' || i], 'next', '2026-01-0' || i % 7 || 'T00:00:00')::text, 'UTF8'),
			'Client: Line', 'Client ' || i % 300, 'GBP', '2026-01-01'::timestamptz + i * 7919 % 12000 * interval '1 second'
		from generate_series(1, $1) i`, n)
	if err == nil {
		_, err = pool.Exec(t.Context(), `vacuum analyze items`)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		filter, order string
		want          int  // found in all
		sorted        bool // no index is kept for it: every write of a line would have to write it too
	}{
		{`connection = demo`, "", n, false},
		{`connection = demo AND invoice_id = 500`, "", 10, false},
		{`connection = demo AND client_id = 50`, "", n / 300, false},
		{`connection = demo AND client_name = "Client 50"`, "", n / 300, true},
		{`licence_key : "microsoft/7777"`, "", 1, false},
		{`connection = demo AND state = held`, "", n / 20, false},
		{`connection = demo AND reason = prices`, "", n / 20, true},
		{`connection = demo`, "client_name", n, true},
		{`connection = demo`, "invoice_id desc", n, true},
		{`connection = demo`, "next_invoice", n, true},
		{`connection = demo`, "update_time desc", n, true},
	} {
		t.Run(fmt.Sprint(test.filter, " ", test.order), func(t *testing.T) {
			db := &postgrestest.Explained{Pool: pool}
			found, slow := listtest.Walk(t, db, func(size int32, token string) ([]*invoicelinev1.Line, string, error) {
				return listLines(t.Context(), db, &invoicelinev1.ListLinesRequest{PageSize: size, PageToken: token, Filter: test.filter, OrderBy: test.order})
			}, (*invoicelinev1.Line).GetKey)
			if want := min(test.want, listtest.Deep+100); found != want {
				t.Errorf("%d lines, want %d", found, want)
			}
			if slow != nil && !test.sorted {
				t.Error(slow)
			}
		})
	}
}
