package web

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// downloadSubscriptionReport sends everything that an import brought about so far.
func downloadSubscriptionReport(v *visit) error {
	r, err := v.readRun()
	if err != nil {
		return err
	}
	report, err := v.integrator().GetRunReport(v.ctx(), &runv1.GetRunReportRequest{Id: r.GetId()})
	if err != nil {
		return err
	}
	name := "subscriptions-" + v.connection.GetSlug() + "-" + r.GetStartTime().AsTime().Format("2006-01-02-1504")
	if v.query("format") == "json" {
		content, err := reportJSON(report)
		if err != nil {
			return err
		}
		return v.download(name+".json", "application/json", content)
	}
	content, err := reportCSV(report.GetChanges())
	if err != nil {
		return err
	}
	return v.download(name+".csv", "text/csv; charset=utf-8", content)
}

func reportJSON(report *runv1.RunReport) ([]byte, error) {
	document, err := protojson.Marshal(report)
	if err != nil {
		return nil, err
	}
	var readable bytes.Buffer // protojson varies its spaces on purpose
	err = json.Indent(&readable, document, "", "  ")
	return readable.Bytes(), err
}

// reportCSV is one change a row, money ex VAT per month, with the columns of `seatline integrator report --csv`.
func reportCSV(changes []*itemv1.Change) ([]byte, error) {
	var out bytes.Buffer
	out.WriteString("\ufeff") // without it spreadsheets take the text for something else than UTF-8
	w := csv.NewWriter(&out)
	rows := [][]string{{"time", "run", "kind", "key", "title", "outcome", "action", "changes", "reason", "monthly_before_ex_vat", "monthly_after_ex_vat", "currency", "halo_id", "request_id"}}
	for _, c := range changes {
		rows = append(rows, []string{
			c.GetTime().AsTime().UTC().Format(time.RFC3339), c.GetRun(), c.GetKind(), harmless(c.GetKey()), harmless(c.GetTitle()), c.GetOutcome(), c.GetAction(), harmless(changedFields(c.GetChanges())), harmless(c.GetReason().GetText()),
			c.GetMonthlyBefore().GetAmount(), c.GetMonthlyAfter().GetAmount(), cmp.Or(c.GetMonthlyAfter().GetCurrency(), c.GetMonthlyBefore().GetCurrency()), strconv.FormatInt(c.GetHaloId(), 10), c.GetRequestId(),
		})
	}
	err := w.WriteAll(rows)
	return out.Bytes(), err
}

func changedFields(all []*itemv1.FieldChange) string {
	var out []string
	for _, f := range all {
		out = append(out, f.GetField()+": "+cmp.Or(f.GetBefore(), "-")+" → "+cmp.Or(f.GetAfter(), "-"))
	}
	return strings.Join(out, "; ")
}

// harmless keeps text from outside from being taken for a formula: spreadsheets run what begins like one.
func harmless(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}
