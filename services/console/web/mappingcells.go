package web

import (
	"strconv"
	"strings"

	"seatline.dev/pkg/halo"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	"seatline.dev/services/console/web/ui"
)

func (v *visit) mappingRow(m *mappingv1.Mapping) ui.Row {
	row := ui.Row{Cells: []any{v.giacomCell(m), v.haloCell(m), ui.Stack{Top: standingBadge(m), Under: standingNote(m)}, originCell(m), m.GetSubscriptions(), costCell(m.GetMonthly(), m.GetUnpriced())}}
	if m.GetOverdue() || m.GetStanding() == mappingv1.Standing_STANDING_REMAP {
		row.Tone = ui.Warn
	}
	if !v.operator() {
		return row
	}
	name := calledOrID(m)
	actions := ui.Beside{}
	if best := standsOut(m); best != nil {
		actions = append(actions, ui.Button{Label: "Accept", For: name, Href: v.ofCustomer(m.GetMexId(), "/accept"), Post: true, Small: true, Kind: "primary",
			Send: []string{"to", strconv.FormatInt(best.GetHaloClientId(), 10), "etag", m.GetEtag(), "back", v.here()}})
	}
	label := "Map …"
	switch m.GetStanding() {
	case mappingv1.Standing_STANDING_MAPPED:
		label = "Change …"
	case mappingv1.Standing_STANDING_REMAP:
		label = "Remap …"
	}
	row.Cells = append(row.Cells, append(actions, ui.Button{Label: label, For: name, Href: v.ofCustomer(m.GetMexId(), "/map"), Small: true}))
	return row
}

// standsOut is the candidate that is suggested, nil when there is none or several might be meant.
func standsOut(m *mappingv1.Mapping) *mappingv1.Candidate {
	if len(m.GetCandidates()) == 0 || m.GetAmbiguity() != "" {
		return nil
	}
	return m.GetCandidates()[0]
}

func calledOrID(m *mappingv1.Mapping) string {
	if m.GetGiacomName() != "" {
		return m.GetGiacomName()
	}
	return m.GetMexId()
}

func (v *visit) giacomCell(m *mappingv1.Mapping) any {
	under := ui.Lines{ui.Mono(m.GetMexId())}
	if m.GetPreviousGiacomName() != "" {
		under = append(under, "was “"+m.GetPreviousGiacomName()+"”"+onDate(m))
	}
	return ui.Stack{Top: ui.Link{Text: calledOrID(m), Href: v.ofCustomer(m.GetMexId(), "")}, Under: under}
}

func onDate(m *mappingv1.Mapping) string {
	if m.GetRenameTime() == nil {
		return ""
	}
	return " until " + ui.Date(m.GetRenameTime().AsTime())
}

func (v *visit) haloCell(m *mappingv1.Mapping) any {
	switch {
	case m.GetHaloClientId() != 0:
		return v.inHalo(m.GetHaloClientId(), m.GetHaloClientName())
	case m.GetState() == mappingv1.State_STATE_CREATING:
		return ui.Quiet{Value: "is being created"}
	case len(m.GetCandidates()) > 0:
		best := m.GetCandidates()[0]
		under := "suggested, " + strconv.Itoa(int(best.GetScore())) + " of 100"
		if m.GetAmbiguity() != "" {
			under = "one of several, " + strconv.Itoa(int(best.GetScore())) + " of 100"
		}
		return ui.Lines{ui.Quiet{Value: best.GetHaloClientName() + "?"}, small(under)}
	}
	return nil
}

// inHalo names a Halo customer, with the way to its page there.
func (v *visit) inHalo(id int64, name string) any {
	if name == "" {
		name = "Customer " + strconv.FormatInt(id, 10)
	}
	top := any(name)
	if to := halo.CustomerPage(v.connection.GetHalo().GetBaseUrl(), id); to != "" {
		top = ui.Link{Text: name, Href: to, Out: true}
	}
	return ui.Lines{top, small(ui.Sentence{"no. ", ui.Mono(strconv.FormatInt(id, 10))})}
}

// small is a second line that takes no more room than it needs: tables of mappings have many columns.
func small(v any) any { return ui.Quiet{Value: v} }

func standingBadge(m *mappingv1.Mapping) ui.Badge {
	switch m.GetStanding() {
	case mappingv1.Standing_STANDING_MAPPED:
		return ui.Badge{Text: "Mapped", Tone: ui.Good}
	case mappingv1.Standing_STANDING_CREATING:
		return ui.Badge{Text: "To be created", Tone: ui.Busy}
	case mappingv1.Standing_STANDING_SUGGESTED:
		return ui.Badge{Text: "Suggested", Tone: ui.Info, Title: "Unmapped, and one Halo customer stands out"}
	case mappingv1.Standing_STANDING_IGNORED:
		return ui.Badge{Text: "Ignored", Tone: ui.Muted}
	case mappingv1.Standing_STANDING_REMAP:
		return ui.Badge{Text: "Remap", Tone: ui.Bad, Title: "Its Halo customer is gone, inactive or merged into another"}
	case mappingv1.Standing_STANDING_UNMAPPED:
		return ui.Badge{Text: "Unmapped", Tone: ui.Warn}
	}
	return ui.Badge{Text: "Not looked at yet", Tone: ui.Muted}
}

func standingNote(m *mappingv1.Mapping) any {
	var notes ui.Lines
	// That nobody in Halo is known to be it is what the badge says already.
	if text := m.GetReason().GetText(); text != "" && m.GetReason().GetCode() != "customer_not_mapped" {
		notes = append(notes, text)
	}
	if m.GetOverdue() && m.GetUnmappedSince() != nil {
		notes = append(notes, "since "+ui.DateTime(m.GetUnmappedSince().AsTime()))
	}
	if len(notes) == 0 {
		return nil
	}
	return notes
}

var originWords = map[mappingv1.Origin]string{
	mappingv1.Origin_ORIGIN_MARK:       "Seatline’s mark",
	mappingv1.Origin_ORIGIN_NATIVE:     "Halo’s integration",
	mappingv1.Origin_ORIGIN_NAME:       "Exact name",
	mappingv1.Origin_ORIGIN_CREATED:    "Created",
	mappingv1.Origin_ORIGIN_FILE:       "File",
	mappingv1.Origin_ORIGIN_OPERATOR:   "A person",
	mappingv1.Origin_ORIGIN_SUGGESTION: "Suggestion",
}

func originCell(m *mappingv1.Mapping) any {
	word := originWords[m.GetOrigin()]
	if word == "" {
		return nil
	}
	if m.GetWho() != "" {
		return ui.Lines{word, small(m.GetWho())}
	}
	return word
}

// costCell is a sum for each currency, and how many subscriptions are in none of them.
func costCell(all []*moneyv1.Money, unpriced int32) any {
	var lines ui.Lines
	for _, m := range all {
		lines = append(lines, ui.Bare(m))
	}
	switch {
	case unpriced > 0 && len(lines) == 0:
		return ui.Quiet{Value: ui.Count(int64(unpriced)) + " not priced"}
	case unpriced > 0:
		return ui.Stack{Top: lines, Under: "and " + ui.Count(int64(unpriced)) + " not priced"}
	case len(lines) == 0:
		return nil
	case len(lines) == 1:
		return lines[0]
	}
	return lines
}

// inWords says sums within a sentence: "£1,204.00 and €12.00 ex VAT a month".
func inWords(all []*moneyv1.Money) string {
	var parts []string
	for _, m := range all {
		if a, ok := ui.Known(m); ok {
			parts = append(parts, a.Text())
		}
	}
	if len(parts) == 0 {
		return ""
	}
	return strings.Join(parts, " and ") + " ex VAT a month"
}
