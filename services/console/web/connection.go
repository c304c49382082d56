package web

import (
	"cmp"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	"seatline.dev/services/console/web/ui"
)

func showConnection(v *visit) error {
	c := v.connection
	header := ui.Header{Title: connectionName(c), Badges: []ui.Badge{modeBadge(c)}, Lead: modeLead(c), Crumbs: []ui.Link{{Text: "Connections", Href: "/connections"}}}
	edit := func(part int) []ui.Button { return nil }
	if v.operator() {
		header.Actions = []ui.Button{{Label: "Validate", Href: v.at("/validate"), Kind: "primary"}, {Label: "Edit", Href: v.at(editParts[0].path)}, {Label: "New keys", Href: v.at("/connection/keys")}}
		edit = func(part int) []ui.Button {
			return []ui.Button{{Label: "Edit", For: editParts[part].title, Href: v.at(editParts[part].path), Small: true}}
		}
	}
	var blocks []ui.Block
	if c.GetGiacom().GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2 {
		blocks = append(blocks, ui.Notice{Tone: ui.Warn, Title: "This connection uses v2 of the Giacom API", Text: warningV2, Next: "Choose v1 before you bill by it."})
	}
	changes, err := v.connectionChanges()
	if err != nil {
		return err
	}
	groups := joinedSettings(false)
	main := []ui.Block{
		ui.Section{Title: "Giacom", Actions: edit(0), Blocks: []ui.Block{append(ui.Definitions{
			{Term: "Account", Value: c.GetGiacom().GetAccount(), Help: "Part of the mark of every licence in Halo."},
			{Term: "API key", Value: secretWords(c.GetGiacom().GetApiKey())},
			{Term: "Import method", Value: v.methodValue()},
			{Term: "Feed of all products", Value: feedSetting.words(c.GetGiacom().GetAllProductsFeed().String())},
		}, settingValues(c, groups[1].all[1:])...)}},
		ui.Section{Title: "Halo", Actions: edit(0), Blocks: []ui.Block{append(settingValues(c, groups[2].all[:3]),
			ui.Definition{Term: "Client secret", Value: secretWords(c.GetHalo().GetClientSecret())})}},
	}
	rules := map[string]ui.Block{}
	for _, g := range ruleSettings() {
		values := settingValues(c, g.all)
		if g.title == "Customers" {
			values = append(values, ui.Definition{Term: "Top level of new ones", Value: v.topLevelValue()})
		}
		rules[g.title] = ui.Section{Title: g.title, Actions: edit(1), Blocks: []ui.Block{values}}
	}
	side := []ui.Block{ui.Section{Title: "About it", Blocks: []ui.Block{ui.Definitions{
		{Term: "Short name", Value: ui.Mono(c.GetSlug())},
		{Term: "State", Value: ui.Stack{Top: modeBadge(c), Under: ui.Link{Text: "What is written to Halo", Href: v.at("/leave-observe")}}},
		{Term: "Imports", Value: ui.Stack{Top: importsWord(c), Under: ui.Link{Text: "Integrator", Href: v.at("/integrator")}}},
		{Term: "Added", Value: ui.When(c.GetCreateTime())},
		{Term: "Changed", Value: ui.Stack{Top: ui.When(c.GetUpdateTime()), Under: c.GetUpdatedBy()}},
	}}}}
	if v.operator() {
		side = append(side, v.ends())
	}
	return v.show(header, append(blocks, ui.Split{Main: main, Side: side},
		ui.Split{Main: []ui.Block{rules["Customers"], rules["Licences"]}, Side: []ui.Block{rules["Billing"], rules["Guards"]}}, ui.Section{Title: "Who changed it", Blocks: []ui.Block{changes}})...)
}

// methodValue leads to where it is changed.
func (v *visit) methodValue() any {
	words := setting{choices: methodChoices}.words(v.connection.GetGiacom().GetMethod().String())
	if !v.operator() || v.connection.GetGiacom().GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2 {
		return words
	}
	return ui.Stack{Top: words, Under: ui.Link{Text: "See what another method would change", Href: v.at("/method")}}
}

// topLevelValue leads to where it is chosen from Halo's own list.
func (v *visit) topLevelValue() any {
	text := "Halo’s default"
	if id := v.connection.GetCustomers().GetTopLevelId(); id != 0 {
		text = fmt.Sprintf("Number %d in Halo", id)
	}
	return ui.Stack{Top: text, Under: ui.Link{Text: "From Halo’s own list", Href: v.at("/top-level")}}
}

// settingValues are settings as they are; those that were never said have a dash.
func settingValues(c *connectionv1.Connection, all []setting) ui.Definitions {
	c = proto.CloneOf(c)
	var out ui.Definitions
	for _, s := range all {
		if !s.secret() {
			value := any(s.words(s.of(c)))
			if value == "" && s.unit != 0 && s.Placeholder != "" {
				value = ui.Quiet{Value: s.words(s.Placeholder) + ", by default"}
			}
			out = append(out, ui.Definition{Term: cmp.Or(s.brief, s.Label), Value: value})
		}
	}
	return out
}

// ends of a connection: for a while, or for good.
func (v *visit) ends() ui.Section {
	if !v.connection.GetEnabled() {
		return ui.Section{Title: "Enable or delete", Lead: "Nothing is imported or written while it is disabled.", Blocks: []ui.Block{ui.Actions{Buttons: []ui.Button{
			{Label: "Enable", Href: v.at("/connection/enable"), Post: true, Kind: "primary"}, {Label: "Delete …", Href: v.at("/connection/delete")},
		}}}}
	}
	return ui.Section{Title: "Disable or delete", Lead: "Disabling stops everything and can be taken back. Deleting cannot.", Blocks: []ui.Block{ui.Actions{Buttons: []ui.Button{
		{Label: "Disable …", Href: v.at("/connection/disable")}, {Label: "Delete …", Href: v.at("/connection/delete")},
	}}}}
}

func changeColumns() []ui.Column {
	return []ui.Column{{Title: "What"}, {Title: "When"}, {Title: "Who"}, {Title: "Settings", Wide: true}}
}

// connectionChanges is a page of who did what to it.
func (v *visit) connectionChanges() (ui.Table, error) {
	l := v.listing()
	resp, err := v.Connections().ListConnectionChanges(v.ctx(), &connectionv1.ListConnectionChangesRequest{PageSize: 10, PageToken: l.token(), Filter: "connection = " + quote(v.slug())})
	if err != nil {
		return ui.Table{}, err
	}
	t := ui.Table{Caption: "Changes of this connection, the newest first", Columns: changeColumns(), Empty: ui.Empty{Title: "Nothing was changed"}, Pager: l.pager(resp.GetNextPageToken(), len(resp.GetChanges()))}
	for _, x := range resp.GetChanges() {
		t.Rows = append(t.Rows, connectionChangeRow(x))
	}
	return t, nil
}

func connectionChangeRow(x *connectionv1.ConnectionChange) ui.Row {
	who := any(ui.Quiet{Value: "Seatline"})
	if x.GetWho() != "" {
		who = x.GetWho()
	}
	return ui.Row{Cells: []any{sentence(x.GetWhat()), ui.When(x.GetTime()), who, settingChanges(x.GetFields(), x.GetReason())}}
}

// settingChanges names settings as the forms do.
func settingChanges(fields []*itemv1.FieldChange, why string) any {
	var changes ui.Changes
	known := knownSettings()
	for _, f := range fields {
		x := ui.Change{Field: sentence(strings.ReplaceAll(f.GetField(), ".", " ")), Before: f.GetBefore(), After: f.GetAfter()}
		if s, ok := known[f.GetField()]; ok {
			x.Field = s.Label
			switch {
			case s.Kind == "checkbox":
				x.Before, x.After = onOff[x.Before], onOff[x.After]
			case len(s.choices) > 0:
				x.Before, x.After = s.words(x.Before), s.words(x.After)
			}
		}
		changes = append(changes, x)
	}
	switch {
	case why != "" && len(changes) > 0:
		return ui.Stack{Top: changes, Under: why}
	case len(changes) > 0:
		return changes
	default:
		return ui.Quiet{Value: why}
	}
}

// onOff are words for a switch as the record has it; one that is off is left out there.
var onOff = map[string]string{"true": "yes", "false": "no", "": "no"}

// knownSettings by their path.
func knownSettings() map[string]setting {
	all := map[string]setting{}
	for _, groups := range [][]settings{joinedSettings(true), ruleSettings(), technicalSettings(), scheduleSettings()} {
		for _, g := range groups {
			for _, s := range g.all {
				all[s.Name] = s
			}
		}
	}
	return all
}
