package web

import (
	"fmt"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/console/web/ui"
)

// editor is a page with a form that changes some settings of a connection.
type editor struct {
	header func(*visit) ui.Header
	// path is where the form stands and is sent to, back where it leads afterwards.
	path, back string
	groups     func(*visit) []settings
	// finish does what no single setting can, and returns what is wrong between them; may be nil.
	finish func(draft, *connectionv1.Connection) []rpc.Violation
	saved  string
	// above and below the form; may be nil.
	above, below func(*visit) []ui.Block
	// title of the form's section.
	title string
}

func (e editor) show(v *visit) error {
	c := v.connection
	now := readSettings(c, e.groups(v))
	return e.draw(v, http.StatusOK, now, now, nil, nil)
}

// draw the form with a draft in it. was is what is stored, which the draft began from.
func (e editor) draw(v *visit, status int, d, was draft, err error, above []ui.Block) error {
	form := ui.Form{Action: v.at(e.path), Submit: "Save", Groups: d.fields(e.groups(v))}
	if e.back != e.path {
		form.Cancel = v.at(e.back)
	}
	e.tellSecrets(v, form)
	last := &form.Groups[len(form.Groups)-1]
	last.Fields = append(last.Fields, ui.Field{Name: "etag", Kind: "hidden", Value: v.connection.GetEtag()}, ui.Field{Name: "was", Kind: "hidden", Value: was.encode()})
	var blocks []ui.Block
	if e.above != nil {
		blocks = e.above(v)
	}
	if err != nil {
		var notice *ui.Notice
		if form, notice = form.Wrong(err); notice != nil && rpc.Reason(err) != "CHANGED_MEANWHILE" {
			blocks = append(blocks, *notice)
		}
	}
	blocks = append(append(blocks, above...), ui.Section{Title: e.title, Blocks: []ui.Block{form}})
	if e.below != nil {
		blocks = append(blocks, e.below(v)...)
	}
	return v.showAs(status, e.header(v), blocks...)
}

// tellSecrets says of each secret's field how it stands: the secret itself is never shown.
func (e editor) tellSecrets(v *visit, form ui.Form) {
	for i := range form.Groups {
		for j := range form.Groups[i].Fields {
			f := &form.Groups[i].Fields[j]
			if f.Kind != "password" {
				continue
			}
			tellSecret(f, v.connection, v.form(f.Name) != "")
		}
	}
}

func tellSecret(f *ui.Field, c *connectionv1.Connection, entered bool) {
	ref := c.GetGiacom().GetApiKey()
	if f.Name == haloSecret {
		ref = c.GetHalo().GetClientSecret()
	}
	if ref.GetVersion() > 0 {
		f.Required = false
		f.Help = fmt.Sprintf("%s. Leave it empty to keep it. %s", secretWords(ref), f.Help)
	}
	if entered {
		f.Help = "Enter it again: what is secret is not sent back to this page. " + f.Help
	}
}

// secretWords say what people may know of a secret.
func secretWords(ref *connectionv1.SecretRef) string {
	switch {
	case ref.GetVersion() == 0:
		return "None is set"
	case ref.GetLastFour() == "":
		return "One is set"
	default:
		return "One is set that ends in " + ref.GetLastFour()
	}
}

func (e editor) save(v *visit) error {
	groups := e.groups(v)
	mine, was := postedSettings(v, groups), decodeDraft(v.form("was"))
	if v.form("etag") != v.connection.GetEtag() {
		return e.stale(v, mine, was)
	}
	c := proto.CloneOf(v.connection)
	wrong := mine.put(c, groups)
	if e.finish != nil {
		wrong = append(wrong, e.finish(mine, c)...)
	}
	if len(wrong) > 0 {
		return e.draw(v, http.StatusUnprocessableEntity, mine, was, wrongSettings(wrong), nil)
	}
	stored, err := v.Connections().ApplyConnection(v.ctx(), &connectionv1.ApplyConnectionRequest{
		Connection: c, GiacomApiKey: v.form(giacomKey), HaloClientSecret: v.form(haloSecret),
	})
	switch {
	case rpc.Reason(err) == "CHANGED_MEANWHILE":
		if v.connection, err = v.Connections().GetConnection(v.ctx(), &connectionv1.GetConnectionRequest{Slug: c.GetSlug()}); err != nil {
			return err
		}
		return e.stale(v, mine, was)
	case err != nil:
		return e.draw(v, statusOf(err), mine, was, err, nil)
	case stored.GetEtag() == v.connection.GetEtag():
		return v.done(v.at(e.back), ui.Notice{Tone: ui.Info, Text: "Nothing was different, so nothing was saved."})
	}
	return v.done(v.at(e.back), said(e.saved))
}

// statusOf an error that is shown within a page.
func statusOf(err error) int {
	if e, ok := rpc.ErrorFrom(err); ok {
		return httpStatus(e.Code)
	}
	return http.StatusInternalServerError
}

// stale shows who changed the connection while the form was open, and what: nothing was saved. The form
// then has both changes in it, and is sent again if that is right.
func (e editor) stale(v *visit, mine, was draft) error {
	groups := e.groups(v)
	theirs := readSettings(v.connection, groups)
	merged, differ := mergeSettings(groups, was, mine, theirs)
	notice, table := v.meanwhile()
	t := ui.Table{Caption: "What is different now", Columns: []ui.Column{{Title: "Setting", Wide: true}, {Title: "When you began"}, {Title: "Now"}, {Title: "You entered"}}}
	violations := map[string]string{}
	for _, x := range differ {
		mine := any(ui.Quiet{Value: "not changed"})
		if x.mine != x.was {
			mine = x.words(x.mine)
		}
		row := ui.Row{Cells: []any{x.Label, x.words(x.was), x.words(x.theirs), mine}}
		if x.clash {
			row.Tone = ui.Warn
			violations[x.Name] = fmt.Sprintf("Meanwhile this became %q; what you entered is still here. Save to set yours, or enter theirs.", x.words(x.theirs))
		}
		t.Rows = append(t.Rows, row)
	}
	above := []ui.Block{notice}
	if len(t.Rows) > 0 {
		above = append(above, t)
	} else if len(table.Rows) > 0 {
		above = append(above, table)
	}
	var err error
	if len(violations) > 0 {
		clash := rpc.Errorf(codes.Aborted, "CHANGED_MEANWHILE", "both of you changed the same")
		for name, text := range violations {
			clash.Violations = append(clash.Violations, rpc.Violation{Field: name, Description: text})
		}
		err = clash
	}
	return e.draw(v, http.StatusConflict, merged, theirs, err, above)
}

// meanwhile tells who changed the connection since a page was read, and lists that change.
func (v *visit) meanwhile() (ui.Notice, ui.Table) {
	c := v.connection
	who := c.GetUpdatedBy()
	if who == "" {
		who = "Somebody"
	}
	n := ui.Notice{
		Tone: ui.Warn, Title: who + " changed this connection meanwhile",
		Text: fmt.Sprintf("That was on %s, after you had opened this page. Nothing of yours is saved yet.", ui.DateTime(c.GetUpdateTime().AsTime())),
		Next: "Below is what is different now. The form has both: what you entered, and what " + who + " changed elsewhere in it. Look at it, and save again.",
	}
	resp, err := v.Connections().ListConnectionChanges(v.ctx(), &connectionv1.ListConnectionChangesRequest{PageSize: 1, Filter: "connection = " + quote(c.GetSlug())})
	if err != nil {
		return n, ui.Table{} // who and when is said; the rest is on the connection's page
	}
	t := ui.Table{Caption: "What was changed", Columns: changeColumns()}
	for _, x := range resp.GetChanges() {
		t.Rows = append(t.Rows, connectionChangeRow(x))
	}
	return n, t
}

// wrongSettings is the error of fields that could not even be read.
func wrongSettings(wrong []rpc.Violation) error {
	e := rpc.Errorf(codes.InvalidArgument, "INVALID_ARGUMENT", "some settings cannot be read")
	e.Violations = wrong
	return e
}
