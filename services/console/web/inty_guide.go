package web

import (
	"context"
	"strings"

	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/console/web/ui"
)

func (v *visit) guide(ctx context.Context, m *intyv1.Migration) ([]ui.Block, error) {
	main, overview := []ui.Block{}, ui.Steps{}
	current := false
	for _, s := range m.GetSteps() {
		step, now := ui.Step{Title: stepTitle(s.GetKind()), Text: stepWord(s.GetState())}, false
		switch {
		case s.GetState() == intyv1.StepState_STEP_STATE_DONE:
			step.State, step.Text = "done", "Done"
		case !current:
			step.State, current, now = "current", true, true
		}
		overview = append(overview, step)
		section, err := v.guideStep(ctx, m, s, now)
		if err != nil {
			return nil, err
		}
		main = append(main, section)
	}
	report := ui.Section{Title: "Write down what is left", Lead: "A report lists everything that was done and what still asks for something. It is kept, and can be downloaded."}
	if v.operator() {
		report.Actions = []ui.Button{{Label: "Write a report", Href: v.atInty("/reports"), Post: true}}
	}
	if m.GetReportTime() != nil {
		report.Blocks = []ui.Block{ui.Paragraph{Text: ui.Sentence{ui.Link{Text: "The last report", Href: v.atInty("/reports")}, " was written on ", ui.When(m.GetReportTime()), "."}}}
	}
	side := []ui.Block{
		ui.Section{Title: "In the guide’s order", Blocks: []ui.Block{overview}},
		ui.Notice{Tone: ui.Info, Title: "Not for customers in the United States", Text: "Inty’s customers there do not move to Giacom. They are found by country or currency and left as they are; where neither says, you are asked.",
			Actions: []ui.Button{{Label: "Where customers are", Href: v.atInty("/where"), Small: true}}},
	}
	side = append(side, ui.Section{Title: "Trouble in Halo itself?", Blocks: []ui.Block{ui.Definitions{
		{Term: "Halo’s support", Value: ui.Stack{Top: ui.Link{Text: "support@halopsa.com", Href: "mailto:support@halopsa.com"}, Under: "+44 (0)1449 833 111"}},
		{Term: "To send along", Value: ui.Link{Text: "A report of what is left", Href: v.atInty("/reports")}},
	}}})
	return []ui.Block{ui.Split{Main: append(main, report), Side: side}}, nil
}

func stepTitle(kind intyv1.StepKind) string {
	switch kind {
	case intyv1.StepKind_STEP_KIND_NOTE_MAPPINGS:
		return "Note the old mappings"
	case intyv1.StepKind_STEP_KIND_DISABLE_MODULE:
		return "Clear out and disable the Inty module"
	case intyv1.StepKind_STEP_KIND_MAP:
		return "Map the customers in Giacom"
	case intyv1.StepKind_STEP_KIND_IMPORT:
		return "Import the licences"
	case intyv1.StepKind_STEP_KIND_REPOINT:
		return "Re-point the invoice lines"
	default:
		return sentence(strings.TrimPrefix(kind.String(), "STEP_KIND_"))
	}
}

func stepWord(state intyv1.StepState) string {
	switch state {
	case intyv1.StepState_STEP_STATE_DONE:
		return "Done"
	case intyv1.StepState_STEP_STATE_PARTLY:
		return "Partly done"
	default:
		return "To do"
	}
}

func stepBadge(state intyv1.StepState) ui.Badge {
	b := ui.Badge{Text: stepWord(state), Tone: ui.Muted}
	switch state {
	case intyv1.StepState_STEP_STATE_DONE:
		b.Tone = ui.Good
	case intyv1.StepState_STEP_STATE_PARTLY:
		b.Tone = ui.Busy
	}
	return b
}

// guideStep is one step with its state, what to do next, and the buttons for it; those of the step whose
// turn it is stand out.
func (v *visit) guideStep(ctx context.Context, m *intyv1.Migration, s *intyv1.Step, now bool) (ui.Section, error) {
	section := ui.Section{Title: ui.Count(int64(s.GetKind())) + ". " + stepTitle(s.GetKind()), Lead: ui.Beside{stepBadge(s.GetState()), s.GetText()}}
	if s.GetHow() != "" && (s.GetKind() != intyv1.StepKind_STEP_KIND_DISABLE_MODULE || m.GetModule() == nil) { // else the points say it
		section.Blocks = append(section.Blocks, ui.Paragraph{Text: ui.Sentence{"Next: ", s.GetHow()}})
	}
	var buttons []ui.Button
	offer := func(forOperators bool, b ui.Button) {
		if v.operator() || !forOperators {
			buttons = append(buttons, b)
		}
	}
	kind := ""
	if now {
		kind = "primary"
	}
	switch s.GetKind() {
	case intyv1.StepKind_STEP_KIND_NOTE_MAPPINGS:
		if m.GetMappingsTime() != nil {
			section.Blocks = append(section.Blocks, ui.Paragraph{Text: ui.Sentence{"Saved on ", ui.When(m.GetMappingsTime()), " from ", mappingsFrom(m.GetMappingsFrom()), byWhom(m.GetMappingsWho()), ". What is saved here is never taken away again."}})
		}
		offer(true, ui.Button{Label: "Save from Halo", Href: v.atInty("/save"), Post: true, Kind: kind})
		offer(true, ui.Button{Label: "Upload a file …", Href: v.atInty("/save")})
	case intyv1.StepKind_STEP_KIND_DISABLE_MODULE:
		section.Blocks = append(section.Blocks, v.moduleBlocks(m.GetModule())...)
		offer(true, ui.Button{Label: "Check it in Halo", Href: v.atInty("/module"), Post: true, Kind: kind})
	case intyv1.StepKind_STEP_KIND_MAP:
		if m.GetReadTime() == nil && m.GetMappingsTime() != nil { // what Halo knows of the customers is wanted first
			offer(true, ui.Button{Label: "Read Halo", Href: v.atInty("/refresh"), Post: true, Kind: kind})
			kind = ""
		}
		offer(false, ui.Button{Label: "Old mappings and proposals", Href: v.atInty("/mappings"), Kind: kind})
		if m.GetAsked() > 0 && m.GetReadTime() != nil {
			offer(false, ui.Button{Label: "Answer for " + ui.Plural(int64(m.GetAsked()), "customer", "customers"), Href: v.atInty("/where")})
		}
		if to := v.entry(navMappings); to != "" {
			offer(false, ui.Button{Label: "All mappings", Href: to})
		}
	case intyv1.StepKind_STEP_KIND_IMPORT:
		if m.GetReadTime() != nil {
			section.Blocks = append(section.Blocks, ui.Paragraph{Text: ui.Sentence{"Halo was read for what Inty left on ", ui.When(m.GetReadTime()), "."}})
		}
		duplicates, decide := pairCount(m, intyv1.PairState_PAIR_STATE_DUPLICATE), ""
		if duplicates > 0 {
			kind, decide = "", kind
		}
		if to := v.entry(navImports); to != "" {
			offer(true, ui.Button{Label: "Import …", Href: to, Kind: kind})
		} else {
			offer(true, ui.Button{Label: "Import now", Href: v.at("/runs"), Post: true, Kind: kind})
		}
		if m.GetReadTime() != nil {
			offer(true, ui.Button{Label: "Read Halo again", Href: v.atInty("/refresh"), Post: true})
		}
		if duplicates > 0 {
			offer(false, ui.Button{Label: "Decide on " + ui.Plural(duplicates, "possible duplicate", "possible duplicates"), Href: v.atInty("/pairs?state=duplicate"), Kind: decide})
		}
	case intyv1.StepKind_STEP_KIND_REPOINT:
		progress, err := v.repointing(ctx, m)
		if err != nil {
			return section, err
		}
		section.Blocks = append(section.Blocks, progress...)
		if n := pairCount(m, intyv1.PairState_PAIR_STATE_READY); n > 0 && m.GetLinesLinked() > 0 {
			offer(false, ui.Button{Label: "Look at the preview", Href: v.atInty("/preview"), Kind: kind})
		}
		offer(false, ui.Button{Label: "Licences and lines", Href: v.atInty("/pairs")})
		if m.GetLinesApplied() > 0 {
			offer(true, ui.Button{Label: "Verify in Halo", Href: v.atInty("/verify"), Post: true})
			offer(true, ui.Button{Label: "Undo …", Href: v.atInty("/undo")})
		}
	}
	if len(buttons) > 0 {
		section.Blocks = append(section.Blocks, ui.Actions{Buttons: buttons})
	}
	return section, nil
}

// entry of the navigation for the connection at hand; "" where there is none.
func (v *visit) entry(name string) string {
	return strings.Replace(v.nav[name], "{connection}", v.slug(), 1)
}

func pairCount(m *intyv1.Migration, state intyv1.PairState) int64 {
	for _, c := range m.GetPairs() {
		if c.GetState() == state {
			return int64(c.GetCount())
		}
	}
	return 0
}

func mappingsFrom(from string) string {
	if from == "csv" {
		return "a file"
	}
	return "Halo"
}

func byWhom(who string) string {
	if who == "" {
		return ""
	}
	return " by " + who
}

// moduleBlocks show Halo's Inty module as it was last looked at.
func (v *visit) moduleBlocks(m *intyv1.Module) []ui.Block {
	if m == nil {
		return nil
	}
	var blocks []ui.Block
	if len(m.GetToDo()) > 0 {
		items := make([]any, len(m.GetToDo()))
		for i, what := range m.GetToDo() {
			items[i] = what
		}
		blocks = append(blocks, ui.Paragraph{Text: "Left to do in Halo:"}, ui.List{Items: items})
	}
	when := ui.Sentence{"Looked at on ", ui.When(m.GetCheckTime())}
	if m.GetLastSyncTime() != nil {
		when = append(when, "; Inty last synced ", ui.When(m.GetLastSyncTime()))
	}
	if m.GetLastError() != "" {
		when = append(when, "; its last error was: ", m.GetLastError())
	}
	return append(blocks, ui.Paragraph{Text: append(when, ".")})
}

// repointing shows how far the lines are that are being written, or put back.
func (v *visit) repointing(ctx context.Context, m *intyv1.Migration) ([]ui.Block, error) {
	var blocks []ui.Block
	if m.GetLinesApplied() > 0 {
		p := ui.Progress{Label: "Lines re-pointed", Done: int64(m.GetLinesDone()), Total: int64(m.GetLinesApplied()), Tone: ui.Busy}
		if m.GetLinesDone() == m.GetLinesApplied() {
			p.Tone = ui.Good
		}
		blocks = append(blocks, p)
	}
	if n := int64(m.GetLinesRestoring()); n > 0 {
		blocks = append(blocks, ui.Progress{Label: ui.Plural(n, "line is being put back as it was", "lines are being put back as they were"), Tone: ui.Busy})
	}
	if m.GetLinesDone() == m.GetLinesApplied() && m.GetLinesRestoring() == 0 {
		return blocks, nil
	}
	moving, err := v.Inty().ListPairs(ctx, &intyv1.ListPairsRequest{Connection: v.connection.GetSlug(), State: intyv1.PairState_PAIR_STATE_MOVING, PageSize: 20})
	if err != nil {
		return nil, err
	}
	t := ui.Table{Caption: "Lines that are being written", Columns: []ui.Column{{Title: "Line", Wide: true}, {Title: "State"}, {Title: "Why it waits"}}}
	for _, x := range moving.GetPairs() {
		for _, l := range x.GetLines() {
			if l.GetState() == intyv1.LineState_LINE_STATE_MOVING || l.GetState() == intyv1.LineState_LINE_STATE_RESTORING {
				t.Rows = append(t.Rows, ui.Row{Cells: []any{v.lineNamed(l), ui.State(l.GetStatus().GetState()), ui.Quiet{Value: l.GetStatus().GetReason().GetText()}}})
			}
		}
	}
	if len(t.Rows) > 0 {
		blocks = append(blocks, t)
	}
	return blocks, nil
}
