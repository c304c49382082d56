package overview

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	overviewv1 "seatline.dev/proto/seatline/overview/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

func sum(amount, currency string) []*moneyv1.Money {
	return []*moneyv1.Money{{Amount: amount, Currency: currency}}
}

func TestHeadline(t *testing.T) {
	for want, p := range map[string]*licencev1.Parity{
		"1,943 of 2,011 subscriptions agree with Halo; 8 licences in Halo are no longer in Giacom, still billing £212.00 a month; " +
			"19 counts differ, −£95.50 a month; 41 are on no invoice line, costing £1,204.00 a month. Sums are ex VAT.": {
			Subscriptions: 2011, Agree: 1943, Classes: []*itemv1.Standing{
				{Class: "gone", Count: 8, Billed: sum("212", "GBP")}, {Class: "stray"},
				{Class: "count", Count: 19, Billed: sum("500", "GBP"), Wanted: sum("404.5", "GBP")}, {Class: "no_line", Count: 41, Cost: sum("1204", "GBP")},
				{Class: "details", Count: 3}, {Class: "agrees", Count: 1940},
			},
		},
		"0 of 1 subscription agree with Halo; 1 belongs to a customer that is not mapped, costing EUR 1,000.00 and £2.50 a month. Sums are ex VAT.": {
			Subscriptions: 1, Classes: []*itemv1.Standing{{Class: "unmapped", Count: 1, Cost: append(sum("1000", "EUR"), sum("2.5", "GBP")...)}},
		},
		"2 of 2 subscriptions agree with Halo.": {Subscriptions: 2, Agree: 2, Classes: []*itemv1.Standing{{Class: "agrees", Count: 2}}},
	} {
		if got := Headline(p); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestAttention(t *testing.T) {
	inStep := &overviewv1.Overview{
		Enabled: true, Mode: connectionv1.Mode_MODE_AUTO, Sync: &runv1.SyncStatus{LastSuccess: &runv1.Run{}},
		Parity:  &licencev1.Parity{Classes: []*itemv1.Standing{{Class: "agrees", Count: 9}, {Class: "excluded", Count: 1}, {Class: "details", Count: 1}, {Class: "waiting", Count: 2}, {Class: "held"}}},
		Waiting: []*opsv1.Waiting{{Kind: "licence", State: itemv1.State_STATE_PARKED, Count: 1}},
	}
	london := zone(&connectionv1.Connection{})
	if got := attention(inStep, nil, london); len(got) > 0 {
		t.Errorf("nothing is amiss, and it says %q", got)
	}
	if got := InStep(inStep); got != "Everything is in step; 2 subscriptions wait for what comes by itself." {
		t.Errorf("two wait, and it says %q", got)
	}
	if got := InStep(&overviewv1.Overview{}); got != "Everything is in step." {
		t.Errorf("nothing waits, and it says %q", got)
	}
	trouble := &overviewv1.Overview{
		Enabled: true, Missing: []*overviewv1.Missing{{Service: "mapper", Text: "connection refused"}},
		Sync:        &runv1.SyncStatus{LastSuccess: &runv1.Run{}, LastError: &runv1.Run{Reason: &itemv1.Reason{Text: "Giacom says the key is wrong."}}},
		Parity:      &licencev1.Parity{Classes: []*itemv1.Standing{{Class: "no_line", Count: 1, Cost: sum("10", "GBP")}}},
		Waiting:     []*opsv1.Waiting{{Kind: "licence", State: itemv1.State_STATE_FAILED, Count: 2, Reason: &itemv1.Reason{Text: "Halo refused it."}}},
		InvoiceRuns: []*invoicelinev1.InvoiceRun{{Held: 3, Time: timestamppb.New(time.Date(2026, 7, 31, 23, 0, 0, 0, time.UTC))}, {Failed: 1, Time: timestamppb.New(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))}},
	}
	want := []string{
		"The service mapper does not answer for this connection: connection refused.",
		"Halo's own Giacom integration is switched on. Halo said so on 1 March 2026 at 09:30 GMT.",
		"The last poll did not succeed: Giacom says the key is wrong.",
		"2 licences were refused by Halo: Halo refused it.",
		"1 subscription is on no invoice line, costing £10.00 a month.",
		"Before the invoice run on 1 August 2026 at 00:00 BST 3 lines are held or refused.",
		"Before the invoice run on 1 December 2026 at 00:00 GMT 1 line is held or refused.",
	}
	others := &connectionv1.OtherWriters{Found: []*connectionv1.Blocker{{Text: "Halo's own Giacom integration is switched on."}}, LookTime: timestamppb.New(time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC))}
	if diff := cmp.Diff(want, attention(trouble, others, london)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
