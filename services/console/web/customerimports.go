package web

import (
	"context"
	"net/http"
	"strconv"

	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

// showCustomerImport is the preview: what an import would create, update, link and skip, and what it asks.
func showCustomerImport(v *visit) error {
	p, err := v.Mappings().GetCustomerImport(v.ctx(), &mappingv1.ImportCustomersRequest{Connection: v.connection.GetSlug()})
	if err != nil {
		return v.noCustomerImport(err)
	}
	return v.customerPreview(http.StatusOK, p, p, nil, nil)
}

// noCustomerImport says why there is no preview; an import that cannot be planned is no broken page.
func (v *visit) noCustomerImport(err error) error {
	e, known := rpc.ErrorFrom(err)
	if !known {
		return err
	}
	return v.showAs(httpStatus(e.Code), customerImportHeader(v), *refusal(err))
}

func customerImportHeader(v *visit) ui.Header {
	return ui.Header{Title: "Import customers", Crumbs: []ui.Link{{Text: "Imports", Href: v.at("/imports")}},
		Lead: "Every Giacom customer that Halo lacks is created there. Nothing happens until you say so; this is what would."}
}

// customerPreview draws a preview p, with what was answered before. plain is the preview without answers,
// whose questions have all their candidates: an answer may be changed again.
func (v *visit) customerPreview(status int, p, plain *mappingv1.CustomerImport, given answers, notice *ui.Notice) error {
	var blocks []ui.Block
	if notice != nil {
		blocks = append(blocks, *notice)
	}
	if p.GetBlocked() != nil {
		blocks = append(blocks, ui.Notice{Tone: ui.Warn, Title: "This is a preview only", Text: p.GetBlocked().GetText()})
	}
	blocks = append(blocks, ui.Tiles{
		{Label: "Would be created", Value: p.GetCreate(), Note: v.underTopLevel(p)}, {Label: "Would be updated", Value: p.GetUpdate(), Note: "their name"}, {Label: "Would be linked", Value: p.GetLink(), Note: "to customers Halo has"},
		{Label: "Questions", Value: p.GetAsk(), Note: "link or create?", Tone: toneIf(p.GetAsk() > 0, ui.Warn)}, {Label: "Skipped", Value: p.GetSkip()}, {Label: "Need nothing", Value: p.GetUnchanged(), Note: "mapped already"},
	})
	if v.operator() {
		blocks = append(blocks, v.customerQuestions(p, plain, given))
	}
	l := v.listing()
	l.path = v.at("/imports/customers")
	if status != http.StatusOK || given != nil { // an answer to a form has no address to page through
		return v.showAs(status, customerImportHeader(v), append(blocks, v.answeredRows(p, given)...)...)
	}
	return v.show(customerImportHeader(v), append(blocks, v.importRows(l, p.GetRows(), false)...)...)
}

func (v *visit) underTopLevel(p *mappingv1.CustomerImport) any {
	text := "under Halo’s default top level"
	if id := p.GetTopLevelId(); id != 0 {
		text = "under top level " + strconv.FormatInt(id, 10)
	}
	return text
}

// startCustomerImport starts what was shown, or shows what other answers would do.
func startCustomerImport(v *visit) error {
	given := v.answers()
	req, err := given.request(v.connection.GetSlug())
	if err != nil {
		return err
	}
	again := func(status int, notice *ui.Notice) error {
		plain, err := v.Mappings().GetCustomerImport(v.ctx(), &mappingv1.ImportCustomersRequest{Connection: req.GetConnection()})
		if err != nil {
			return v.noCustomerImport(err)
		}
		p, err := v.Mappings().GetCustomerImport(v.ctx(), &mappingv1.ImportCustomersRequest{Connection: req.GetConnection(), Answers: req.GetAnswers()})
		if e, known := rpc.ErrorFrom(err); err != nil && known { // an answer cannot be carried out: it is asked again
			return v.customerPreview(httpStatus(e.Code), plain, plain, given, refusal(err))
		}
		if err != nil {
			return err
		}
		return v.customerPreview(status, p, plain, given, notice)
	}
	if v.form("do") == "preview" {
		return again(http.StatusOK, nil)
	}
	req.Etag = v.form("etag")
	var started *mappingv1.CustomerImport
	err = v.askHaloForAll(func(ctx context.Context) (err error) {
		started, err = v.Mappings().ImportCustomers(ctx, req)
		return err
	})
	if err != nil {
		e, known := rpc.ErrorFrom(err)
		if !known {
			return err
		}
		notice := refusal(err)
		if e.Code == codes.Aborted {
			notice.Title, notice.Text, notice.Next = "Look again first", "What the import would do is not what was shown: your answers, or something else, changed it. Nothing was imported.", "This is what it would do now. Start it if that is right."
		}
		return again(httpStatus(e.Code), notice)
	}
	return v.done(v.at("/imports/customers/" + started.GetId()))
}
