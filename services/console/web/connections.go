package web

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	"seatline.dev/services/console/web/ui"
)

func connectionsPages() []page {
	one := ofConnection + "/connection"
	all := []page{
		{path: "/connections", title: "Connections", nav: navConnections, handle: showConnections},
		{path: "/connections/new", title: "Add a connection", nav: navConnections, role: rpc.RoleOperator, handle: newConnection},
		{path: "/connections/new", method: http.MethodPost, title: "Add a connection", nav: navConnections, handle: addConnection},
		{path: one, title: "Connection", nav: navConnections, handle: showConnection},
		{path: one + "/keys", title: "New keys", nav: navConnections, role: rpc.RoleOperator, handle: askKeys},
		{path: one + "/keys", method: http.MethodPost, title: "New keys", nav: navConnections, handle: rotateKeys},
		{path: one + "/enable", method: http.MethodPost, title: "Enable", nav: navConnections, handle: enableConnection},
		{path: one + "/disable", title: "Disable", nav: navConnections, role: rpc.RoleOperator, handle: askDisable},
		{path: one + "/disable", method: http.MethodPost, title: "Disable", nav: navConnections, handle: disableConnection},
		{path: one + "/delete", title: "Delete", nav: navConnections, role: rpc.RoleOperator, handle: askDelete},
		{path: one + "/delete", method: http.MethodPost, title: "Delete", nav: navConnections, handle: deleteConnection},
	}
	for _, e := range connectionEditors() {
		all = append(all,
			page{path: ofConnection + e.path, title: "Edit a connection", nav: navConnections, role: rpc.RoleOperator, handle: e.show},
			page{path: ofConnection + e.path, method: http.MethodPost, title: "Edit a connection", nav: navConnections, handle: e.save})
	}
	return all
}

func showConnections(v *visit) error {
	l := v.listing()
	search := l.search("Search", "Name, account or Halo")
	state := ui.Field{Name: "state", Label: "State", Kind: "select", Auto: true, Options: ui.Options(l.value("state"), "", "All", "enabled", "Enabled", "disabled", "Disabled", "deleted", "Deleted")}
	switch l.value("state") {
	case "enabled":
		l.and("enabled = true")
	case "disabled":
		l.and("enabled = false")
	case "deleted":
		l.and("deleted = true")
	}
	mode := l.choice("mode", "Mode", "mode", "", "All", "observe", "Observes", "auto", "Auto")
	resp, err := v.Connections().ListConnections(v.ctx(), &connectionv1.ListConnectionsRequest{PageSize: pageSize, PageToken: l.token(), Filter: l.filter(), OrderBy: l.order()})
	if err != nil {
		return err
	}
	t := ui.Table{
		Caption: "Connections",
		Columns: []ui.Column{
			l.sorted(ui.Column{Title: "Connection", Wide: true}, "display_name"), l.sorted(ui.Column{Title: "Mode"}, "mode"),
			l.sorted(ui.Column{Title: "Giacom"}, "account"), l.sorted(ui.Column{Title: "Halo"}, "instance"), {Title: "Imports"}, l.sorted(ui.Column{Title: "Changed"}, "update_time"),
		},
		Empty: ui.Empty{Title: "No connection yet", Text: "A connection joins one Giacom account to one Halo instance. It begins by observing: nothing is written to Halo until you say so."},
		Pager: l.pager(resp.GetNextPageToken(), len(resp.GetConnections())),
	}
	header := ui.Header{Title: "Connections", Lead: "Each joins one Giacom account to one Halo instance."}
	if v.operator() {
		header.Actions = []ui.Button{{Label: "Add a connection", Href: "/connections/new", Kind: "primary", Icon: "plug"}}
		t.Empty.Actions = []ui.Button{{Label: "Add a connection", Href: "/connections/new", Kind: "primary"}}
	}
	if l.narrowed() {
		t.Empty = ui.Empty{Title: "Nothing found", Text: "No connection matches what you asked for.", Actions: []ui.Button{{Label: "Show all connections", Href: "/connections"}}}
	}
	for _, c := range resp.GetConnections() {
		name, mode := any(ui.Link{Text: connectionName(c), Href: "/c/" + c.GetSlug() + "/connection"}), modeBadge(c)
		if c.GetDeleted() {
			name, mode = connectionName(c), ui.Badge{Text: "Deleted", Tone: ui.Muted, Title: "Its name is never used again"}
		}
		t.Rows = append(t.Rows, ui.Row{Cells: []any{
			ui.Stack{Top: name, Under: c.GetSlug()}, mode, ui.Stack{Top: c.GetGiacom().GetAccount(), Under: methodWord(c)}, c.GetHalo().GetInstance(), importsWord(c),
			ui.Stack{Top: ui.When(c.GetUpdateTime()), Under: c.GetUpdatedBy()},
		}})
	}
	return v.show(header, l.form(search, state, mode), t)
}

// methodWord names the import method as Halo's guide does.
func methodWord(c *connectionv1.Connection) string {
	if c.GetGiacom().GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2 {
		return "API v2"
	}
	word, _, _ := strings.Cut(setting{choices: methodChoices}.words(c.GetGiacom().GetMethod().String()), ":")
	return word
}

func importsWord(c *connectionv1.Connection) any {
	if c.GetSchedule().GetEnabled() {
		return "By schedule"
	}
	return ui.Quiet{Value: "By hand only"}
}

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

func askKeys(v *visit) error { return v.drawKeys(http.StatusOK, false, nil) }

func (v *visit) drawKeys(status int, untried bool, err error) error {
	key := ui.Field{Name: "giacom_api_key", Label: "New Giacom API key", Kind: "password", Autocomplete: "off", Help: whereKey}
	secret := ui.Field{Name: "halo_client_secret", Label: "New Halo client secret", Kind: "password", Autocomplete: "off", Help: "Make a new one at the API application in Halo, under Configuration > Integrations > Halo PSA API. Halo shows it once."}
	for f, ref := range map[*ui.Field]*connectionv1.SecretRef{&key: v.connection.GetGiacom().GetApiKey(), &secret: v.connection.GetHalo().GetClientSecret()} {
		f.Help = secretWords(ref) + "; empty keeps it. " + f.Help
		if v.form(f.Name) != "" {
			f.Help = "Enter it again: what is secret is not sent back to this page. " + f.Help
		}
	}
	form := ui.Form{Action: v.at("/connection/keys"), Cancel: v.at("/connection"), Submit: "Try and store", Groups: ui.Fields(key, secret,
		ui.Field{Name: "untried", Label: "Store them untried", Kind: "checkbox", Checked: untried, Wide: true, Help: "Only when Giacom or Halo is down: otherwise a key that does not work is not stored, and the old one stays."})}
	var blocks []ui.Block
	if err != nil {
		var notice *ui.Notice
		if form, notice = form.Wrong(err); notice != nil {
			blocks = append(blocks, *notice)
		}
	}
	return v.showAs(status, ui.Header{Title: "New keys", Crumbs: v.connectionCrumbs(), Lead: "What is under way ends with the old ones: keep those valid for an hour."}, append(blocks, ui.Section{Blocks: []ui.Block{form}})...)
}

func rotateKeys(v *visit) error {
	resp, err := v.Connections().RotateSecrets(v.ctx(), &connectionv1.RotateSecretsRequest{
		Slug: v.slug(), GiacomApiKey: v.form("giacom_api_key"), HaloClientSecret: v.form("halo_client_secret"), Untried: v.form("untried") != "",
	})
	if err != nil {
		return v.drawKeys(statusOf(err), v.form("untried") != "", err)
	}
	text := "Tried and stored."
	if len(resp.GetChecks()) == 0 {
		text = "Stored, untried: validate the connection when both sides answer."
	}
	return v.done(v.at("/connection"), said(text))
}

func enableConnection(v *visit) error {
	if _, err := v.Connections().EnableConnection(v.ctx(), &connectionv1.GetConnectionRequest{Slug: v.slug()}); err != nil {
		notice := ui.ErrorNotice(err)
		notice.Title = "Not enabled"
		return v.done(v.at("/connection"), *notice)
	}
	return v.done(v.at("/connection"), said("The connection is enabled."))
}

func askDisable(v *visit) error {
	return v.show(ui.Header{Title: "Disable " + connectionName(v.connection) + "?", Crumbs: v.connectionCrumbs()}, ui.Confirm{
		Text: "Everything stops for this connection until it is enabled again.",
		Consequences: []string{
			"Nothing is imported from Giacom, and nothing is written to Halo: seats that are bought or go meanwhile reach no invoice.",
			"What is in Halo stays as it is, and Halo goes on to bill by it.",
			"Mappings, price rules and keys are kept. Once it is enabled, the next run brings everything up to date.",
		},
		Form: ui.Form{Action: v.at("/connection/disable"), Cancel: v.at("/connection"), Submit: "Disable it", Danger: true},
	})
}

func disableConnection(v *visit) error {
	if _, err := v.Connections().DisableConnection(v.ctx(), &connectionv1.GetConnectionRequest{Slug: v.slug()}); err != nil {
		return err
	}
	return v.done(v.at("/connection"), said("The connection is disabled: nothing is imported or written."))
}

func askDelete(v *visit) error { return v.drawDelete(http.StatusOK, ui.Field{}) }

func (v *visit) drawDelete(status int, typed ui.Field) error {
	effects, err := v.Connections().GetDeletionEffects(v.ctx(), &connectionv1.GetConnectionRequest{Slug: v.slug()})
	if err != nil {
		return err
	}
	var blocks []ui.Block
	if missing := silentNotice(effects.GetUnknown()); missing != nil {
		missing.Text = fmt.Sprintf("No answer from: %s. What deleting means for its part is not counted here.", strings.Join(effects.GetUnknown(), ", "))
		blocks = append(blocks, *missing)
	}
	for _, part := range []struct {
		title, lead string
		effects     []*connectionv1.Effect
	}{
		{"Stays in Halo", "Nothing in Halo is undone.", effects.GetStaysInHalo()},
		{"Stops", "From then on nobody keeps Halo in step.", effects.GetStops()},
		{"Is forgotten", "This cannot be had back.", effects.GetForgotten()},
	} {
		var list ui.List
		for _, e := range part.effects {
			if e.GetCount() > 0 {
				list.Items = append(list.Items, e.GetText())
			}
		}
		if len(list.Items) == 0 {
			list.Items = []any{ui.Quiet{Value: "Nothing."}}
		}
		blocks = append(blocks, ui.Section{Title: part.title, Lead: part.lead, Blocks: []ui.Block{list}})
	}
	typed.Name, typed.Label, typed.Required, typed.Wide = "slug", "Short name of the connection", true, true
	typed.Help, typed.Autocomplete = fmt.Sprintf("Type %s to say that you mean it.", v.slug()), "off"
	blocks = append(blocks, ui.Confirm{
		Text: "Deleting cannot be undone. To stop for a while, disable the connection instead.",
		Form: ui.Form{Action: v.at("/connection/delete"), Cancel: v.at("/connection"), Submit: "Delete it for good", Danger: true, Groups: ui.Fields(typed)},
	})
	return v.showAs(status, ui.Header{Title: "Delete " + connectionName(v.connection) + "?", Crumbs: v.connectionCrumbs()}, blocks...)
}

func deleteConnection(v *visit) error {
	if typed := v.form("slug"); typed != v.slug() {
		return v.drawDelete(http.StatusUnprocessableEntity, ui.Field{Value: typed, Error: fmt.Sprintf("That is not the short name of this connection, which is %s.", v.slug())})
	}
	if _, err := v.Connections().DeleteConnection(v.ctx(), &connectionv1.GetConnectionRequest{Slug: v.slug()}); err != nil {
		return err
	}
	return v.done("/connections", said("The connection "+connectionName(v.connection)+" is deleted. What is in Halo stays as it is."))
}
