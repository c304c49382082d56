package web_test

import (
	"net/http"
	"strings"
	"testing"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

func TestTheIntegratorIsSetOnItsPage(t *testing.T) {
	h := build(t, nil)
	olga := h.operator("olga")
	olga.add()
	const page = "/c/acme/integrator"
	a := olga.get(page)
	for _, says := range []string{"Enable the integrator for this connection", "Deactivate licences in Halo when they are deleted from Giacom", "Off: customers and subscriptions are imported by hand only.", "Last sync never", "No runs yet"} {
		if !a.says(says) {
			t.Errorf("the page does not say %q:\n%s", says, a.text())
		}
	}
	form := formOf(t, a, page)
	if form.Get("schedule.cron") != "0 6-22 * * *" || form.Get("schedule.time_zone") != "Europe/London" || form.Get("when") != "cron" {
		t.Errorf("the default is not hourly from 06:00 to 22:00 in London: %v", form)
	}
	if a := olga.send(page, form, "schedule.enabled", "on", "licences.deactivate_removed", "on", "schedule.customers", ""); a.to != page {
		t.Fatalf("switching on: %d %s", a.status, a.text())
	}
	c := h.connection()
	if s := c.GetSchedule(); !s.GetEnabled() || s.GetCustomers() || !s.GetSubscriptions() || s.GetInterval() != nil || !c.GetLicences().GetDeactivateRemoved() {
		t.Errorf("stored: %v", c)
	}
	if a := olga.get(page); !a.says("Every hour from 06:00 to 22:00, Europe/London: subscriptions.") || !a.says("The integrator is saved.") {
		t.Errorf("after it: %s", a.text())
	}
	if a := olga.send(page, olga.form(page, page), "when", "interval", "schedule.interval", "90"); a.to != page {
		t.Fatalf("an interval: %d %s", a.status, a.text())
	}
	if s := h.connection().GetSchedule(); s.GetInterval().GetSeconds() != 5400 || s.GetCron() != "" {
		t.Errorf("stored: %v", s)
	}
	for _, x := range []struct {
		pairs       []string
		field, says string
	}{
		{[]string{"when", "interval", "schedule.interval", ""}, "schedule.interval", "Say how many minutes"},
		{[]string{"when", "interval", "schedule.interval", "often"}, "schedule.interval", "is not a number of minutes"},
		{[]string{"when", "cron", "schedule.cron", "every hour"}, "schedule.cron", "no cron expression of five fields"},
		{[]string{"when", "cron", "schedule.cron", "0 0 31 2 *"}, "schedule.cron", "never comes due"},
		{[]string{"schedule.time_zone", "Londinium"}, "schedule.time_zone", "no time zone of the IANA database"},
		{[]string{"schedule.customers", "", "schedule.subscriptions", ""}, "schedule.customers", "Choose customers, subscriptions or both"},
	} {
		a := olga.send(page, olga.form(page, page), x.pairs...)
		if a.status != http.StatusUnprocessableEntity || !strings.Contains(a.wrong(x.field), x.says) {
			t.Errorf("%v: %d, at the field %q", x.pairs, a.status, a.wrong(x.field))
		}
	}
}

func TestTheIntegratorShowsHowItStands(t *testing.T) {
	run := func(id string, outcome runv1.Outcome, why string) *runv1.Run {
		return &runv1.Run{Id: id, Connection: "acme", Outcome: outcome, Trigger: runv1.Trigger_TRIGGER_SCHEDULED, Reason: &itemv1.Reason{Text: why}, StartTime: at(1795442700), EndTime: at(1795442760), Subscriptions: &runv1.Counts{Seen: 2011, Changed: 3, Removed: 1}}
	}
	good, bad := run("r1", runv1.Outcome_OUTCOME_SUCCEEDED, ""), run("r2", runv1.Outcome_OUTCOME_FAILED, "Giacom refused the key.")
	o := &others{
		sync: &runv1.SyncStatus{LastSuccess: good, LastRun: bad, LastError: bad}, runs: []*runv1.Run{bad, good},
		counts:  []*opsv1.RunChangeCount{{Run: "r1", Kind: "licence", Action: "update", Outcome: "applied", Count: 3}, {Run: "r1", Kind: "licence", Action: "deactivate", Outcome: "applied", Count: 1}, {Run: "r1", Kind: "invoice-line", Action: "update", Outcome: "held", Count: 2}},
		changes: []*itemv1.Change{{Id: "licence-1", Kind: "licence", Title: hostile, Action: "update", Outcome: "applied", Changes: []*itemv1.FieldChange{{Field: "count", Before: "12", After: "15"}}, MonthlyBefore: pounds("10"), MonthlyAfter: pounds("12.5")}},
	}
	for i := range int64(5) {
		o.sync.NextTimes = append(o.sync.NextTimes, at(1795446000+i*3600)) // 23 Nov 2026, 15:00
	}
	h := build(t, o)
	olga := h.operator("olga")
	olga.add()
	edit := "/c/acme/integrator"
	olga.send(edit, olga.form(edit, edit), "schedule.enabled", "on", "schedule.time_zone", "America/New_York")
	o.counts = []*opsv1.RunChangeCount{{Run: "r1", Kind: "licence", Action: "update", Outcome: "applied", Count: 3}, {Run: "r1", Kind: "licence", Action: "deactivate", Outcome: "applied", Count: 1}, {Run: "r1", Kind: "invoice-line", Action: "update", Outcome: "held", Count: 2}}
	a := olga.get(edit)
	for _, says := range []string{
		"Last error: failed", "Giacom refused the key.", "The next 5 times", "23 Nov 2026, 15:00 (10:00 in America/New_York)", "23 Nov 2026, 19:00",
		"3 licences: update", "1 licence: deactivate", "2 invoice lines: held", "3 changed, 1 removed",
	} {
		if !a.says(says) {
			t.Errorf("the page does not say %q:\n%s", says, a.text())
		}
	}
	if a := olga.get(edit + "?outcome=failed&trigger=scheduled"); a.status != http.StatusOK || !strings.Contains(o.filter, `outcome = "failed"`) || !strings.Contains(o.filter, `trigger = "scheduled"`) {
		t.Errorf("narrowed by %q", o.filter)
	}

	o.counts = []*opsv1.RunChangeCount{{Run: "r1", Kind: "licence", Action: "update", Outcome: "applied", Count: 3}}
	report := "/c/acme/runs/r1/report"
	a = olga.get(report)
	for _, says := range []string{"Report of the run of 23 Nov 2026, 14:05", "Licence Update Applied 3", hostile, "Their Giacom customer is not mapped", "£12.50"} {
		if !a.says(says) {
			t.Errorf("the report does not say %q:\n%s", says, a.text())
		}
	}
	if !strings.Contains(a.body, `href="/c/acme/imports/subscriptions/r1/file"`) {
		t.Error("the report cannot be downloaded")
	}
	o.changes = []*itemv1.Change{{Id: "licence-1", Run: "r1", Kind: "licence", Title: `=HYPERLINK("x")`, Action: "update", Outcome: "applied", MonthlyBefore: pounds("-5.00")}}
	if a := olga.get("/c/acme/imports/subscriptions/r1/file"); !strings.HasPrefix(a.header.Get("Content-Disposition"), "attachment") || !strings.Contains(a.body, `'=HYPERLINK`) || !strings.Contains(a.body, ",-5.00,") {
		t.Errorf("the file: %v %q", a.header, a.body)
	}
	if a := olga.get("/c/acme/runs/none/report"); a.status != http.StatusNotFound {
		t.Errorf("a report of nothing answers %d", a.status)
	}
	// A run that waits for a person is said first.
	o.sync.OpenRun, o.sync.NextTimes, o.sync.NoNext = run("r3", runv1.Outcome_OUTCOME_HELD, "12 of 40 would be removed."), nil, "A run is held."
	if a := olga.get(edit); !a.says("A run is held: a person must decide") || !a.says("12 of 40 would be removed.") || a.says("The next 5 times") {
		t.Errorf("a held run: %s", a.text())
	}
}
