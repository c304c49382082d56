package web

import (
	"context"
	"net/http"
	"strconv"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

func topLevelPages() []page {
	at := ofConnection + "/top-level"
	return []page{
		{path: at, title: "Top level for new customers", nav: navMappings, handle: showTopLevel},
		{path: at, method: http.MethodPost, title: "Top level for new customers", nav: navMappings, handle: setTopLevel},
	}
}

func showTopLevel(v *visit) error {
	return v.topLevelPage(http.StatusOK, v.connection, v.connection.GetCustomers().GetTopLevelId(), nil)
}

// topLevelPage lets choose from Halo's own list. c is the connection as it is now, chosen what is selected.
func (v *visit) topLevelPage(status int, c *connectionv1.Connection, chosen int64, notice *ui.Notice) error {
	header := ui.Header{Title: "Top level for new customers", Lead: "Customers that Seatline creates in Halo are created under this top level. Customers that are mapped or updated stay where they are."}
	blocks := []ui.Block{v.mappingTabs("Top level", nil)}
	if notice != nil {
		blocks = append(blocks, *notice)
	}
	now := c.GetCustomers().GetTopLevelId()
	levels, err := v.topLevels(c)
	if err != nil {
		problem := refusal(err)
		if v.ctx().Err() == nil && status == http.StatusOK {
			status = http.StatusServiceUnavailable
		}
		return v.showAs(status, header, append(blocks, *problem, ui.Section{Blocks: []ui.Block{ui.Definitions{{Term: "Chosen now", Value: topLevelName(nil, now)}}}})...)
	}
	if levels.GetChosenMissing() {
		blocks = append(blocks, ui.Notice{Tone: ui.Warn, Title: "The chosen top level is gone", Text: "Halo has no top level " + strconv.FormatInt(now, 10) + " any more, so no customer can be created under it.", Next: "Choose another one."})
	}
	facts := ui.Definitions{{Term: "Chosen now", Value: topLevelName(levels.GetTopLevels(), now)}, {Term: "In Halo’s list", Value: len(levels.GetTopLevels())}}
	side := ui.Section{Title: "About it", Blocks: []ui.Block{facts, ui.Paragraph{Text: ui.Quiet{Value: "The list is Halo’s own, read just now. Choosing another one moves nobody: it is for customers that are created from now on."}}}}
	if !v.operator() {
		return v.showAs(status, header, append(blocks, side)...)
	}
	options := []ui.Option{{Value: "0", Label: "Halo’s default", Selected: chosen == 0}}
	for _, t := range levels.GetTopLevels() {
		options = append(options, ui.Option{Value: strconv.FormatInt(t.GetId(), 10), Label: t.GetLongName(), Selected: t.GetId() == chosen})
	}
	form := ui.Form{Action: v.at("/top-level"), Submit: "Save", Groups: ui.Fields(
		ui.Field{Name: "etag", Kind: "hidden", Value: c.GetEtag()},
		ui.Field{Name: "top_level", Label: "Top level", Kind: "select", Wide: true, Options: options, Help: "Applies to customers that are created only."},
	)}
	return v.showAs(status, header, append(blocks, ui.Split{Main: []ui.Block{ui.Section{Blocks: []ui.Block{form}}}, Side: []ui.Block{side}})...)
}

func (v *visit) topLevels(c *connectionv1.Connection) (levels *mappingv1.ListTopLevelsResponse, err error) {
	err = v.askHalo(func(ctx context.Context) error {
		levels, err = v.Mappings().ListTopLevels(ctx, &mappingv1.ListTopLevelsRequest{Connection: c.GetSlug()})
		return err
	})
	return levels, err
}

func topLevelName(all []*mappingv1.TopLevel, id int64) string {
	if id == 0 {
		return "Halo’s default"
	}
	for _, t := range all {
		if t.GetId() == id {
			return t.GetLongName()
		}
	}
	return "Number " + strconv.FormatInt(id, 10)
}

func setTopLevel(v *visit) error {
	chosen, err := strconv.ParseInt(v.form("top_level"), 10, 64)
	if err != nil || chosen < 0 {
		return rpc.InvalidArgument("top_level", "%q is no top level", v.form("top_level")).Do("go back and choose one from the list")
	}
	settings := v.Connections()
	now, err := settings.GetConnection(v.ctx(), &connectionv1.GetConnectionRequest{Slug: v.connection.GetSlug()})
	if err != nil {
		return err
	}
	changed := proto.CloneOf(now)
	if changed.Customers == nil {
		changed.Customers = &connectionv1.Customers{}
	}
	changed.Customers.TopLevelId, changed.Etag = chosen, v.form("etag")
	if _, err := settings.ApplyConnection(v.ctx(), &connectionv1.ApplyConnectionRequest{Connection: changed}); err != nil {
		e, known := rpc.ErrorFrom(err)
		if !known {
			return err
		}
		notice := refusal(err)
		if e.Code == codes.Aborted {
			notice.Text = v.connectionChanged(now)
			notice.Next = "What you chose is still selected below: save it again if it is right."
		}
		return v.topLevelPage(httpStatus(e.Code), now, chosen, notice)
	}
	return v.done(v.at("/top-level"), said("Customers are created under the chosen top level from now on."))
}

// connectionChanged says who was faster, and what the top level is now.
func (v *visit) connectionChanged(now *connectionv1.Connection) string {
	text := "The connection’s settings were changed"
	if now.GetUpdatedBy() != "" {
		text += " by " + now.GetUpdatedBy()
	}
	if now.GetUpdateTime() != nil {
		text += " on " + ui.DateTime(now.GetUpdateTime().AsTime())
	}
	is := "Halo’s default"
	if id := now.GetCustomers().GetTopLevelId(); id != 0 {
		is = "number " + strconv.FormatInt(id, 10)
		if levels, err := v.topLevels(now); err == nil {
			is = topLevelName(levels.GetTopLevels(), id)
		}
	}
	return text + " after you opened this page. The top level is " + is + " now."
}
