package web

import (
	"bytes"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"

	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/csvfile"
	"seatline.dev/services/runreport"
)

// downloadSubscriptionReport sends everything that an import brought about so far.
func downloadSubscriptionReport(v *visit) error {
	r, err := v.readRun()
	if err != nil {
		return err
	}
	report, err := v.Integrator().GetRunReport(v.ctx(), &runv1.GetRunReportRequest{Id: r.GetId()})
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
	var content bytes.Buffer
	if err := runreport.CSV(&content, report); err != nil {
		return err
	}
	return v.download(name+".csv", csvfile.ContentType, content.Bytes())
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
