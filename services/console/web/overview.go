package web

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/console/web/ui"
)

func overviewPages() []page {
	return []page{
		{path: "/", title: "Connections at a glance", handle: showAll},
		{path: "/switch", title: "Another connection", handle: switchConnection},
		{path: ofConnection, title: "Overview", nav: navOverview, handle: showOverview},
		{path: ofConnection + "/live", title: "Overview", nav: navOverview, handle: streamOverview},
		{path: ofConnection + "/margins", title: "Margin by customer", nav: navOverview, handle: showMargins},
	}
}

// showAll leads to the one connection, or shows how each of several stands.
func showAll(v *visit) error {
	switch len(v.all) {
	case 0:
		empty := ui.Empty{Title: "No connection yet", Text: "A connection joins one Giacom account to one Halo instance. It begins by observing: nothing is written to Halo until you say so."}
		if _, ok := v.nav[navConnections]; ok && v.operator() {
			empty.Actions = []ui.Button{{Label: "Add a connection", Href: "/connections/new", Kind: "primary"}}
		}
		return v.show(ui.Header{Title: "Welcome to Seatline"}, empty)
	case 1:
		return v.done(v.at(""))
	}
	rows := make([]ui.Row, len(v.all))
	group, ctx := errgroup.WithContext(v.ctx())
	for i, c := range v.all {
		group.Go(func() error {
			s := v.standing(ctx, c.GetSlug())
			rows[i] = ui.Row{Cells: []any{
				ui.Stack{Top: ui.Link{Text: connectionName(c), Href: "/c/" + c.GetSlug()}, Under: c.GetHalo().GetInstance()},
				modeBadge(c), s.lastRun(v), ui.Count(s.of(itemv1.State_STATE_IN_SYNC)), ui.Count(s.open()), ui.Count(s.held()), ui.Count(s.of(itemv1.State_STATE_FAILED)),
			}}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return v.show(ui.Header{Title: "Connections at a glance", Lead: "One row for each Giacom account that is joined to a Halo instance."}, ui.Table{
		Caption: "Connections", Rows: rows,
		Columns: []ui.Column{{Title: "Connection", Wide: true}, {Title: "Mode"}, {Title: "Last run"}, {Title: "In sync", Num: true}, {Title: "Under way", Num: true}, {Title: "Held", Num: true}, {Title: "Failed", Num: true}},
	})
}

// switchConnection leads to the same page of another connection.
func switchConnection(v *visit) error {
	to, from := v.query("to"), local(v.query("from"))
	rest := ""
	if u, err := url.Parse(from); err == nil {
		if after, ok := strings.CutPrefix(u.Path, "/c/"); ok {
			// Only the kind of page: what comes after it belongs to the connection that is left.
			if _, page, found := strings.Cut(after, "/"); found {
				rest, _, _ = strings.Cut(page, "/")
			}
		}
	}
	for _, c := range v.all {
		if c.GetSlug() == to {
			return v.done((&url.URL{Path: strings.TrimSuffix("/c/"+to+"/"+rest, "/")}).String())
		}
	}
	return v.done("/")
}

func showOverview(v *visit) error {
	header := ui.Header{Title: connectionName(v.connection), Badges: []ui.Badge{modeBadge(v.connection)}, Lead: modeLead(v.connection)}
	if v.operator() && v.connection.GetEnabled() {
		header.Actions = []ui.Button{{Label: "Run now", Href: v.at("/runs"), Post: true, Kind: "primary", Icon: "runs"}}
		label := "Leave observe"
		switch {
		case v.connection.GetMode() != connectionv1.Mode_MODE_AUTO:
		case v.connection.GetCanary() != nil:
			label = "Write everything"
		default:
			label = "Back to observe"
		}
		header.Actions = append(header.Actions, ui.Button{Label: label, Href: v.at("/leave-observe")})
	}
	return v.show(header, ui.Live{URL: v.at("/live"), Blocks: v.composedOverview(v.ctx(), v.standing(v.ctx(), v.slug()))})
}

// overviewAge is when an overview is composed anew although nothing moved: it has times in it, and invoices come nearer.
const overviewAge = 30 * time.Second

// streamOverview looks often at what costs little, and composes the whole anew where that is different: all numbers of the
// page are of one moment. What takes long on a large estate is done more seldom, so that looking never costs it much.
func streamOverview(v *visit) error {
	pause := 3 * time.Second
	var shown []ui.Block
	var of string
	var until time.Time
	return v.stream(func(ctx context.Context) error { return every(pause)(ctx) }, func(ctx context.Context) ([]ui.Block, bool, error) {
		began := v.now()
		s := v.standing(ctx, v.slug())
		if state := s.state(); shown == nil || state != of || !began.Before(until) {
			shown, of, until = v.composedOverview(ctx, s), state, began.Add(overviewAge)
		}
		pause = max(3*time.Second, 10*v.now().Sub(began))
		return shown, false, nil
	})
}

// glance is what moves all the time.
func (v *visit) glance(s standing) []ui.Block {
	var blocks []ui.Block
	if missing := s.notice(); missing != nil {
		blocks = append(blocks, *missing)
	}
	held, failed := s.held(), s.of(itemv1.State_STATE_FAILED)
	tiles := ui.Tiles{
		{Label: "Last run", Value: s.lastRun(v), Href: v.at("/runs")},
		{Label: "In sync", Value: s.of(itemv1.State_STATE_IN_SYNC), Note: "customers, licences and lines"},
		{Label: "Being written", Value: s.of(itemv1.State_STATE_PENDING) + s.of(itemv1.State_STATE_APPLYING), Note: "pending or under way", Href: v.at("/plan?state=pending")},
		{Label: "Waiting", Value: s.of(itemv1.State_STATE_PARKED), Note: "for something that comes by itself", Href: v.at("/plan?state=parked")},
		{Label: "Held", Value: held, Note: "for a person", Tone: toneIf(held > 0, ui.Warn), Href: v.asking("/plan", "decides", decidesPerson)},
		{Label: "Failed", Value: failed, Note: "refused by Halo", Tone: toneIf(failed > 0, ui.Bad), Href: v.at("/plan?state=failed")},
	}
	if n := s.onlyShown(); n > 0 {
		tiles = append(tiles, ui.Tile{Label: "Only shown", Value: n, Note: "not written in this mode", Href: v.asking("/plan", "decides", decidesMode)})
	}
	return append(blocks, tiles)
}

func toneIf(yes bool, tone ui.Tone) ui.Tone {
	if yes {
		return tone
	}
	return ui.Plain
}

// standing is how a connection stands, as far as the services answer.
type standing struct {
	run    *runv1.Run // the newest; nil when there is none
	counts []*opsv1.StateCount
	silent []string // services that did not answer
}

func (v *visit) standing(ctx context.Context, slug string) standing {
	var s standing
	runs, err := v.Runs().ListRuns(ctx, &runv1.ListRunsRequest{PageSize: 1, Filter: "connection = " + quote(slug), OrderBy: "start_time desc"})
	if err != nil {
		s.silent = append(s.silent, "fetcher")
	}
	if len(runs.GetRuns()) > 0 {
		s.run = runs.GetRuns()[0]
	}
	for _, o := range v.Writers() {
		p, err := o.Ops.GetProgress(ctx, &opsv1.GetProgressRequest{Connection: slug})
		if err != nil {
			s.silent = append(s.silent, o.Service)
		}
		s.counts = append(s.counts, p.GetItems()...)
	}
	return s
}

func (s standing) of(state itemv1.State) int64 {
	var n int64
	for _, c := range s.counts {
		if c.GetState() == state {
			n += c.GetCount()
		}
	}
	return n
}

// onlyShown counts what nothing holds but the connection's mode.
func (s standing) onlyShown() (n int64) {
	for _, c := range s.counts {
		if c.GetState() == itemv1.State_STATE_HELD && byMode(c.GetReason()) {
			n += c.GetCount()
		}
	}
	return n
}

// held counts what a person must decide.
func (s standing) held() int64 { return s.of(itemv1.State_STATE_HELD) - s.onlyShown() }

// byMode tells whether a reason holds something only because the connection does not write it yet.
func byMode(reason string) bool { return reason == "observe" || reason == "canary" }

// state is all of it in a text, to see whether anything moved.
func (s standing) state() string {
	parts := append([]string{s.run.GetId(), s.run.GetOutcome().String()}, s.silent...)
	for _, c := range s.counts {
		parts = append(parts, fmt.Sprint(c.GetKind(), " ", c.GetState(), " ", c.GetReason(), " ", c.GetCount()))
	}
	slices.Sort(parts)
	return strings.Join(parts, "\n")
}

func (s standing) open() int64 {
	return s.of(itemv1.State_STATE_PENDING) + s.of(itemv1.State_STATE_APPLYING) + s.of(itemv1.State_STATE_PARKED)
}

// notice tells which services do not answer; nil when all do.
func (s standing) notice() *ui.Notice { return silentNotice(s.silent) }

func silentNotice(silent []string) *ui.Notice {
	if len(silent) == 0 {
		return nil
	}
	return &ui.Notice{Tone: ui.Warn, Title: "Not everything is shown", Text: fmt.Sprintf("No answer from: %s. What follows is without its part.", strings.Join(silent, ", ")),
		Next: "Reload in a moment. If it stays, look at the service’s log, or ask: seatline status"}
}

func (s standing) lastRun(v *visit) any {
	if s.run == nil {
		return ui.Quiet{Value: "never"}
	}
	when := ui.Since(s.run.GetStartTime(), v.now())
	return ui.Stack{Top: ui.Outcome(s.run.GetOutcome()), Under: when}
}

// sentence of a reason's code: "price_missing" is "Price missing".
func sentence(code string) string {
	return strings.NewReplacer("giacom", "Giacom", "Giacom", "Giacom", "halo", "Halo").Replace(ui.Word(code, ""))
}

func kindWord(kind string) string {
	switch kind {
	case "customer":
		return "Customer"
	case "licence":
		return "Licence"
	case "invoice-line":
		return "Invoice line"
	default:
		return sentence(strings.ReplaceAll(kind, "-", " "))
	}
}

func modeBadge(c *connectionv1.Connection) ui.Badge {
	switch {
	case !c.GetEnabled():
		return ui.Badge{Text: "Disabled", Tone: ui.Muted, Title: "Nothing runs"}
	case c.GetMode() == connectionv1.Mode_MODE_AUTO && c.GetCanary() != nil:
		return ui.Badge{Text: "Canary", Tone: ui.Info, Title: "Only what concerns a few customers is written to Halo"}
	case c.GetMode() == connectionv1.Mode_MODE_AUTO:
		return ui.Badge{Text: "Auto", Tone: ui.Good, Title: "Differences are written to Halo"}
	default:
		return ui.Badge{Text: "Observes", Tone: ui.Info, Title: "Nothing is written to Halo"}
	}
}

func modeLead(c *connectionv1.Connection) string {
	switch {
	case !c.GetEnabled():
		return "This connection is disabled: nothing is imported, and nothing is written to Halo."
	case c.GetMode() == connectionv1.Mode_MODE_AUTO && c.GetCanary() != nil:
		return "Only what concerns its canary customers is written to Halo. All else is shown, as in observe."
	case c.GetMode() == connectionv1.Mode_MODE_AUTO:
		return "Differences between Giacom and Halo are written to Halo, unless a rule holds them."
	default:
		return "This connection observes: every difference is shown, and nothing is written to Halo."
	}
}
