// Package runreport writes what a run brought about as a file for a spreadsheet.
package runreport

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// CSV is one change a row, money ex VAT per month.
func CSV(to io.Writer, x *runv1.RunReport) error {
	w := csv.NewWriter(to)
	rows := [][]string{{"time", "run", "kind", "key", "title", "outcome", "action", "changes", "reason", "monthly_before_ex_vat", "monthly_after_ex_vat", "currency", "halo_id", "request_id"}}
	for _, r := range x.GetChanges() {
		rows = append(rows, []string{
			r.GetTime().AsTime().UTC().Format(time.RFC3339), r.GetRun(), r.GetKind(), r.GetKey(), r.GetTitle(), r.GetOutcome(), r.GetAction(), Fields(r), r.GetReason().GetText(),
			r.GetMonthlyBefore().GetAmount(), r.GetMonthlyAfter().GetAmount(), cmp.Or(r.GetMonthlyAfter().GetCurrency(), r.GetMonthlyBefore().GetCurrency()), fmt.Sprint(r.GetHaloId()), r.GetRequestId(),
		})
	}
	for _, row := range rows {
		for i := range row {
			row[i] = cell(row[i])
		}
	}
	return w.WriteAll(rows)
}

// Fields of a change in one line: "count: 12 → 15; name: – → Visio".
func Fields(r *itemv1.Change) string {
	var all []string
	for _, f := range r.GetChanges() {
		all = append(all, fmt.Sprintf("%s: %s → %s", f.GetField(), cmp.Or(f.GetBefore(), "–"), cmp.Or(f.GetAfter(), "–")))
	}
	return strings.Join(all, "; ")
}

// cell keeps text from outside from being a formula in a spreadsheet; numbers stay numbers.
func cell(text string) string {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return text
	}
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
