package ui

import (
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

func draw(t *testing.T, blocks ...Block) string {
	t.Helper()
	u, err := New()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := u.Blocks(&out, blocks, "the-token"); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestFormatsAreBritish(t *testing.T) {
	winter, summer := time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC), time.Date(2026, 7, 1, 23, 30, 0, 0, time.UTC)
	amount := func(s, currency string) Amount {
		return Amount{Value: decimal.RequireFromString(s), Currency: currency}
	}
	for got, want := range map[string]string{
		DateTime(winter): "23 Nov 2026, 14:05", DateTime(summer): "2 Jul 2026, 00:30", Date(summer): "2 Jul 2026",
		Count(0): "0", Count(999): "999", Count(2011): "2,011", Count(-1234567): "−1,234,567",
		amount("1204", "GBP").Text():      "£1,204.00",
		amount("1204", "GBP").Full():      "£1,204.00 ex VAT",
		amount("-0.125", "EUR").Text():    "−€0.13",
		amount("-0.001", "GBP").Text():    "£0.00",
		amount("1234567.8", "CHF").Text(): "CHF 1,234,567.80",
		Amount{Value: decimal.RequireFromString("384.2"), Currency: "GBP", Signed: true, Per: "a month"}.Full(): "+£384.20 ex VAT a month",
		Ago(winter.Add(-5*time.Minute), winter): "5 minutes ago",
		Ago(winter.Add(-time.Second), winter):   "just now",
		Ago(winter.Add(time.Hour), winter):      "in 1 hour",
		Ago(winter.Add(-72*time.Hour), winter):  "3 days ago",
		Plural(1, "line", "lines"):              "1 line",
		Plural(2011, "line", "lines"):           "2,011 lines",
		Word("STATE_IN_SYNC", "STATE_"):         "In sync",
		Word("OUTCOME_UNSPECIFIED", "OUTCOME_"): "",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if Money(nil) != nil || Money(&moneyv1.Money{}) != nil || Money(&moneyv1.Money{Amount: "rubbish"}) != nil {
		t.Error("money that is not known is shown as some")
	}
}

func TestAFormHasItsTokenAndNobodyElseHas(t *testing.T) {
	html := draw(t, Form{Action: "/x", Submit: "Save", Groups: Fields(Field{Name: "name", Label: "Name", Value: `"><script>`, Required: true})})
	if strings.Count(html, `name="token" value="the-token"`) != 1 || strings.Contains(html, "<script>") || !strings.Contains(html, `<label for="f-name">Name`) {
		t.Errorf("the form is\n%s", html)
	}
	if html := draw(t, Form{Get: true, Submit: "Find"}, Filter{Action: "/x"}); strings.Contains(html, "the-token") {
		t.Errorf("a form that asks by GET would put its token into the address:\n%s", html)
	}
}

func TestWhatIsWrongStandsAtItsField(t *testing.T) {
	form := Form{Groups: []Group{{Fields: []Field{{Name: "slug"}, {Name: "giacom.account"}}}, {Fields: []Field{{Name: "base_url"}}}}}
	err := rpc.InvalidArgument("slug", "is taken").Violate("connection.giacom.account", "is empty").Violate("connection.halo.base_url", "is no URL").Violate("mode", "is unknown")
	got, notice := form.Wrong(err)
	fields := append(append([]Field(nil), got.Groups[0].Fields...), got.Groups[1].Fields...)
	for i, want := range []string{"is taken", "is empty", "is no URL"} {
		if fields[i].Error != want {
			t.Errorf("%s: %q, want %q", fields[i].Name, fields[i].Error, want)
		}
	}
	if len(notice.Items) != 1 || notice.Items[0] != "mode: is unknown" {
		t.Errorf("left over: %q", notice.Items)
	}
	if form.Groups[0].Fields[0].Error != "" {
		t.Error("the form that was given is changed")
	}
	if html := draw(t, got); !strings.Contains(html, `aria-invalid="true" aria-describedby="f-slug-about"`) || !strings.Contains(html, `id="f-slug-about"`) {
		t.Errorf("the field does not lead to what is wrong with it:\n%s", html)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for _, c := range []struct {
		err  error
		says string
		next string
	}{
		{rpc.Conflict("connection", "acme"), "was changed by someone else", "read it again"},
		{rpc.NotFound("run", "r1"), `run "r1" does not exist`, "go back and look again"},
		{rpc.Errorf(codes.PermissionDenied, "ROLE_FORBIDS", "vera may not"), "vera may not", "Ask an operator"},
		{rpc.Unavailable("BUSY", 90*time.Second, "billing is busy"), "billing is busy", "Wait 1 minute first"},
		{errTest("pq: password hunter2"), "Something broke on our side", "Try again"},
	} {
		n := ErrorNotice(c.err)
		if !strings.Contains(n.Text, c.says) || !strings.Contains(n.Next, c.next) || strings.Contains(n.Text+n.Next, "hunter2") {
			t.Errorf("%v becomes %q, %q", c.err, n.Text, n.Next)
		}
	}
}

type errTest string

func (e errTest) Error() string { return string(e) }

func TestChangesFold(t *testing.T) {
	change := func(name string) Change { return Change{Field: name, Minor: name == "mark"} }
	for _, c := range []struct{ all, first, rest string }{
		{"a", "a", ""}, {"a b c d", "a b c d", ""}, {"a b c d e", "a b c", "d e"}, {"mark", "mark", ""}, {"mark a", "a", "mark"}, {"a b c d mark", "a b c", "d mark"},
	} {
		var all Changes
		for name := range strings.FieldsSeq(c.all) {
			all = append(all, change(name))
		}
		names := func(list Changes) string {
			var out []string
			for _, x := range list {
				out = append(out, x.Field)
			}
			return strings.Join(out, " ")
		}
		if first, rest := names(all.First()), names(all.Rest()); first != c.first || len(strings.Fields(rest)) != len(strings.Fields(c.rest)) {
			t.Errorf("%q: %q and %q", c.all, first, rest)
		}
	}
}

func TestAChartIsDrawnToScale(t *testing.T) {
	for most, want := range map[float64]float64{0: 1, 1: 1, 3: 3, 19: 20, 212: 300, 1000: 1000, 1943: 2000} {
		if top, step := scale(most); top != want || top < most || step <= 0 {
			t.Errorf("up to %v: top %v, step %v, want %v", most, top, step, want)
		}
	}
	c := Bars{Title: "Changes", Series: []Series{{"Applied", Good}, {"Failed", Bad}}, Bars: []Bar{{"1 Nov", []float64{75, 25}}, {"2 Nov", []float64{0, 50}}}}
	d := drawBars(c)
	if len(d.Rects) != 3 || d.Rects[0].H == d.Rects[1].H || d.Rects[1].X != d.Rects[0].X || d.Rects[2].X == d.Rects[0].X {
		t.Errorf("drawn as %+v", d.Rects)
	}
	html := draw(t, c)
	for _, says := range []string{`role="img"`, "<title>1 Nov: Applied 75</title>", `<th scope="row">2 Nov</th>`} {
		if !strings.Contains(html, says) {
			t.Errorf("does not say %q:\n%s", says, html)
		}
	}
	if strings.Contains(html, "style=") {
		t.Error("has inline style")
	}
}

func TestTablesWithoutRowsSayWhy(t *testing.T) {
	html := draw(t, Table{Columns: []Column{{Title: "A"}}, Empty: Empty{Title: "Nothing yet"}})
	if strings.Contains(html, "<table") || !strings.Contains(html, "Nothing yet") {
		t.Error(html)
	}
	html = draw(t, Table{Caption: "Things", Columns: []Column{{Title: "A"}, {Title: "B", Num: true, Sort: "?order=b", Sorted: "descending"}}, Rows: []Row{{Cells: []any{"x", 2011}}, {Cells: []any{nil, nil}}}})
	for _, says := range []string{`data-label="B"`, "2,011", `aria-sort="descending"`, `aria-label="none"`} {
		if !strings.Contains(html, says) {
			t.Errorf("does not say %q:\n%s", says, html)
		}
	}
}
