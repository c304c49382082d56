package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"seatline.dev/pkg/event"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

func TestLinesAreWrittenSeldomAndEndWithTheLastPicture(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	l := &lines{out: &out, stages: map[string]*line{}, now: func() time.Time { return now }}
	for i := range 5 {
		l.set("Licences", int64(i), 10, "writing licence")
		now = now.Add(900 * time.Millisecond)
	}
	l.set("Licences", 10, 10, "")
	l.finish()
	want := []string{"Licences 0 of 10 writing licence", "Licences 3 of 10 writing licence", "Licences 10 of 10"}
	var got []string
	for text := range strings.Lines(out.String()) {
		got = append(got, strings.Join(strings.Fields(text), " "))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
}

func TestSummaryForAPerson(t *testing.T) {
	var out bytes.Buffer
	s := &summary{
		connection: "demo", took: 12345 * time.Millisecond, subscriptions: 2200, created: 8,
		customers:    map[mappingv1.State]int{mappingv1.State_STATE_MAPPED: 150, mappingv1.State_STATE_UNMAPPED: 10},
		licences:     map[itemv1.State]int{itemv1.State_STATE_IN_SYNC: 2000, itemv1.State_STATE_HELD: 12, itemv1.State_STATE_RETIRED: 3},
		lines:        map[itemv1.State]int{itemv1.State_STATE_IN_SYNC: 1900},
		billed:       map[string]decimal.Decimal{"GBP": decimal.RequireFromString("48210.4")},
		waiting:      map[waiting]int{{"licence", "held", "price basis"}: 12, {"subscription", "parked", "customer not mapped"}: 40},
		haloRequests: 321, haloRoutes: map[string]int{"POST /SoftwareLicence": 200, "GET /Client": 121},
	}
	s.print(&out)
	for _, want := range []string{
		"Settled in 12.3s.", "160  customers", "150 mapped, 8 of them created by Seatline; 10 not mapped", "2,200  subscriptions",
		"2,012  licences", "2,000 exactly as they should be", "48,210.40  GBP a month", "ex VAT", "321  Halo requests", "200 POST /SoftwareLicence",
		"licence        held: price basis", "subscription   parked: customer not mapped",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("does not say %q:\n%s", want, out.String())
		}
	}
	if strings.Index(out.String(), "customer not mapped") > strings.Index(out.String(), "price basis") {
		t.Error("the most frequent reason does not come first")
	}
}

func TestSentences(t *testing.T) {
	encode := func(entity string, m any) event.Event {
		var e event.Event
		switch m := m.(type) {
		case *runv1.Run:
			e = event.Event{Type: "seatline.run.completed.v1", Entity: entity, Connection: "demo", Key: "k", Revision: 1, Source: "seatline/test", Log: true, ID: "i", Time: time.Now(), Data: m}
		case *itemv1.Change:
			e = event.Event{Type: "seatline.change.applied.v1", Entity: entity, Connection: "demo", Key: "k", Revision: 1, Source: "seatline/test", Log: true, ID: "i", Time: time.Now(), Data: m}
		}
		msg, err := event.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		back, err := event.Decode(msg)
		if err != nil {
			t.Fatal(err)
		}
		return back
	}
	for _, c := range []struct {
		name string
		e    event.Event
		want string
	}{
		{"run that found nothing", encode("run", &runv1.Run{Outcome: runv1.Outcome_OUTCOME_SUCCEEDED, Subscriptions: &runv1.Counts{Seen: 9}}), "run: 9 subscriptions, nothing changed"},
		{"run that found something", encode("run", &runv1.Run{Outcome: runv1.Outcome_OUTCOME_SUCCEEDED, Subscriptions: &runv1.Counts{Seen: 9, New: 2, Removed: 1}}), "run: 9 subscriptions, 2 new, 0 changed, 0 missing, 1 removed"},
		{"run under way", encode("run", &runv1.Run{Outcome: runv1.Outcome_OUTCOME_RUNNING}), ""},
		{"held run", encode("run", &runv1.Run{Id: "r1", Outcome: runv1.Outcome_OUTCOME_HELD, Reason: &itemv1.Reason{Text: "Release it."}}), "run r1: held. Release it."},
		{"change", encode("change", &itemv1.Change{Kind: "licence", Outcome: "applied", Action: "update", Title: "Bad\x1b[2JCo: Copilot",
			Changes: []*itemv1.FieldChange{{Field: "count", Before: "5", After: "7"}}}), "licence applied: Bad [2JCo: Copilot (update) count 5→7"},
		{"something else", event.Event{Entity: "licence"}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sentence(c.e); got != c.want {
				t.Errorf("says %q, want %q", got, c.want)
			}
		})
	}
}

func TestSeparate(t *testing.T) {
	for in, want := range map[string]string{"0": "0", "999": "999", "1000": "1,000", "1234567": "1,234,567", "-1234": "-1,234"} {
		if got := separate(in); got != want {
			t.Errorf("%s is %s, want %s", in, got, want)
		}
	}
}
