package web

import (
	"fmt"
	"net/http"
	"strings"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
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
	_, err := v.Connections().EnableConnection(v.ctx(), &connectionv1.EnableConnectionRequest{Slug: v.slug(), OverrideReason: v.form("reason")})
	switch rpc.Reason(err) {
	case "TWO_WRITERS", "WRITERS_UNKNOWN":
		return v.askEnable(err)
	}
	if err != nil {
		notice := ui.ErrorNotice(err)
		notice.Title = "Not enabled"
		return v.done(v.at("/connection"), *notice)
	}
	return v.done(v.at("/connection"), said("The connection is enabled."))
}

// askEnable asks for the reason why a connection may write as soon as it is enabled, although somebody else may write in Halo.
func (v *visit) askEnable(refusal error) error {
	return v.showAs(statusOf(refusal), ui.Header{Title: "Enable " + connectionName(v.connection) + " all the same?", Crumbs: v.connectionCrumbs()}, *ui.ErrorNotice(refusal), ui.Confirm{
		Text: "It is in mode auto: what differs is written to Halo as soon as it is enabled.",
		Form: ui.Form{Action: v.at("/connection/enable"), Cancel: v.at("/connection"), Submit: "Enable it all the same", Danger: true, Groups: ui.Fields(
			ui.Field{Name: "reason", Label: "Why it is right all the same", Required: true, Wide: true, Help: "Kept with the change, with your name."})},
	})
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
