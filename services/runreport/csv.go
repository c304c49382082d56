// Package runreport writes what a run brought about as a file for a spreadsheet.
package runreport

import (
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/csvfile"
)

// CSV is one change a row, money ex VAT per month.
func CSV(to io.Writer, x *runv1.RunReport) error {
	rows := [][]string{{"time", "run", "kind", "key", "title", "outcome", "action", "changes", "reason", "monthly_before_ex_vat", "monthly_after_ex_vat", "currency", "halo_id", "request_id"}}
	for _, r := range x.GetChanges() {
		rows = append(rows, []string{
			r.GetTime().AsTime().UTC().Format(time.RFC3339), r.GetRun(), r.GetKind(), r.GetKey(), r.GetTitle(), r.GetOutcome(), r.GetAction(), Fields(r), r.GetReason().GetText(),
			r.GetMonthlyBefore().GetAmount(), r.GetMonthlyAfter().GetAmount(), cmp.Or(r.GetMonthlyAfter().GetCurrency(), r.GetMonthlyBefore().GetCurrency()), csvfile.ID(r.GetHaloId()), r.GetRequestId(),
		})
	}
	return csvfile.Write(to, rows)
}

// Fields of a change in one line: "count: 12 → 15; name: – → Visio".
func Fields(r *itemv1.Change) string {
	var all []string
	for _, f := range r.GetChanges() {
		all = append(all, fmt.Sprintf("%s: %s → %s", f.GetField(), cmp.Or(f.GetBefore(), "–"), cmp.Or(f.GetAfter(), "–")))
	}
	return strings.Join(all, "; ")
}
