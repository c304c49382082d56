package web

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"seatline.dev/pkg/rpc"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/billing/inty"
	"seatline.dev/services/console/web/ui"
	"seatline.dev/services/csvfile"
)

func askIntyFile(v *visit) error { return v.showIntyFile(http.StatusOK, nil) }

func (v *visit) showIntyFile(status int, notice *ui.Notice) error {
	form := ui.Form{
		Action: v.atInty("/save"), Upload: true, Submit: "Save these mappings", Cancel: v.atInty(""),
		Groups: ui.Fields(ui.Field{Name: "file", Label: "CSV file", Kind: "file", Required: true, Wide: true, Help: "Up to 16 MB. Nothing is saved unless every row of it is right."}),
	}
	blocks := []ui.Block{ui.Section{Title: "From a file", Lead: "Where Halo’s Inty module was cleared out already, or the mappings were noted elsewhere.", Blocks: []ui.Block{
		ui.Definitions{
			{Term: "inty_id", Value: "The customer’s id in Inty", Help: "needed"},
			{Term: "client_id", Value: "The customer’s number in Halo", Help: "or client_name, its exact name there"},
			{Term: "Where known", Value: ui.Sentence{ui.Mono("inty_name"), ", ", ui.Mono("tenant_id"), ", ", ui.Mono("country"), ", ", ui.Mono("currency")}, Help: "country and currency tell who is in the United States"},
		},
		ui.Paragraph{Text: "The first line names the columns, in any order; others are passed over."}, form,
	}}}
	if notice != nil {
		blocks = append([]ui.Block{*notice}, blocks...)
	}
	return v.showAs(status, v.intyHeader("Note the old mappings", "They are read from Halo with the button on the page before, or from a file here. Do it before anything is cleared in Halo."), blocks...)
}

// saveIntyMappings takes them from a file where one is sent, else from Halo.
func saveIntyMappings(v *visit) error {
	req := &intyv1.SaveMappingsRequest{Connection: v.connection.GetSlug()}
	fromFile := strings.HasPrefix(v.r.Header.Get("Content-Type"), "multipart/")
	if fromFile {
		content, _, err := v.upload("file")
		if err == nil {
			req.Rows, err = inty.ReadFile(content)
		}
		var faults csvfile.Faults
		if errors.As(err, &faults) {
			var texts []string
			for _, f := range faults {
				texts = append(texts, f.Error())
			}
			return v.wrongIntyFile(texts)
		}
		if err != nil {
			return v.showIntyFile(http.StatusUnprocessableEntity, &ui.Notice{Tone: ui.Bad, Title: "Nothing was saved", Text: sentenceCase(err.Error()) + ".", Next: "Correct the file and send it again."})
		}
	}
	answer, err := v.Inty().SaveMappings(v.ctx(), req)
	if e, known := rpc.ErrorFrom(err); known && fromFile && len(e.Violations) > 0 {
		var texts []string
		for _, x := range e.Violations {
			texts = append(texts, x.Description)
		}
		return v.wrongIntyFile(texts)
	}
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s saved, %s of them just now, from %s.", ui.Plural(int64(answer.GetSaved()), "old mapping is", "old mappings are"), ui.Count(int64(answer.GetAdded())), mappingsFrom(answer.GetFrom()))
	if answer.GetSaved() == 0 {
		return v.done(v.atInty(""), ui.Notice{Tone: ui.Warn, Text: "Halo’s Inty module holds no mappings.", Next: "If they were noted elsewhere, upload them as a file."})
	}
	return v.done(v.atInty(""), said(text))
}

// wrongIntyFile says what is wrong in a file's lines.
func (v *visit) wrongIntyFile(lines []string) error {
	notice := &ui.Notice{Tone: ui.Bad, Title: "Nothing was saved", Text: "Some rows of the file are not right.", Next: "Correct the file and send it again."}
	notice.Items = lines[:min(len(lines), maxFaults)]
	return v.showIntyFile(http.StatusUnprocessableEntity, notice)
}

var oldMappingWords = map[intyv1.OldMappingState]ui.Badge{
	intyv1.OldMappingState_OLD_MAPPING_STATE_MAPPED:    {Text: "Mapped", Tone: ui.Good},
	intyv1.OldMappingState_OLD_MAPPING_STATE_PROPOSED:  {Text: "Proposed", Tone: ui.Info, Title: "Waits to be accepted"},
	intyv1.OldMappingState_OLD_MAPPING_STATE_AMBIGUOUS: {Text: "Ambiguous", Tone: ui.Warn, Title: "Several customers fit: choose one"},
	intyv1.OldMappingState_OLD_MAPPING_STATE_NONE:      {Text: "No match", Tone: ui.Warn, Title: "Map it by hand"},
	intyv1.OldMappingState_OLD_MAPPING_STATE_EXCLUDED:  {Text: "United States", Tone: ui.Muted, Title: "Does not move to Giacom"},
	intyv1.OldMappingState_OLD_MAPPING_STATE_ASKED:     {Text: "Where is it?", Tone: ui.Warn, Title: "It is not known whether the customer is in the United States"},
}

// showIntyMappings lists the old mappings with what they mean in Giacom.
func showIntyMappings(v *visit) error {
	l := v.listing()
	search := l.search("Search", "Customer, or id in Inty or Giacom")
	state := l.choice("state", "State", "", "", "All", "proposed", "Proposed", "mapped", "Mapped", "ambiguous", "Ambiguous", "none", "No match", "asked", "Where is it?", "excluded", "United States")
	m, err := v.migration(v.ctx())
	if err != nil {
		return err
	}
	resp, err := v.Inty().ListOldMappings(v.ctx(), &intyv1.ListOldMappingsRequest{
		Connection: v.connection.GetSlug(), PageSize: pageSize, PageToken: l.token(), Search: search.Value, OrderBy: l.order(),
		State: intyv1.OldMappingState(intyv1.OldMappingState_value["OLD_MAPPING_STATE_"+strings.ToUpper(l.values.Get("state"))]),
	})
	if err != nil {
		return err
	}
	t := ui.Table{
		Caption: "Old mappings",
		Columns: []ui.Column{l.sorted(ui.Column{Title: "Customer in Halo", Wide: true}, "customer"), {Title: "In Inty"}, {Title: "In Giacom"}, {Title: "Where it is"}, l.sorted(ui.Column{Title: "State"}, "state")},
		Empty:   ui.Empty{Title: "No old mappings", Text: "They are saved in the first step, from Halo or from a file.", Actions: []ui.Button{{Label: "To the steps", Href: v.atInty("")}}},
		Pager:   l.pager(resp.GetNextPageToken(), len(resp.GetMappings())),
	}
	if l.narrowed() {
		t.Empty = ui.Empty{Title: "Nothing found", Text: "No old mapping matches what you asked for.", Actions: []ui.Button{{Label: "Show all", Href: v.atInty("/mappings")}}}
	}
	if v.operator() {
		t.Columns = append(t.Columns, ui.Column{Title: "To do"})
	}
	for _, x := range resp.GetMappings() {
		t.Rows = append(t.Rows, v.oldMappingRow(x))
	}
	var actions []ui.Button
	if v.operator() {
		actions = []ui.Button{{Label: "Accept all proposals …", Href: v.atInty("/mappings/accept"), Kind: "primary"}}
	}
	return v.show(v.intyHeader("Old mappings", "What Halo’s Inty module had mapped, and the customer in Giacom that each proposes: by tenant, by exact name, or by the name but for its legal form. Where several fit, nothing is guessed.", actions...),
		v.intyTabs(m), l.form(search, state), t)
}

func (v *visit) oldMappingRow(x *intyv1.OldMapping) ui.Row {
	giacom := any(nil)
	if x.GetMexId() != "" {
		giacom = ui.Stack{Top: x.GetGiacomName(), Under: x.GetMexId()}
	}
	row := ui.Row{Cells: []any{
		ui.Stack{Top: x.GetClientName(), Under: "No. " + strconv.FormatInt(x.GetClientId(), 10)}, ui.Stack{Top: x.GetIntyName(), Under: x.GetIntyId()}, giacom,
		ui.Stack{Top: regionWord(x.GetRegion()), Under: capital(x.GetRegionWhy())}, ui.Stack{Top: oldMappingWords[x.GetState()], Under: capital(x.GetWhy())},
	}}
	if !v.operator() {
		return row
	}
	var to any
	mapTo := func(mex, label string) ui.Button {
		return ui.Button{Label: label, Href: v.atInty("/mappings/map"), Post: true, Send: []string{"inty", x.GetIntyId(), "client", strconv.FormatInt(x.GetClientId(), 10), "mex", mex}, Small: true, For: x.GetClientName()}
	}
	switch x.GetState() {
	case intyv1.OldMappingState_OLD_MAPPING_STATE_PROPOSED:
		to = mapTo(x.GetMexId(), "Accept")
	case intyv1.OldMappingState_OLD_MAPPING_STATE_AMBIGUOUS:
		var choices ui.Lines
		for _, mex := range x.GetCandidates() {
			choices = append(choices, mapTo(mex, "It is "+mex))
		}
		to = choices
	case intyv1.OldMappingState_OLD_MAPPING_STATE_NONE:
		if path := v.entry(navMappings); path != "" {
			to = ui.Link{Text: "Map by hand", Href: path}
		}
	case intyv1.OldMappingState_OLD_MAPPING_STATE_ASKED, intyv1.OldMappingState_OLD_MAPPING_STATE_EXCLUDED:
		to = ui.Link{Text: "Say where it is", Href: v.atInty("/where?customer=" + strconv.FormatInt(x.GetClientId(), 10))}
	}
	row.Cells = append(row.Cells, to)
	return row
}

// mapIntyCustomer accepts one proposal, or one of several that fit, if that is still what is there.
func mapIntyCustomer(v *visit) error {
	id, mex := v.form("inty"), v.form("mex")
	client, _ := strconv.ParseInt(v.form("client"), 10, 64)
	resp, err := v.Inty().ListOldMappings(v.ctx(), &intyv1.ListOldMappingsRequest{Connection: v.connection.GetSlug(), Search: id, PageSize: 1000})
	if err != nil {
		return err
	}
	for _, x := range resp.GetMappings() {
		if x.GetIntyId() != id || x.GetClientId() != client || !fits(x, mex) {
			continue
		}
		now, err := v.Mappings().SetMapping(v.ctx(), &mappingv1.SetMappingRequest{Connection: v.connection.GetSlug(), MexId: mex, HaloClientId: client})
		if err != nil {
			return err
		}
		return v.done(v.atInty("/mappings?state=proposed"), said(fmt.Sprintf("%s (%s) is %s in Halo.", now.GetGiacomName(), mex, now.GetHaloClientName())))
	}
	return v.done(v.atInty("/mappings"), ui.Notice{Tone: ui.Warn, Text: "That proposal is not there any more: somebody mapped one of the two, or Giacom’s customers changed.", Next: "Look at how it stands now."})
}

func fits(x *intyv1.OldMapping, mex string) bool {
	if x.GetState() == intyv1.OldMappingState_OLD_MAPPING_STATE_PROPOSED {
		return x.GetMexId() == mex
	}
	for _, c := range x.GetCandidates() {
		if c == mex && x.GetState() == intyv1.OldMappingState_OLD_MAPPING_STATE_AMBIGUOUS {
			return true
		}
	}
	return false
}

// proposals are all that wait to be accepted, and a name for exactly these.
func (v *visit) proposals() (all []*intyv1.OldMapping, name string, err error) {
	err = rpc.Pages(func(token string) (string, error) {
		resp, err := v.Inty().ListOldMappings(v.ctx(), &intyv1.ListOldMappingsRequest{
			Connection: v.connection.GetSlug(), State: intyv1.OldMappingState_OLD_MAPPING_STATE_PROPOSED, PageSize: 1000, PageToken: token,
		})
		all = append(all, resp.GetMappings()...)
		return resp.GetNextPageToken(), err
	})
	if err != nil {
		return nil, "", err
	}
	h := sha256.New()
	for _, x := range all {
		fmt.Fprintf(h, "%q %d %q\n", x.GetIntyId(), x.GetClientId(), x.GetMexId())
	}
	return all, hex.EncodeToString(h.Sum(nil))[:16], nil
}

func askIntyProposals(v *visit) error { return v.showIntyProposals(http.StatusOK, nil) }

// shownProposals is how many are spelled out before they are accepted.
const shownProposals = 200

func (v *visit) showIntyProposals(status int, notice *ui.Notice) error {
	all, name, err := v.proposals()
	if err != nil {
		return err
	}
	header := v.intyHeader("Accept all proposals?", nil)
	if len(all) == 0 {
		return v.show(header, ui.Empty{Title: "Nothing is proposed", Text: "Every old mapping is mapped already, asks where its customer is, or has no single match.", Actions: []ui.Button{{Label: "Old mappings", Href: v.atInty("/mappings")}}})
	}
	t := ui.Table{Caption: "Proposals", Columns: []ui.Column{{Title: "In Giacom", Wide: true}, {Title: "In Halo", Wide: true}, {Title: "Why"}}}
	for _, x := range all[:min(len(all), shownProposals)] {
		t.Rows = append(t.Rows, ui.Row{Cells: []any{ui.Stack{Top: x.GetGiacomName(), Under: x.GetMexId()}, ui.Stack{Top: x.GetClientName(), Under: "No. " + strconv.FormatInt(x.GetClientId(), 10)}, ui.Quiet{Value: capital(x.GetWhy())}}})
	}
	if len(all) > shownProposals {
		t.Pager = ui.Pager{Note: fmt.Sprintf("%s of %s", ui.Count(shownProposals), ui.Count(int64(len(all))))}
	}
	confirm := ui.Confirm{
		Text:         ui.Plural(int64(len(all)), "customer of Giacom’s is mapped to its", "customers of Giacom’s are mapped, each to its") + " old customer in Halo.",
		Consequences: []string{"From the next import on their licences belong to that customer in Halo.", "No invoice line is re-pointed by this.", "A mapping can be changed later on its own page."},
		Form:         ui.Form{Action: v.atInty("/mappings/accept"), Cancel: v.atInty("/mappings"), Submit: "Accept " + ui.Plural(int64(len(all)), "proposal", "proposals"), Groups: ui.Fields(ui.Field{Name: "these", Kind: "hidden", Value: name})},
	}
	blocks := []ui.Block{confirm, t}
	if notice != nil {
		blocks = append([]ui.Block{*notice}, blocks...)
	}
	return v.showAs(status, header, blocks...)
}

// acceptIntyProposals maps exactly those that were shown.
func acceptIntyProposals(v *visit) error {
	all, name, err := v.proposals()
	if err != nil {
		return err
	}
	if v.form("these") != name {
		return v.showIntyProposals(http.StatusConflict, &ui.Notice{Tone: ui.Warn, Title: "The proposals are not what was shown any more", Text: "Somebody mapped a customer meanwhile, or Giacom’s customers changed. Nothing was mapped.", Next: "Look at the list as it is now, and accept it again."})
	}
	req := &mappingv1.ImportMappingsRequest{Connection: v.connection.GetSlug(), Rows: inty.Accepted(all)}
	var resp *mappingv1.ImportMappingsResponse
	err = v.askHaloForAll(func(ctx context.Context) (err error) {
		resp, err = v.Mappings().ImportMappings(ctx, req)
		return err
	})
	if err != nil {
		return err
	}
	if len(resp.GetErrors()) > 0 {
		notice := &ui.Notice{Tone: ui.Bad, Title: "Nothing was mapped", Text: "Some of the proposals cannot be accepted.", Next: "Mend what is wrong, or accept the others one by one."}
		for _, x := range resp.GetErrors()[:min(len(resp.GetErrors()), 20)] {
			notice.Items = append(notice.Items, x.GetText())
		}
		return v.showIntyProposals(http.StatusUnprocessableEntity, notice)
	}
	return v.done(v.atInty(""), said(ui.Plural(int64(len(all)), "proposal is", "proposals are")+" accepted: import the subscriptions next."))
}

// capital begins a remark as a sentence.
func capital(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return s
	}
	return string(unicode.ToUpper(r)) + s[n:]
}
