package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/console/web/ui"
)

func methodPages() []page {
	at := ofConnection + "/method"
	return []page{
		{path: at, title: "Import method", nav: navConnections, handle: askMethod},
		{path: at + "/preview", title: "Change the import method", nav: navConnections, role: rpc.RoleOperator, handle: previewMethod},
		{path: at + "/preview/live", title: "Change the import method", nav: navConnections, role: rpc.RoleOperator, handle: streamMethod},
		{path: at, method: http.MethodPost, title: "Change the import method", nav: navConnections, handle: chooseMethod},
	}
}

// The two choices are sent by other names than settings have: here they are asked about before they are set.
var (
	methodSetting = setting{Field: ui.Field{Name: "method", Label: "Import method", Kind: "radio"}, choices: methodChoices, explain: map[string]string{
		"IMPORT_METHOD_SUBSCRIPTIONS": "Quantity, price, start and billing cycle of every product; no end date, term or status.",
		"IMPORT_METHOD_REPORT":        "Microsoft’s products with end date, term and status; others are not imported.",
		"IMPORT_METHOD_BOTH":          "Everything that Giacom tells of every product.",
	}}
	feedSetting = setting{Field: ui.Field{Name: "feed", Label: "Feed of all products", Kind: "select", Help: "Which of Giacom’s lists serves what is not in the report."}, choices: feedChoices}
)

func askMethod(v *visit) error {
	g := v.connection.GetGiacom()
	header := ui.Header{Title: "Import method", Crumbs: v.connectionCrumbs(), Lead: "Which of Giacom’s lists subscriptions are read from. See what another method would change before you choose it."}
	if g.GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2 {
		return v.show(header, ui.Empty{Title: "v2 has one method only", Text: "This connection uses v2 of the Giacom API, which lists all subscriptions. There is nothing to choose.", Actions: []ui.Button{{Label: "Back to the connection", Href: v.at("/connection")}}})
	}
	now := ui.Section{Title: "Now: " + methodWord(v.connection)}
	if !v.operator() {
		return v.show(header, now)
	}
	form := ui.Form{Action: v.at("/method/preview"), Get: true, Submit: "Show what would change", Cancel: v.at("/connection"), Groups: ui.Fields(
		methodSetting.field(g.GetMethod().String()), feedSetting.field(g.GetAllProductsFeed().String()))}
	now.Blocks = []ui.Block{form}
	return v.show(header, ui.Notice{
		Tone: ui.Info, Title: "The methods name subscriptions differently",
		Text: "Halo’s own integration would create every licence a second time when the method is changed. Seatline finds out which licences match, and takes them over in place: nothing is billed twice.",
		Next: "The preview reads the account by the other method and changes nothing.",
	}, now)
}

// asked is the method that a page is about; words that mean none are refused.
func (v *visit) askedMethod(get func(string) string) (connectionv1.ImportMethod, connectionv1.AllProductsFeed, error) {
	m, ok := connectionv1.ImportMethod_value[get("method")]
	if !ok || m == 0 {
		return 0, 0, rpc.InvalidArgument("method", "%q is no import method", get("method")).Do("choose one at %s", v.at("/method"))
	}
	f, ok := connectionv1.AllProductsFeed_value[get("feed")]
	if !ok && get("feed") != "" {
		return 0, 0, rpc.InvalidArgument("feed", "%q is no feed of Giacom's", get("feed")).Do("choose one at %s", v.at("/method"))
	}
	return connectionv1.ImportMethod(m), connectionv1.AllProductsFeed(f), nil
}

func (v *visit) methodHeader() ui.Header {
	header := ui.Header{Title: "Change the import method", Crumbs: append(v.connectionCrumbs(), ui.Link{Text: "Import method", Href: v.at("/method")})}
	if m, _, err := v.askedMethod(v.query); err == nil {
		header.Lead = fmt.Sprintf("From %s to %s.", methodWord(v.connection), methodWord(&connectionv1.Connection{Giacom: &connectionv1.Giacom{Method: m}}))
	}
	return header
}

func previewMethod(v *visit) error {
	if _, _, err := v.askedMethod(v.query); err != nil {
		return err
	}
	asked := url.Values{"method": {v.query("method")}, "feed": {v.query("feed")}}
	if v.query("whole") == "" {
		wait := ui.Section{Blocks: []ui.Block{ui.Progress{Label: "Reading the account by the other method, which takes as long as a run"}}}
		live := ui.Live{URL: v.at("/method/preview/live?" + asked.Encode()), Blocks: []ui.Block{wait}}
		asked.Set("whole", "1")
		live.Otherwise = ui.Link{Text: "Read the account, and show what would change when it is done.", Href: v.at("/method/preview?" + asked.Encode())}
		return v.show(v.methodHeader(), live)
	}
	blocks, err := v.methodChange(v.ctx(), v.query)
	if err != nil {
		return err
	}
	return v.show(v.methodHeader(), blocks...)
}

func streamMethod(v *visit) error {
	return v.stream(func(context.Context) error { return nil }, func(ctx context.Context) ([]ui.Block, bool, error) {
		blocks, err := v.methodChange(ctx, v.query)
		return blocks, true, err
	})
}

// rowsOfAKind is how many rows of each kind the preview lists.
const rowsOfAKind = 100

// methodChange is what choosing a method would do.
func (v *visit) methodChange(ctx context.Context, get func(string) string) ([]ui.Block, error) {
	method, feed, err := v.askedMethod(get)
	if err != nil {
		return nil, err
	}
	m, err := v.Connections().GetMethodChange(ctx, &connectionv1.GetMethodChangeRequest{Slug: v.slug(), Method: method, AllProductsFeed: feed, Limit: rowsOfAKind})
	if err != nil {
		return nil, err
	}
	var blocks []ui.Block
	if m.GetIncomplete() != "" {
		blocks = append(blocks, ui.Notice{Tone: ui.Warn, Title: "The account did not come whole", Text: m.GetIncomplete(), Next: "The numbers below are too low. Validate the connection, and look again."})
	}
	var what ui.List
	for _, sentence := range m.GetExplanation() {
		what.Items = append(what.Items, sentence)
	}
	blocks = append(blocks, ui.Tiles{
		{Label: "Same id in both", Value: m.GetSame(), Note: "nothing changes"},
		{Label: "Match across methods", Value: m.GetMatched(), Note: "by customer, product and quantity", Tone: toneIf(m.GetMatched() > 0, ui.Good)},
		{Label: "May match", Value: m.GetUnsure(), Note: "taken over where only one can be meant", Tone: toneIf(m.GetUnsure() > 0, ui.Warn)},
		{Label: "New", Value: m.GetNew(), Note: "like none that is known"},
		{Label: "Not listed any more", Value: m.GetStops(), Note: "stay in Halo, not updated", Tone: toneIf(m.GetStops() > 0, ui.Warn)},
	}, ui.Section{Title: "What will happen", Blocks: []ui.Block{what}})
	nothing := m.GetFrom() == m.GetTo() && (feed == 0 || feed == v.connection.GetGiacom().GetAllProductsFeed())
	if v.operator() && !nothing {
		blocks = append(blocks, v.chooseForm(m, get))
	}
	for _, k := range methodKinds {
		if t := methodTable(m, k.kind, k.caption); len(t.Rows) > 0 {
			s := ui.Section{Title: k.title, Blocks: []ui.Block{t}}
			if len(t.Rows) == rowsOfAKind {
				s.Lead = fmt.Sprintf("The first %d; the command line lists more: seatline connections method %s", rowsOfAKind, v.slug())
			}
			blocks = append(blocks, s)
		}
	}
	return blocks, nil
}

// chooseForm asks whether licences that match go on in place, and sets the method.
func (v *visit) chooseForm(m *connectionv1.MethodChange, get func(string) string) ui.Section {
	adopt := setting{Field: ui.Field{Name: "adopt", Label: "Licences that match", Kind: "radio"}, choices: []string{"yes", "Adopt them in place", "no", "Ask about each"}, explain: map[string]string{
		"yes": fmt.Sprintf("%s on as they are in Halo, under their new ids, and their invoice lines stay linked. Nothing is created beside them.", ui.Plural(m.GetMatched(), "licence goes", "licences go")),
		"no":  fmt.Sprintf("%s held until somebody says adopt or create; nothing of them is updated meanwhile.", ui.Plural(m.GetMatched()+m.GetUnsure(), "licence is", "licences are")),
	}}
	now := "no"
	if m.GetAdoptAcrossMethods() {
		now = "yes"
	}
	return ui.Section{Title: "Choose it", Lead: "It takes effect with the next run. The way back is the same way.", Blocks: []ui.Block{ui.Form{
		Action: v.at("/method"), Cancel: v.at("/method"), Submit: "Change the import method", Groups: ui.Fields(adopt.field(now),
			ui.Field{Name: "method", Kind: "hidden", Value: get("method")}, ui.Field{Name: "feed", Kind: "hidden", Value: get("feed")}, ui.Field{Name: "etag", Kind: "hidden", Value: m.GetEtag()}),
	}}}
}

var methodKinds = []struct {
	kind           connectionv1.MethodRow_Kind
	title, caption string
}{
	{connectionv1.MethodRow_KIND_UNSURE, "May be one that is there already", "Subscriptions that may match"},
	{connectionv1.MethodRow_KIND_NEW, "New", "New subscriptions"},
	{connectionv1.MethodRow_KIND_STOPS, "Not listed by the other method", "Subscriptions that are not listed any more"},
	{connectionv1.MethodRow_KIND_MATCHED, "Go on under another id", "Subscriptions that match"},
}

func methodTable(m *connectionv1.MethodChange, kind connectionv1.MethodRow_Kind, caption string) ui.Table {
	t := ui.Table{Caption: caption, Columns: []ui.Column{{Title: "Product", Wide: true}, {Title: "Customer"}, {Title: "Seats", Num: true}, {Title: "Id now"}, {Title: "Id then"}}}
	id := func(key string) any {
		if key == "" {
			return nil
		}
		return ui.Mono(key)
	}
	for _, r := range m.GetRows() {
		if r.GetKind() != kind {
			continue
		}
		var seats any = r.GetQuantityBefore()
		switch {
		case r.GetQuantityBefore() == "":
			seats = r.GetQuantityAfter()
		case r.GetQuantityAfter() != "" && r.GetQuantityAfter() != r.GetQuantityBefore():
			seats = ui.Change{Before: r.GetQuantityBefore(), After: r.GetQuantityAfter()}
		}
		t.Rows = append(t.Rows, ui.Row{Cells: []any{r.GetName(), ui.Stack{Top: r.GetCustomerName(), Under: r.GetMexId()}, seats, id(r.GetKeyBefore()), id(r.GetKeyAfter())}})
	}
	return t
}

func chooseMethod(v *visit) error {
	method, feed, err := v.askedMethod(v.form)
	if err != nil {
		return err
	}
	if v.form("etag") != v.connection.GetEtag() {
		return v.methodStale()
	}
	c := proto.CloneOf(v.connection)
	c.Giacom.Method = method
	if feed != 0 {
		c.Giacom.AllProductsFeed = feed
	}
	if c.Licences == nil {
		c.Licences = &connectionv1.Licences{}
	}
	c.Licences.AdoptAcrossMethods = proto.Bool(v.form("adopt") != "no")
	_, err = v.Connections().ApplyConnection(v.ctx(), &connectionv1.ApplyConnectionRequest{Connection: c})
	if rpc.Reason(err) == "CHANGED_MEANWHILE" {
		if v.connection, err = v.Connections().GetConnection(v.ctx(), &connectionv1.GetConnectionRequest{Slug: v.slug()}); err != nil {
			return err
		}
		return v.methodStale()
	}
	if err != nil {
		return err
	}
	return v.done(v.at("/connection"), said("The import method is "+methodWord(c)+" from the next run on."))
}

// methodStale: the preview was of a connection that somebody has changed since.
func (v *visit) methodStale() error {
	notice, changed := v.meanwhile()
	notice.Next = "Look at what would change once more, and choose then."
	again := url.Values{"method": {v.form("method")}, "feed": {v.form("feed")}}
	notice.Actions = []ui.Button{{Label: "Show what would change now", Href: v.at("/method/preview?" + again.Encode()), Kind: "primary", Small: true}}
	blocks := []ui.Block{notice}
	if len(changed.Rows) > 0 {
		blocks = append(blocks, changed)
	}
	return v.showAs(http.StatusConflict, v.methodHeader(), blocks...)
}
