package web

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/console/web/ui"
)

func validatePages() []page {
	at := ofConnection + "/validate"
	return []page{
		{path: at, title: "Validate", nav: navConnections, role: rpc.RoleOperator, handle: showValidation},
		{path: at + "/live", title: "Validate", nav: navConnections, role: rpc.RoleOperator, handle: streamValidation},
	}
}

// showValidation begins to check as soon as it is open. ?whole=1 waits for all checks instead, for
// browsers without the script.
func showValidation(v *visit) error {
	header := ui.Header{
		Title: "Validate " + connectionName(v.connection), Crumbs: v.connectionCrumbs(),
		Lead:    "Asks Giacom, Halo and the two together for a little of everything that will be needed. Nothing is written to either.",
		Actions: []ui.Button{{Label: "Check again", Href: v.at("/validate"), Icon: "runs"}},
	}
	if v.query("whole") == "" {
		return v.show(header, ui.Live{URL: v.at("/validate/live"), Blocks: v.validation(nil, false), Otherwise: ui.Link{Text: "Make all checks, and show them when they are done.", Href: v.at("/validate?whole=1")}})
	}
	resp, err := v.Connections().ValidateConnection(v.ctx(), &connectionv1.GetConnectionRequest{Slug: v.slug()})
	if err != nil {
		return err
	}
	return v.show(header, v.validation(resp.GetChecks(), true)...)
}

func streamValidation(v *visit) error {
	stream, err := v.Connections().StreamValidation(v.ctx(), &connectionv1.GetConnectionRequest{Slug: v.slug()})
	if err != nil {
		return err
	}
	var checks []*connectionv1.Check
	return v.stream(func(context.Context) error { return nil }, func(context.Context) ([]ui.Block, bool, error) {
		c, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return v.validation(checks, true), true, nil
		}
		if err != nil {
			return nil, true, err
		}
		checks = append(checks, c)
		return v.validation(checks, false), false, nil
	})
}

var checkGroups = []struct {
	group connectionv1.Check_Group
	title string
}{
	{connectionv1.Check_GROUP_SETTINGS, "Settings"}, {connectionv1.Check_GROUP_GIACOM, "Giacom"}, {connectionv1.Check_GROUP_HALO, "Halo"}, {connectionv1.Check_GROUP_TOGETHER, "Giacom and Halo together"},
}

// validation as far as it is.
func (v *visit) validation(checks []*connectionv1.Check, done bool) []ui.Block {
	count := map[connectionv1.Check_Outcome]int64{}
	for _, c := range checks {
		count[c.GetOutcome()]++
	}
	blocks := []ui.Block{v.checkVerdict(count, done)}
	for _, g := range checkGroups {
		t := ui.Table{
			Caption: g.title, Columns: []ui.Column{{Title: "Check"}, {Title: "Result"}, {Title: "What was found", Wide: true}, {Title: "What to do", Wide: true}},
			Empty: ui.Empty{Title: "Not reached yet"},
		}
		if done {
			t.Empty.Title = "Nothing was checked here"
		}
		for _, c := range checks {
			if c.GetGroup() == g.group {
				t.Rows = append(t.Rows, v.checkRow(c))
			}
		}
		blocks = append(blocks, ui.Section{Title: g.title, Blocks: []ui.Block{t}})
	}
	return blocks
}

// checkVerdict is what it comes to.
func (v *visit) checkVerdict(count map[connectionv1.Check_Outcome]int64, done bool) ui.Block {
	failed, warned, ok := count[connectionv1.Check_OUTCOME_FAILED], count[connectionv1.Check_OUTCOME_WARNING], count[connectionv1.Check_OUTCOME_OK]
	onward := []ui.Button{{Label: "Go on to imports", Href: v.at("/imports"), Small: true}, {Label: "Look at the connection", Href: v.at("/connection"), Small: true}}
	switch {
	case !done:
		note := []string{}
		if warned > 0 {
			note = append(note, ui.Plural(warned, "warning", "warnings"))
		}
		if failed > 0 {
			note = append(note, fmt.Sprintf("%d failed", failed))
		}
		return ui.Section{Blocks: []ui.Block{ui.Progress{Label: "Checking, which takes up to a minute", Done: ok + warned + failed, Note: strings.Join(append([]string{"checks made"}, note...), ", ")}}}
	case failed > 0:
		return ui.Notice{
			Tone: ui.Bad, Title: ui.Plural(failed, "check failed", "checks failed"), Text: "The connection does not work as it is: each check says below what to do.",
			Next: "Mend it, and check again.", Actions: []ui.Button{{Label: "Edit the connection", Href: v.at(editParts[0].path), Small: true}, {Label: "New keys", Href: v.at("/connection/keys"), Small: true}},
		}
	case warned > 0:
		return ui.Notice{Tone: ui.Warn, Title: "It works, with " + ui.Plural(warned, "warning", "warnings"), Text: "Nothing that is needed is missing. Read the warnings before you let Seatline write to Halo.", Actions: onward}
	default:
		return ui.Notice{Tone: ui.Good, Title: "Everything works", Text: "Giacom and Halo answer, and whatever is needed of them is allowed.", Actions: onward}
	}
}

func (v *visit) checkRow(c *connectionv1.Check) ui.Row {
	row := ui.Row{}
	result := ui.Badge{Text: "Well", Tone: ui.Good}
	switch c.GetOutcome() {
	case connectionv1.Check_OUTCOME_WARNING:
		result, row.Tone = ui.Badge{Text: "Warning", Tone: ui.Warn}, ui.Warn
	case connectionv1.Check_OUTCOME_FAILED:
		result, row.Tone = ui.Badge{Text: "Failed", Tone: ui.Bad}, ui.Bad
	case connectionv1.Check_OUTCOME_SKIPPED:
		result = ui.Badge{Text: "Not made", Tone: ui.Muted}
	}
	var fix any
	if c.GetFix() != "" {
		fix = c.GetFix()
		if to, ok := mendAt[c.GetCode()]; ok {
			fix = ui.Stack{Top: c.GetFix(), Under: ui.Link{Text: to.words, Href: v.at(to.path)}}
		}
	}
	row.Cells = []any{checkName(c), result, c.GetText(), fix}
	return row
}

// checkName without what the section's title says already.
func checkName(c *connectionv1.Check) string {
	for _, prefix := range []string{"Settings: ", "Halo: ", "Together: "} {
		if rest, ok := strings.CutPrefix(c.GetName(), prefix); ok {
			if s, known := knownSettings()[rest]; known {
				return s.Label
			}
			return sentence(rest)
		}
	}
	return c.GetName()
}

// mendAt is the page where something that a check found is put right, by the check's code.
var mendAt = map[string]struct{ words, path string }{
	"key_missing": {"Enter the key", "/connection/keys"}, "secret_missing": {"Enter the secret", "/connection/keys"},
	"giacom_key_rejected": {"Enter another key", "/connection/keys"}, "giacom_key_lacks_product": {"Enter another key", "/connection/keys"},
	"halo_token": {"Edit the connection", "/connection/edit"}, "halo_settings": {"Edit the connection", "/connection/edit"}, "giacom_settings": {"Edit the connection", "/connection/edit"},
	"setting_wrong": {"Edit the connection", "/connection/edit"}, "v2": {"Edit the connection", "/connection/edit"}, "no_customers": {"Edit the connection", "/connection/edit"},
	"price_basis_unset": {"Say which", "/connection/edit"}, "tenant_differs": {"Edit the connection", "/connection/edit"},
	"pro_rata_unset": {"Choose one", "/connection/edit/rules"}, "custom_field_missing": {"Edit the connection", "/connection/edit/rules"},
	"budget_differs": {"Edit the connection", "/connection/edit/technical"}, "top_level_unknown": {"Choose a top level", "/top-level"},
}
