package webtest

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	"seatline.dev/services/console/web/ui"
)

// gallery is every block in every tone.
func gallery() []ui.Block {
	money := ui.Amount{Value: decimal.RequireFromString("1204"), Currency: "GBP", Per: "a month"}
	var badges ui.Beside
	for s := itemv1.State_STATE_IN_SYNC; s <= itemv1.State_STATE_RETIRED; s++ {
		badges = append(badges, ui.State(s))
	}
	blocks := []ui.Block{
		ui.Tabs{{Title: "All", Href: "#", Count: 2011, Current: true}, {Title: "Unmapped", Href: "#", Count: 41}, {Title: "Ignored", Href: "#"}},
		ui.Tiles{{Label: "Agree", Value: 1943, Note: "of 2,011"}, {Label: "On no line", Value: money, Tone: ui.Warn, Href: "#"}, {Label: "Differ", Value: 19, Tone: ui.Bad, Note: "counts"}, {Label: "Well", Value: 7, Tone: ui.Good}, {Label: "Busy", Value: 3, Tone: ui.Busy}},
	}
	for _, tone := range []ui.Tone{ui.Plain, ui.Info, ui.Good, ui.Warn, ui.Bad} {
		blocks = append(blocks, ui.Notice{Tone: tone, Title: "What happened", Text: "To what, and why.", Items: []string{"One point", "Another"}, Next: "What to do next.", Actions: []ui.Button{{Label: "Do it", Href: "#", Small: true}}})
	}
	return append(blocks,
		ui.Split{
			Main: []ui.Block{ui.Section{Title: "Changes this month", Lead: ui.Sentence{"They come to ", money, "."}, Blocks: []ui.Block{ui.Bars{
				Title: "Changes a day", Series: []ui.Series{{Name: "Applied", Tone: ui.Good}, {Name: "Held", Tone: ui.Warn}, {Name: "Failed", Tone: ui.Bad}},
				Bars: []ui.Bar{{Label: "1 Nov", Values: []float64{12, 3, 0}}, {Label: "2 Nov", Values: []float64{30, 0, 2}}, {Label: "3 Nov", Values: []float64{7, 9, 1}}, {Label: "4 Nov", Values: []float64{0, 0, 0}}, {Label: "5 Nov", Values: []float64{22, 2, 0}}},
			}}}},
			Side: []ui.Block{ui.Section{Title: "About it", Actions: []ui.Button{{Label: "Edit", Href: "#", Small: true}}, Blocks: []ui.Block{ui.Definitions{{Term: "State", Value: badges}, {Term: "When", Value: ui.Time{Time: time.Now()}, Help: "In the United Kingdom’s time"}, {Term: "In Halo", Value: ui.Link{Text: "Licence 12", Href: "#", Out: true}}, {Term: "Key", Value: ui.Mono("microsoft/10740f89")}}}}},
		},
		ui.Section{Title: "Procedure", Blocks: []ui.Block{
			ui.Progress{Label: "Subscriptions", Done: 1204, Total: 2011, Note: "and counting"}, ui.Progress{Label: "Licences"},
			ui.Steps{{Title: "Note the old mappings", Text: "Saved.", State: "done", Href: "#"}, {Title: "Map in Giacom", Text: "Proposed from them.", State: "current"}, {Title: "Import"}},
		}},
		ui.Section{Blocks: []ui.Block{ui.Form{Action: "#", Submit: "Save", Cancel: "#", Others: []ui.Submit{{Label: "Try it", Name: "try", Value: "1"}}, Groups: []ui.Group{{Title: "Giacom", Help: "Where the key is made: My Account & Settings > Settings > API.", Fields: []ui.Field{
			{Name: "key", Label: "API key", Kind: "password", Help: "Ends in 1234 now; leave it empty to keep it.", Required: true}, {Name: "slug", Label: "Name", Value: "acme corp", Error: "Only a-z, 0-9 and hyphens."},
			{Name: "basis", Label: "Price of annual terms", Kind: "select", Options: ui.Options("b", "a", "Per seat and month", "b", "Per seat and term")}, {Name: "percent", Label: "Most removals", Kind: "number", Value: "2", After: "%"},
			{Name: "create", Label: "Create customers", Kind: "checkbox", Checked: true, Help: "For those that Halo does not have."}, {Name: "off", Label: "Not to be changed", Value: "for good", Disabled: true},
			{Name: "mode", Label: "Mode", Kind: "radio", Options: []ui.Option{{Value: "observe", Label: "Observe", Help: "Nothing is written.", Selected: true}, {Value: "auto", Label: "Auto", Help: "Differences are written."}}},
			{Name: "why", Label: "Why", Kind: "textarea", Wide: true, Placeholder: "A few words"}, {Name: "file", Label: "CSV", Kind: "file"},
		}}}}}},
		ui.Confirm{Text: "Delete Acme IT?", Consequences: []string{"Nothing runs any more.", "What is in Halo stays."}, Form: ui.Form{Action: "#", Submit: "Delete it", Danger: true, Cancel: "#"}},
		ui.Table{Caption: "Lines", Columns: []ui.Column{{Title: "What", Wide: true, Sort: "#", Sorted: "ascending"}, {Title: "Changes"}, {Title: "A month, ex VAT", Num: true}, {Title: "State"}, {Title: "Do"}}, Pager: ui.Pager{Next: "#", First: "#", Note: "2 rows on this page"}, Rows: []ui.Row{
			{Cells: []any{ui.Stack{Top: ui.Link{Text: "Harbour Dental Ltd", Href: "#"}, Under: "MEX10021"}, ui.Changes{{Field: "count", Before: "12", After: "15"}}, money, ui.State(itemv1.State_STATE_HELD), ui.Button{Label: "Release", For: "Harbour Dental Ltd", Post: true, Small: true, Href: "#"}}},
			{Tone: ui.Bad, Cells: []any{"Café Société <b>&\"🌱", nil, nil, ui.State(itemv1.State_STATE_FAILED), nil}},
		}},
		ui.Empty{Title: "Nothing yet", Text: "It comes with the first run.", Actions: []ui.Button{{Label: "Run now", Href: "#", Kind: "primary", Icon: "runs"}}},
	)
}

func TestEveryBlockOnEveryScreen(t *testing.T) {
	u, err := ui.New()
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/assets/", u.Assets())
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		layout := ui.Layout{
			Title: "Every block", Person: "Zoë O’Neill <zoe@example.com>", Role: "Operator", Blocks: gallery(),
			Header:      ui.Header{Title: "Every block", Lead: "As they look.", Crumbs: []ui.Link{{Text: "Runs", Href: "#"}}, Badges: []ui.Badge{{Text: "Auto", Tone: ui.Good}}, Actions: []ui.Button{{Label: "Save", Href: "#", Kind: "primary"}, {Label: "Delete …", Href: "#", Kind: "danger"}, {Label: "Later", Href: "#", Kind: "quiet"}}},
			Nav:         []ui.NavGroup{{Items: []ui.NavItem{{Title: "Overview", Href: "#", Icon: "overview", Current: true}, {Title: "Parity", Href: "#", Icon: "parity"}}}, {Title: "Set-up", Items: []ui.NavItem{{Title: "Connections", Href: "#", Icon: "plug"}}}},
			Connections: []ui.Option{{Value: "acme", Label: "Acme IT", Selected: true}},
		}
		if err := u.Page(w, layout, "token"); err != nil {
			t.Error(err)
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	b, err := Launch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	p, err := b.Open(server.URL, filepath.Join("..", "..", "..", "..", "dist", "screens"), Desktop)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Go("/"); err != nil {
		t.Fatal(err)
	}
	if err := p.Look("every-block"); err != nil {
		t.Error(err)
	}
	if problems := p.Problems(); len(problems) > 0 {
		t.Errorf("complaints: %q", problems)
	}
}
