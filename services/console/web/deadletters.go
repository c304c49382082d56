package web

import (
	"net/http"
	"net/url"
	"slices"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	"seatline.dev/services/console/web/ui"
)

// Dead letters belong to services. Those of all connections are on one page, and those that name none.
func deadLetterPages() []page {
	const letter = "/dead-letters/{service}/{id}"
	return []page{
		{path: "/dead-letters", title: "Dead letters", nav: navDeadLetters, handle: showDeadLetters},
		{path: letter, title: "Decide on a dead letter", nav: navDeadLetters, role: rpc.RoleOperator, handle: func(v *visit) error { return v.askLetter(http.StatusOK, v.query("as"), nil) }},
		{path: letter, method: http.MethodPost, title: "Decide on a dead letter", nav: navDeadLetters, handle: decideLetter},
	}
}

// letterBox is a service with what it could not digest.
type letterBox struct {
	service string
	ops     opsv1.OpsServiceClient
}

// letterBoxes in the order in which a seat travels through the services.
func (v *visit) letterBoxes() []letterBox {
	var all []letterBox
	for _, s := range []struct {
		name string
		conn grpc.ClientConnInterface
	}{{"console", v.Console}, {"fetcher", v.Fetcher}, {"mapper", v.Mapper}, {"licence", v.Licence}, {"billing", v.Billing}} {
		all = append(all, letterBox{s.name, opsv1.NewOpsServiceClient(s.conn)})
	}
	return all
}

// showDeadLetters lists them by service, of each the newest; one service alone is listed page by page.
func showDeadLetters(v *visit) error {
	l := v.listing()
	search := l.search("Search", "Reason, type or key")
	service := l.choice("service", "Service", "", "", "All", "console", "Console", "fetcher", "Fetcher", "mapper", "Mapper", "licence", "Licence", "billing", "Billing")
	connection := ui.Field{Name: "connection", Label: "Connection", Value: l.value("connection"), Placeholder: "Short name"}
	if connection.Value != "" {
		l.and("connection = " + quote(connection.Value))
	}
	var sections []ui.Block
	var silent []string
	for _, b := range v.letterBoxes() {
		token := ""
		if only := l.values.Get("service"); only == b.service {
			token = l.token()
		} else if only != "" {
			continue
		}
		resp, err := b.ops.ListDeadLetters(v.ctx(), &opsv1.ListDeadLettersRequest{PageSize: pageSize, PageToken: token, Filter: l.filter()})
		switch {
		case unanswered(err):
			silent = append(silent, b.service)
		case err != nil:
			return err
		case len(resp.GetDeadLetters()) > 0:
			sections = append(sections, ui.Section{Title: sentence(b.service), Blocks: []ui.Block{v.letterTable(l, b.service, resp)}})
		}
	}
	blocks := []ui.Block{l.form(search, service, connection)}
	if missing := silentNotice(silent); missing != nil {
		blocks = append(blocks, *missing)
	}
	switch {
	case len(sections) == 0 && l.narrowed():
		blocks = append(blocks, nothingFound("dead letter", "/dead-letters"))
	case len(sections) == 0 && len(silent) == 0:
		blocks = append(blocks, ui.Empty{Title: "No dead letters", Text: "Every service has digested every message so far."})
	}
	return v.show(ui.Header{Title: "Dead letters", Lead: "Messages between Seatline’s services that one of them could not digest, the newest first. Nothing else waits for them; what they tell of is not in Halo until they are redriven, or something newer comes."},
		append(blocks, sections...)...)
}

func (v *visit) letterTable(l *listing, service string, resp *opsv1.ListDeadLettersResponse) ui.Table {
	t := ui.Table{Caption: "Dead letters of " + service, Columns: []ui.Column{{Title: "About", Wide: true}, {Title: "Connection"}, {Title: "Why", Wide: true}, {Title: "When"}}}
	t.Pager = l.pager(resp.GetNextPageToken(), len(resp.GetDeadLetters()))
	if next := resp.GetNextPageToken(); next != "" {
		more := l.kept()
		more.Set("service", service)
		more.Set("page", next)
		t.Pager.Next = l.path + "?" + more.Encode()
	}
	if v.operator() {
		t.Columns = append(t.Columns, ui.Column{Title: "Decide"})
	}
	for _, x := range resp.GetDeadLetters() {
		row := ui.Row{Cells: []any{ui.Stack{Top: nameOr(x.GetKey(), x.GetSubject()), Under: ui.Mono(x.GetType())}, x.GetConnection(), x.GetReason(), ui.When(x.GetTime())}}
		if v.operator() {
			to := letterAddress(service, x.GetId())
			row.Cells = append(row.Cells, ui.Beside{
				ui.Button{Label: "Redrive …", For: x.GetKey(), Href: to + "?as=redrive", Small: true}, ui.Button{Label: "Discard …", For: x.GetKey(), Href: to + "?as=discard", Small: true},
			})
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func letterAddress(service, id string) string {
	return "/dead-letters/" + service + "/" + url.PathEscape(id)
}

// letter that the page is about, with the service that has it.
func (v *visit) letter() (letterBox, *opsv1.DeadLetter, error) {
	all, service, id := v.letterBoxes(), v.param("service"), v.param("id")
	at := slices.IndexFunc(all, func(b letterBox) bool { return b.service == service })
	if at < 0 {
		return letterBox{}, nil, rpc.NotFound("service", service).Do("choose one from the dead letters")
	}
	resp, err := all[at].ops.ListDeadLetters(v.ctx(), &opsv1.ListDeadLettersRequest{PageSize: 1, Filter: "id = " + quote(id)})
	if err != nil {
		return letterBox{}, nil, err
	}
	if len(resp.GetDeadLetters()) == 0 {
		return letterBox{}, nil, rpc.NotFound("dead letter", id).Do("somebody redrove or discarded it meanwhile: look at the list again")
	}
	return all[at], resp.GetDeadLetters()[0], nil
}

// askLetter before something is done with one. notice is of an attempt that failed.
func (v *visit) askLetter(status int, as string, notice *ui.Notice) error {
	box, x, err := v.letter()
	if err != nil {
		return err
	}
	c := ui.Confirm{
		Text: "The " + box.service + " service is given the message once more.", Consequences: []string{"If it digests it now, what the message tells of goes on its way, and it leaves this list.", "If it is refused again, it stays here with the new reason."},
		Form: ui.Form{Action: letterAddress(box.service, x.GetId()), Submit: "Redrive it", Cancel: "/dead-letters", Groups: ui.Fields(ui.Field{Name: "as", Kind: "hidden", Value: as})},
	}
	title := "Redrive this message?"
	if as == "discard" {
		title, c.Text = "Discard this message?", "The message is dropped for good."
		c.Consequences = []string{"The " + box.service + " service never learns what it tells of, until something newer about the same comes.", "It cannot be brought back."}
		c.Form.Submit, c.Form.Danger = "Discard it", true
	}
	blocks := []ui.Block{c, ui.Section{Title: "The message", Blocks: []ui.Block{ui.Definitions{
		{Term: "About", Value: x.GetKey()}, {Term: "Connection", Value: x.GetConnection()}, {Term: "Type", Value: ui.Mono(x.GetType())}, {Term: "Subject", Value: ui.Mono(x.GetSubject())},
		{Term: "Why it was refused", Value: x.GetReason()}, {Term: "When", Value: ui.When(x.GetTime())},
	}}}}
	if notice != nil {
		blocks = append([]ui.Block{*notice}, blocks...)
	}
	return v.showAs(status, ui.Header{Title: title, Crumbs: []ui.Link{{Text: "Dead letters", Href: "/dead-letters"}}}, blocks...)
}

func decideLetter(v *visit) error {
	box, x, err := v.letter()
	if err != nil {
		return err
	}
	as, text, req := v.form("as"), "The message was digested.", &opsv1.DeadLetterRequest{Id: x.GetId()}
	switch as {
	case "redrive":
		_, err = box.ops.RedriveDeadLetter(v.ctx(), req)
	case "discard":
		text = "The message is discarded."
		_, err = box.ops.DiscardDeadLetter(v.ctx(), req)
	default:
		return rpc.InvalidArgument("as", "%q is neither redrive nor discard", as)
	}
	if err == nil {
		return v.done("/dead-letters", said(text))
	}
	if e, known := rpc.ErrorFrom(err); known && e.Code != codes.NotFound {
		return v.askLetter(httpStatus(e.Code), as, ui.ErrorNotice(err))
	}
	return err
}
