package mapper

import (
	"cmp"
	"fmt"
	"strings"

	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/businessname"
)

// Importing customers by hand: every customer without a Halo customer gets one, whatever the
// connection does by itself, and every one that has one is given its name where names follow. What is
// not certain is asked, and skipped as long as nobody answers.

// importRow is what an import does about one customer.
type importRow struct {
	MexID, Name   string
	Action        mappingv1.ImportAction
	Outcome       mappingv1.ImportOutcome
	Client        client // to link, or to update; the name is the one before the import
	Code, Text    string
	Candidates    []candidate
	Subscriptions int32
	answeredWrong bool
}

// answer is what a person says about a near match.
type answer struct {
	link         int64
	create, skip bool
}

// planImport decides what an import does. Customers that need nothing are only counted.
func planImport(all []tableRow, known picture, s settings, answers map[string]answer) (rows []importRow, unchanged int32) {
	var live []customer
	for _, x := range all {
		if x.live() {
			live = append(live, x.customer)
		}
	}
	d := newDecider(live, known)
	open := map[string]int{} // normalised name to how many customers without a Halo customer have it
	for _, x := range all {
		if x.live() && x.Now.State != mappingv1.State_STATE_MAPPED && x.Now.State != mappingv1.State_STATE_IGNORED {
			open[businessname.Fold(x.Name)]++
		}
	}
	for _, x := range all {
		if !x.live() {
			continue
		}
		row, ok := d.planRow(x, open, s, answers[x.MexID])
		if !ok {
			unchanged++
			continue
		}
		row.MexID, row.Name, row.Subscriptions = x.MexID, x.Name, x.Subscriptions
		rows = append(rows, row)
	}
	return rows, unchanged
}

func (d *decider) planRow(x tableRow, open map[string]int, s settings, a answer) (importRow, bool) {
	skip := func(code, format string, args ...any) (importRow, bool) {
		return importRow{Action: mappingv1.ImportAction_IMPORT_ACTION_SKIP, Code: code, Text: fmt.Sprintf(format, args...)}, true
	}
	switch {
	case x.Now.State == mappingv1.State_STATE_IGNORED:
		return skip(reasonIgnored, "It is ignored: %s", x.Now.Text)
	case x.Now.astray():
		row, _ := skip(x.Now.Code, "%s", x.Now.Text)
		row.Candidates = x.Candidates
		return row, true
	case x.Now.State == mappingv1.State_STATE_MAPPED:
		there := d.halo.clients[x.Now.ClientID]
		switch {
		case strings.TrimSpace(x.Name) == "" || there.Name == x.Name:
			return importRow{}, false
		case !x.Now.follows(s):
			return skip("name_kept", "Halo calls it %q; its name does not follow Giacom's by the settings of the connection.", cmp.Or(there.Name, x.Now.ClientName))
		}
		return importRow{Action: mappingv1.ImportAction_IMPORT_ACTION_UPDATE, Client: there}, true
	}
	if a.link != 0 {
		there, ok := d.halo.clients[a.link]
		if !ok || there.Inactive {
			row, _ := skip("link_refused", "Customer %d is not in Halo, or inactive: choose another.", a.link)
			row.answeredWrong = true
			return row, true
		}
		return importRow{Action: mappingv1.ImportAction_IMPORT_ACTION_LINK, Client: there}, true
	}
	name := businessname.Fold(x.Name)
	near, isNear := d.taken[name]
	id, exact := d.named(x.customer)
	switch {
	case a.skip:
		return skip("answered", "Left for now, as you said.")
	case x.Now.State == mappingv1.State_STATE_CREATING:
		return importRow{Action: mappingv1.ImportAction_IMPORT_ACTION_CREATE}, true
	case strings.TrimSpace(x.Name) == "":
		return skip("no_name", "Giacom gives no name for this customer: map it or ignore it.")
	case a.create:
		return importRow{Action: mappingv1.ImportAction_IMPORT_ACTION_CREATE}, true
	case exact:
		return importRow{Action: mappingv1.ImportAction_IMPORT_ACTION_ASK, Candidates: x.Candidates, Code: reasonNear,
			Text: fmt.Sprintf("Halo has a customer of exactly this name (%d). Link or create?", id)}, true
	case isNear:
		return importRow{Action: mappingv1.ImportAction_IMPORT_ACTION_ASK, Candidates: x.Candidates, Code: reasonNear,
			Text: fmt.Sprintf("Near match: it is in Halo as %q. Link or create?", near)}, true
	case open[name] > 1:
		return importRow{Action: mappingv1.ImportAction_IMPORT_ACTION_ASK, Candidates: x.Candidates, Code: reasonNear,
			Text: fmt.Sprintf("Near match: Giacom has %d customers called %q or nearly so. Link or create each?", open[name], x.Name)}, true
	case len(x.Candidates) > 0 && x.Candidates[0].Score >= nearScore:
		return importRow{Action: mappingv1.ImportAction_IMPORT_ACTION_ASK, Candidates: x.Candidates, Code: reasonNear,
			Text: fmt.Sprintf("It may be %s of Halo. Link or create?", called(x.Candidates[0]))}, true
	}
	return importRow{Action: mappingv1.ImportAction_IMPORT_ACTION_CREATE}, true
}

// nearScore is from which on a suggestion makes an import ask before it creates.
const nearScore = 70

// importCounts add up rows.
type importCounts map[mappingv1.ImportAction]map[mappingv1.ImportOutcome]int32

func countRows(rows []importRow) importCounts {
	n := importCounts{}
	for _, r := range rows {
		if n[r.Action] == nil {
			n[r.Action] = map[mappingv1.ImportOutcome]int32{}
		}
		n[r.Action][r.Outcome]++
	}
	return n
}

func (n importCounts) of(a mappingv1.ImportAction) (sum int32) {
	for _, k := range n[a] {
		sum += k
	}
	return sum
}

func (n importCounts) as(o mappingv1.ImportOutcome) (sum int32) {
	for _, by := range n {
		sum += by[o]
	}
	return sum
}

// fill writes the counts into an import, with the stage that follows from them.
func (n importCounts) fill(p *mappingv1.CustomerImport) {
	const done = mappingv1.ImportOutcome_IMPORT_OUTCOME_DONE
	p.Create, p.Update, p.Link = n.of(mappingv1.ImportAction_IMPORT_ACTION_CREATE), n.of(mappingv1.ImportAction_IMPORT_ACTION_UPDATE), n.of(mappingv1.ImportAction_IMPORT_ACTION_LINK)
	p.Skip, p.Ask = n.of(mappingv1.ImportAction_IMPORT_ACTION_SKIP), n.of(mappingv1.ImportAction_IMPORT_ACTION_ASK)
	p.Created, p.Updated = n[mappingv1.ImportAction_IMPORT_ACTION_CREATE][done], n[mappingv1.ImportAction_IMPORT_ACTION_UPDATE][done]
	p.Linked = n[mappingv1.ImportAction_IMPORT_ACTION_LINK][done]
	p.Failed, p.Waiting = n.as(mappingv1.ImportOutcome_IMPORT_OUTCOME_FAILED), n.as(mappingv1.ImportOutcome_IMPORT_OUTCOME_WAITING)
	p.Pending = n.as(mappingv1.ImportOutcome_IMPORT_OUTCOME_PENDING)
	switch {
	case p.GetId() == "":
	case p.Pending == 0 && p.EndTime != nil:
		p.Stage = "done"
	case n[mappingv1.ImportAction_IMPORT_ACTION_CREATE][mappingv1.ImportOutcome_IMPORT_OUTCOME_PENDING] > 0:
		p.Stage = "creating"
	default:
		p.Stage = "updating"
	}
}
