package web

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/console/web/ui"
)

func runsPages() []page {
	runs, run := ofConnection+"/runs", ofConnection+"/runs/{run}"
	return []page{
		{path: runs, title: "Runs", nav: navRuns, handle: showRuns},
		{path: runs, method: http.MethodPost, title: "Start a run", handle: startRun},
		{path: run, title: "Run", nav: navRuns, handle: showRun},
		{path: run + "/live", title: "Run", nav: navRuns, handle: streamRun},
		{path: run + "/decide", title: "Decide on a held run", nav: navRuns, handle: askDecision},
		{path: run + "/decide", method: http.MethodPost, title: "Decide on a held run", nav: navRuns, handle: decideRun},
	}
}

func showRuns(v *visit) error {
	l := v.listing()
	outcome := l.choice("outcome", "Outcome", "outcome", "", "All", "running", "Running", "succeeded", "Succeeded", "incomplete", "Incomplete", "held", "Held", "rejected", "Rejected", "failed", "Failed", "interrupted", "Interrupted")
	trigger := l.choice("trigger", "Started by", "trigger", "", "All", "scheduled", "The schedule", "manual", "A person")
	l.and("connection = " + quote(v.connection.GetSlug()))
	order := l.order()
	if order == "" {
		order = "start_time desc"
	}
	resp, err := v.Runs().ListRuns(v.ctx(), &runv1.ListRunsRequest{PageSize: pageSize, PageToken: l.token(), Filter: l.filter(), OrderBy: order})
	if err != nil {
		return err
	}
	t := ui.Table{
		Caption: "Runs, the newest first",
		Columns: []ui.Column{l.sorted(ui.Column{Title: "Started"}, "start_time"), {Title: "Outcome"}, {Title: "By"}, {Title: "Took"}, {Title: "Seen", Num: true}, {Title: "New", Num: true}, {Title: "Changed", Num: true}, {Title: "Removed", Num: true}, {Title: "Why", Wide: true}},
		Empty:   ui.Empty{Title: "No runs yet", Text: "A run reads customers and subscriptions from Giacom and finds out what changed. Start one, or switch the schedule on."},
		Pager:   l.pager(resp.GetNextPageToken(), len(resp.GetRuns())),
	}
	if l.narrowed() {
		t.Empty = ui.Empty{Title: "Nothing found", Text: "No run matches what you asked for.", Actions: []ui.Button{{Label: "Show all runs", Href: v.at("/runs")}}}
	}
	for _, r := range resp.GetRuns() {
		s := r.GetSubscriptions()
		t.Rows = append(t.Rows, ui.Row{Cells: []any{
			ui.Link{Text: ui.DateTime(r.GetStartTime().AsTime()), Href: v.at("/runs/" + r.GetId())}, ui.Outcome(r.GetOutcome()), startedBy(r), took(r, v.now()),
			s.GetSeen(), s.GetNew(), s.GetChanged(), s.GetRemoved(), ui.Quiet{Value: r.GetReason().GetText()},
		}})
	}
	header := ui.Header{Title: "Runs", Lead: "Each run polls Giacom once. What it finds goes on from there: to mappings, licences and invoice lines."}
	if v.operator() && v.connection.GetEnabled() {
		header.Actions = []ui.Button{{Label: "Run now", Href: v.at("/runs"), Post: true, Kind: "primary", Icon: "runs"}}
	}
	return v.show(header, l.form(outcome, trigger), t)
}

func startedBy(r *runv1.Run) any {
	if r.GetTrigger() == runv1.Trigger_TRIGGER_SCHEDULED {
		return "Schedule"
	}
	if r.GetWho() != "" {
		return r.GetWho()
	}
	return "A person"
}

func took(r *runv1.Run, now time.Time) any {
	if r.GetStartTime() == nil {
		return nil
	}
	end := now
	if r.GetEndTime() != nil {
		end = r.GetEndTime().AsTime()
	}
	return ui.Span(end.Sub(r.GetStartTime().AsTime()))
}

func startRun(v *visit) error {
	r, err := v.Runs().StartRun(v.ctx(), &runv1.StartRunRequest{
		Connection: v.connection.GetSlug(), Customers: v.form("customers") != "", Subscriptions: v.form("subscriptions") != "",
	})
	if err != nil {
		return err
	}
	return v.done(v.at("/runs/" + r.GetId()))
}

func showRun(v *visit) error {
	r, err := v.readRun()
	if err != nil {
		return err
	}
	header := ui.Header{
		Title:  "Run of " + ui.DateTime(r.GetStartTime().AsTime()),
		Crumbs: []ui.Link{{Text: "Runs", Href: v.at("/runs")}},
	}
	if finished(r) {
		return v.show(header, v.runBlocks(r)...)
	}
	return v.show(header, ui.Live{URL: v.at("/runs/" + r.GetId() + "/live"), Blocks: v.runBlocks(r)})
}

// readRun of the connection at hand: another's is not shown under this one's name.
func (v *visit) readRun() (*runv1.Run, error) {
	r, err := v.Runs().GetRun(v.ctx(), &runv1.GetRunRequest{Id: v.param("run")})
	if err != nil {
		return nil, err
	}
	if r.GetConnection() != v.connection.GetSlug() {
		return nil, notOfConnection("run", r.GetId(), v.connection.GetSlug())
	}
	return r, nil
}

func finished(r *runv1.Run) bool {
	return r.GetOutcome() != runv1.Outcome_OUTCOME_RUNNING && r.GetOutcome() != runv1.Outcome_OUTCOME_UNSPECIFIED
}

// streamRun sends the run whenever it changes, until it ends.
func streamRun(v *visit) error {
	if _, err := v.readRun(); err != nil {
		return err
	}
	watch, err := v.Runs().WatchRun(v.ctx(), &runv1.GetRunRequest{Id: v.param("run")})
	if err != nil {
		return err
	}
	var last *runv1.Run
	return v.stream(func(context.Context) error { return nil }, func(context.Context) ([]ui.Block, bool, error) {
		r, err := watch.Recv()
		if errors.Is(err, io.EOF) && last != nil {
			return v.runBlocks(last), true, nil
		}
		if err != nil {
			return nil, true, err
		}
		last = r
		return v.runBlocks(r), finished(r), nil
	})
}

var stages = []struct{ name, text string }{{"fetching", "Read from Giacom"}, {"comparing", "Compare with what was known"}, {"publishing", "Tell the other services"}}

func (v *visit) runBlocks(r *runv1.Run) []ui.Block {
	var blocks []ui.Block
	switch r.GetOutcome() {
	case runv1.Outcome_OUTCOME_HELD:
		n := ui.Notice{Tone: ui.Warn, Title: "Held: a person must decide", Text: r.GetReason().GetText(), Next: "Nothing of it was passed on. Release it if the removals are right; reject it if Giacom’s answer looks wrong."}
		if v.operator() {
			to := v.at("/runs/" + r.GetId() + "/decide")
			n.Actions = []ui.Button{{Label: "Release …", Href: to + "?as=release", Kind: "primary"}, {Label: "Reject …", Href: to + "?as=reject"}}
		}
		blocks = append(blocks, n)
	case runv1.Outcome_OUTCOME_FAILED, runv1.Outcome_OUTCOME_INTERRUPTED:
		blocks = append(blocks, ui.Notice{Tone: ui.Bad, Title: ui.Outcome(r.GetOutcome()).Text, Text: r.GetReason().GetText(), Next: "What was known before stays as it is. Start another run when the cause is mended."})
	case runv1.Outcome_OUTCOME_INCOMPLETE, runv1.Outcome_OUTCOME_REJECTED:
		blocks = append(blocks, ui.Notice{Tone: ui.Warn, Title: ui.Outcome(r.GetOutcome()).Text, Text: r.GetReason().GetText()})
	}
	if !finished(r) {
		blocks = append(blocks, ui.Section{Blocks: []ui.Block{
			ui.Progress{Label: runStage(r.GetStage()), Done: r.GetSubscriptions().GetSeen() + r.GetCustomers().GetSeen(), Note: "rows read"},
			runSteps(r.GetStage()),
		}})
	}
	s, c := r.GetSubscriptions(), r.GetCustomers()
	counts := ui.Table{Caption: "What the run found", Columns: []ui.Column{{Title: "Of"}, {Title: "Seen", Num: true}, {Title: "New", Num: true}, {Title: "Changed", Num: true}, {Title: "Unchanged", Num: true}, {Title: "Missing", Num: true}, {Title: "Removed", Num: true}, {Title: "Unreadable", Num: true}}}
	for _, x := range []struct {
		name string
		n    *runv1.Counts
	}{{"Customers", c}, {"Subscriptions", s}} {
		counts.Rows = append(counts.Rows, ui.Row{Cells: []any{x.name, x.n.GetSeen(), x.n.GetNew(), x.n.GetChanged(), x.n.GetUnchanged(), x.n.GetAbsent(), x.n.GetRemoved(), x.n.GetBad()}})
	}
	complete := "No: what did not come does not count as missing"
	switch {
	case !finished(r):
		complete = ""
	case r.GetComplete():
		complete = "Yes: every page came, nothing looked short"
	}
	return append(blocks, ui.Split{
		Main: []ui.Block{ui.Section{Title: "What it found", Blocks: []ui.Block{counts}}},
		Side: []ui.Block{ui.Section{Title: "About it", Blocks: []ui.Block{ui.Definitions{
			{Term: "Outcome", Value: ui.Outcome(r.GetOutcome())},
			{Term: "Started by", Value: startedBy(r)},
			{Term: "Began", Value: ui.When(r.GetStartTime())},
			{Term: "Ended", Value: ui.When(r.GetEndTime())},
			{Term: "Complete", Value: complete},
			{Term: "Requests to Giacom", Value: r.GetRequests()},
			{Term: "Changes", Value: ui.Link{Text: "What it changed in Halo", Href: v.at("/changes?run=" + r.GetId())}},
			{Term: "Report", Value: ui.Link{Text: "To be kept", Href: v.at("/runs/" + r.GetId() + "/report")}},
			{Term: "Id", Value: ui.Mono(r.GetId())},
		}}}},
	})
}

func runStage(stage string) string {
	for _, s := range stages {
		if s.name == stage {
			return s.text
		}
	}
	return "Starting"
}

func runSteps(stage string) ui.Steps {
	at := -1
	for i, s := range stages {
		if s.name == stage {
			at = i
		}
	}
	var steps ui.Steps
	for i, s := range stages {
		step := ui.Step{Title: s.text}
		switch {
		case i < at:
			step.State = "done"
		case i == at:
			step.State = "current"
		}
		steps = append(steps, step)
	}
	return steps
}

func askDecision(v *visit) error {
	r, err := v.readRun()
	if err != nil {
		return err
	}
	return v.showDecision(http.StatusOK, r, v.query("as"), ui.Field{}, nil)
}

func (v *visit) showDecision(status int, r *runv1.Run, as string, given ui.Field, notice *ui.Notice) error {
	back := v.at("/runs/" + r.GetId())
	given.Name, given.Label, given.Kind, given.Required, given.Wide = "reason", "Why", "textarea", true, true
	given.Help, given.Rows = "Goes into the record, with your name.", 3
	c := ui.Confirm{
		Text: "The run found " + ui.Plural(r.GetSubscriptions().GetRemoved(), "subscription", "subscriptions") + " gone from Giacom. " + r.GetReason().GetText(),
		Form: ui.Form{Action: back + "/decide", Cancel: back, Groups: ui.Fields(given, ui.Field{Name: "as", Kind: "hidden", Value: as})},
	}
	title := "Release this run?"
	if as == "reject" {
		title = "Reject this run?"
		c.Consequences = []string{"What the run found is discarded; nothing of it is passed on.", "What was known before stays as it is, and the next run looks again."}
		c.Form.Submit = "Reject the run"
	} else {
		c.Consequences = []string{"What the run found is passed on, removals included.", "Where the connection deactivates removed licences, they become inactive in Halo, and their lines stop billing."}
		c.Form.Submit, c.Form.Danger = "Release the run", true
	}
	blocks := []ui.Block{c}
	if notice != nil {
		blocks = []ui.Block{*notice, c}
	}
	return v.showAs(status, ui.Header{Title: title, Crumbs: []ui.Link{{Text: "Runs", Href: v.at("/runs")}, {Text: ui.DateTime(r.GetStartTime().AsTime()), Href: back}}}, blocks...)
}

func decideRun(v *visit) error {
	r, err := v.readRun()
	if err != nil {
		return err
	}
	as, why := v.form("as"), v.form("reason")
	if why == "" {
		return v.showDecision(http.StatusUnprocessableEntity, r, as, ui.Field{Error: "Say in a few words why that is right."}, nil)
	}
	req, text := &runv1.DecideRunRequest{Id: r.GetId(), Reason: why}, "The run is released: what it found is being passed on."
	if as == "reject" {
		text = "The run is rejected: nothing of it was passed on."
		_, err = v.Runs().RejectRun(v.ctx(), req)
	} else {
		_, err = v.Runs().ReleaseRun(v.ctx(), req)
	}
	if err != nil {
		notice := ui.ErrorNotice(err)
		return v.showDecision(http.StatusConflict, r, as, ui.Field{Value: why}, notice)
	}
	return v.done(v.at("/runs/"+r.GetId()), said(text))
}
