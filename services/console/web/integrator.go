package web

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/console/web/ui"
)

func integratorPages() []page {
	at := ofConnection + "/integrator"
	return []page{
		{path: at, title: "Integrator", nav: navIntegrator, handle: showIntegrator},
		{path: at, method: http.MethodPost, title: "Integrator", nav: navIntegrator, handle: integratorEditor.save},
		{path: at + "/live", title: "Integrator", nav: navIntegrator, handle: streamIntegrator},
	}
}

// The two ways of a schedule, of which a connection has one.
const (
	byInterval = "interval"
	byCron     = "cron"
)

func scheduleSettings() []settings {
	check := func(name, label, help string) setting {
		return setting{Field: ui.Field{Name: name, Label: label, Kind: "checkbox", Help: help, Wide: true}}
	}
	way := setting{Field: ui.Field{Name: "when", Label: "When", Kind: "radio"}, choices: []string{byCron, "At times of the day", byInterval, "At an interval"},
		explain: map[string]string{byCron: "By a cron expression, in a time zone.", byInterval: "So long after each other, day and night."},
		drawn: func(c *connectionv1.Connection) string {
			if c.GetSchedule().GetInterval() != nil {
				return byInterval
			}
			return byCron
		}}
	return []settings{
		{all: []setting{check("schedule.enabled", "Enable the integrator for this connection", "Customers and subscriptions are then imported by themselves.")}},
		{title: "What to import", all: []setting{
			{Field: ui.Field{Name: "schedule.customers", Label: "Customers", Kind: "checkbox"}}, {Field: ui.Field{Name: "schedule.subscriptions", Label: "Subscriptions", Kind: "checkbox"}},
			check("licences.deactivate_removed", "Deactivate licences in Halo when they are deleted from Giacom", "Only what a scheduled run finds, once it is proven gone. Otherwise they stay active, go on to be billed, and are shown with their money."),
		}},
		{title: "Schedule", all: []setting{
			way,
		}},
		{title: "At times of the day", help: "Used when that is chosen above.", all: []setting{
			{Field: ui.Field{Name: "schedule.cron", Label: "Cron expression", Placeholder: "0 6-22 * * *", Help: "Minute, hour, day, month, weekday: 0 6-22 * * * is every hour from 06:00 to 22:00; 30 7 * * 1-5 is 07:30 on working days."}},
			{Field: ui.Field{Name: "schedule.time_zone", Label: "Time zone", Placeholder: "Europe/London", Help: "By its IANA name."}},
		}},
		{title: "At an interval", help: "Used when that is chosen above.", all: []setting{
			{Field: ui.Field{Name: "schedule.interval", Label: "Interval", Kind: "number", Min: "1", After: "minutes", Placeholder: "60"}, unit: time.Minute},
		}},
	}
}

var integratorEditor = editor{
	path: "/integrator", back: "/integrator", title: "Settings",
	groups: func(*visit) []settings { return scheduleSettings() },
	header: (*visit).integratorHeader,
	finish: finishSchedule,
	saved:  "The integrator is saved.",
}

// finishSchedule leaves one of the two ways, and asks for what nobody should guess.
func finishSchedule(d draft, c *connectionv1.Connection) (wrong []rpc.Violation) {
	s := c.GetSchedule()
	switch {
	case d["when"] == byInterval && d["schedule.interval"] == "":
		wrong = append(wrong, rpc.Violation{Field: "schedule.interval", Description: "Say how many minutes are between two imports."})
	case d["when"] == byInterval:
		s.Cron = ""
	case d["schedule.cron"] == "":
		wrong = append(wrong, rpc.Violation{Field: "schedule.cron", Description: "Say when, for example 0 6-22 * * * for every hour from 06:00 to 22:00."})
	default:
		s.Interval = nil
	}
	if !s.GetCustomers() && !s.GetSubscriptions() {
		wrong = append(wrong, rpc.Violation{Field: "schedule.customers", Description: "Choose customers, subscriptions or both. To import nothing by itself, switch the integrator off."})
	}
	return wrong
}

func (v *visit) integratorHeader() ui.Header {
	header := ui.Header{Title: "Integrator", Lead: "Imports customers and subscriptions from Giacom by itself, and keeps Halo in step with them.", Badges: []ui.Badge{{Text: "Off", Tone: ui.Muted, Title: "Imports are made by hand only"}}}
	if v.connection.GetSchedule().GetEnabled() {
		header.Badges = []ui.Badge{{Text: "On", Tone: ui.Good, Title: "Imports are made by schedule"}}
	}
	if v.operator() && v.connection.GetEnabled() {
		header.Actions = []ui.Button{{Label: "Run now", Href: v.at("/runs"), Post: true, Kind: "primary", Icon: "runs"}}
	}
	return header
}

func showIntegrator(v *visit) error {
	status, err := v.syncStatus(v.ctx())
	if err != nil {
		return err
	}
	history, err := v.runHistory()
	if err != nil {
		return err
	}
	live := ui.Live{URL: v.at("/integrator/live"), Blocks: status}
	if !v.operator() {
		var all []ui.Block
		for _, g := range scheduleSettings() {
			all = append(all, settingValues(v.connection, g.all))
		}
		return v.show(v.integratorHeader(), live, ui.Section{Title: "Settings", Blocks: all}, history)
	}
	e := integratorEditor
	e.above = func(*visit) []ui.Block { return []ui.Block{live} }
	e.below = func(*visit) []ui.Block { return []ui.Block{history} }
	return e.show(v)
}

func streamIntegrator(v *visit) error {
	return v.stream(every(3*time.Second), func(ctx context.Context) ([]ui.Block, bool, error) {
		blocks, err := v.syncStatus(ctx)
		return blocks, false, err
	})
}

// syncStatus is the last and the next sync, and the last error.
func (v *visit) syncStatus(ctx context.Context) ([]ui.Block, error) {
	x, err := v.Integrator().GetIntegrator(ctx, &runv1.GetIntegratorRequest{Connection: v.slug()})
	if err != nil {
		return nil, err
	}
	var blocks []ui.Block
	if missing := silentNotice(x.GetUnknown()); missing != nil {
		blocks = append(blocks, *missing)
	}
	sync := x.GetSync()
	if r := sync.GetOpenRun(); r != nil {
		blocks = append(blocks, v.openRun(r))
	}
	if r := sync.GetLastError(); r != nil {
		n := ui.Notice{Tone: ui.Bad, Title: "Last error: " + strings.ToLower(ui.Outcome(r.GetOutcome()).Text), Text: r.GetReason().GetText(), Actions: []ui.Button{{Label: "Look at the run", Href: v.at("/runs/" + r.GetId()), Small: true}}}
		if r.GetStartTime() != nil {
			n.Next = "That was on " + ui.DateTime(r.GetStartTime().AsTime()) + "; what was known before stays as it is."
		}
		if r.GetOutcome() == runv1.Outcome_OUTCOME_INCOMPLETE || r.GetOutcome() == runv1.Outcome_OUTCOME_REJECTED {
			n.Tone = ui.Warn
		}
		blocks = append(blocks, n)
	}
	next, note := any(ui.Quiet{Value: "none"}), any(sync.GetNoNext())
	if times := sync.GetNextTimes(); len(times) > 0 {
		next, note = ui.Since(times[0], v.now()), ui.When(times[0])
	}
	last := sync.GetLastError()
	tiles := ui.Tiles{
		{Label: "Last sync", Value: v.ranAt(sync.GetLastSuccess()), Note: v.ranNote(sync.GetLastSuccess()), Href: v.runAddress(sync.GetLastSuccess())},
		{Label: "Next sync", Value: next, Note: note},
		{Label: "Last error", Value: v.ranAt(last), Note: "since the last sync that succeeded", Tone: toneIf(last != nil, ui.Bad), Href: v.runAddress(last)},
	}
	if last == nil {
		tiles[2].Value, tiles[2].Note = ui.Quiet{Value: "none"}, "since the last sync"
	}
	blocks = append(blocks, tiles)
	if times := sync.GetNextTimes(); len(times) > 0 {
		var list ui.List
		for _, t := range times {
			list.Items = append(list.Items, scheduledAt(t, x.GetSchedule().GetTimeZone()))
		}
		blocks = append(blocks, ui.Section{Title: "The next " + ui.Plural(int64(len(times)), "time", "times"), Lead: x.GetScheduleText(), Blocks: []ui.Block{list}})
	} else {
		blocks = append(blocks, ui.Section{Title: "Schedule", Lead: x.GetScheduleText()})
	}
	return blocks, nil
}

// scheduledAt is a time of the schedule, and what the clocks show there if that is elsewhere.
func scheduledAt(t *timestamppb.Timestamp, zone string) any {
	place, err := time.LoadLocation(zone)
	there := t.AsTime()
	if err != nil || ui.DateTime(there) == there.In(place).Format("2 Jan 2006, 15:04") {
		return ui.When(t)
	}
	return ui.Sentence{ui.When(t), ui.Quiet{Value: fmt.Sprintf(" (%s in %s)", there.In(place).Format("15:04"), zone)}}
}

func (v *visit) openRun(r *runv1.Run) ui.Block {
	look := []ui.Button{{Label: "Look at the run", Href: v.at("/runs/" + r.GetId()), Small: true}}
	if r.GetOutcome() == runv1.Outcome_OUTCOME_HELD {
		return ui.Notice{Tone: ui.Warn, Title: "A run is held: a person must decide", Text: r.GetReason().GetText(), Next: "Nothing is imported until it is released or rejected.", Actions: look}
	}
	return ui.Notice{Tone: ui.Info, Title: "A run is under way", Text: runStage(r.GetStage()) + ": " + ui.Plural(r.GetSubscriptions().GetSeen()+r.GetCustomers().GetSeen(), "row", "rows") + " read.", Actions: look}
}

func (v *visit) ranAt(r *runv1.Run) any {
	if r == nil {
		return ui.Quiet{Value: "never"}
	}
	return ui.Since(r.GetStartTime(), v.now())
}

func (v *visit) ranNote(r *runv1.Run) any {
	if r == nil {
		return nil
	}
	return ui.Plural(r.GetSubscriptions().GetSeen(), "subscription", "subscriptions") + " seen"
}

func (v *visit) runAddress(r *runv1.Run) string {
	if r == nil {
		return ""
	}
	return v.at("/runs/" + r.GetId())
}

// runHistory is a page of runs with what each changed in Halo.
func (v *visit) runHistory() (ui.Section, error) {
	l := v.listing()
	outcome := l.choice("outcome", "Outcome", "outcome", "", "All", "running", "Running", "succeeded", "Succeeded", "incomplete", "Incomplete", "held", "Held", "rejected", "Rejected", "failed", "Failed", "interrupted", "Interrupted")
	trigger := l.choice("trigger", "Started by", "trigger", "", "All", "scheduled", "The schedule", "manual", "A person")
	resp, err := v.Integrator().ListRunHistory(v.ctx(), &runv1.ListRunHistoryRequest{Connection: v.slug(), PageSize: 20, PageToken: l.token(), Filter: l.filter()})
	if unanswered(err) {
		return ui.Section{Title: "History", Blocks: []ui.Block{*ui.ErrorNotice(err)}}, nil
	}
	if err != nil {
		return ui.Section{}, err
	}
	t := ui.Table{
		Caption: "Runs, the newest first, with what each changed",
		Columns: []ui.Column{{Title: "Started"}, {Title: "Outcome"}, {Title: "By"}, {Title: "Took"}, {Title: "Found"}, {Title: "Changed in Halo"}, {Title: "Report"}},
		Empty:   ui.Empty{Title: "No runs yet", Text: "The first one shows here, with what it changed in Halo."},
		Pager:   l.pager(resp.GetNextPageToken(), len(resp.GetRuns())),
	}
	if l.narrowed() {
		t.Empty = ui.Empty{Title: "Nothing found", Text: "No run matches what you asked for.", Actions: []ui.Button{{Label: "Show all runs", Href: v.at("/integrator")}}}
	}
	for _, x := range resp.GetRuns() {
		r := x.GetRun()
		at := ui.DateTime(r.GetStartTime().AsTime())
		t.Rows = append(t.Rows, ui.Row{Cells: []any{
			ui.Link{Text: at, Href: v.at("/runs/" + r.GetId())}, ui.Outcome(r.GetOutcome()), startedBy(r), took(r, v.now()), runFound(r), changedWords(x.GetChanges()),
			ui.Button{Label: "Report", For: "of the run of " + at, Href: v.at("/runs/" + r.GetId() + "/report"), Small: true},
		}})
	}
	blocks := []ui.Block{l.form(outcome, trigger), t}
	if missing := silentNotice(resp.GetUnknown()); missing != nil {
		blocks = append([]ui.Block{*missing}, blocks...)
	}
	return ui.Section{Title: "History", Blocks: blocks}, nil
}

// runFound says what a run found, in words; why it did not come to an end if it did not.
func runFound(r *runv1.Run) any {
	if why := r.GetReason().GetText(); why != "" {
		return ui.Quiet{Value: why}
	}
	s := r.GetSubscriptions()
	var parts []string
	for _, x := range []struct {
		n    int64
		word string
	}{{s.GetNew(), "new"}, {s.GetChanged(), "changed"}, {s.GetAbsent(), "missing"}, {s.GetRemoved(), "removed"}, {s.GetSuperseded(), "under another id"}} {
		if x.n > 0 {
			parts = append(parts, ui.Count(x.n)+" "+x.word)
		}
	}
	if len(parts) == 0 {
		return ui.Quiet{Value: "nothing new"}
	}
	return strings.Join(parts, ", ")
}

// changedWords are what came of a run in Halo: "12 licences: create".
func changedWords(counts []*runv1.ChangeCount) any {
	var out ui.Lines
	for _, n := range counts {
		what := actionWord(n.GetAction())
		if n.GetOutcome() != "applied" {
			what = n.GetOutcome()
		}
		out = append(out, countedKind(n)+": "+what)
	}
	if len(out) == 0 {
		return ui.Quiet{Value: "nothing"}
	}
	return out
}

func countedKind(n *runv1.ChangeCount) string {
	one := strings.ToLower(kindWord(n.GetKind()))
	return ui.Plural(n.GetCount(), one, one+"s")
}
