package mapper

import (
	"bytes"
	"context"
	"fmt"
	"strconv"
	"strings"

	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/csvfile"
)

// Columns of the file of mappings. The first five are read; the rest is for people.
var mappingColumns = []string{"mex_id", "halo_client_id", "halo_client_name", "ignore_reason", "etag", "giacom_name", "standing", "origin", "subscriptions", "monthly_ex_vat", "why"}

// GetMappingsFile writes mappings in the form that ImportMappings reads.
func (s *service) GetMappingsFile(ctx context.Context, req *mappingv1.GetMappingsFileRequest) (*mappingv1.File, error) {
	c, err := s.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	records := [][]string{mappingColumns}
	err = rpc.Pages(func(token string) (string, error) {
		q, err := mappings.Query(&mappingv1.ListMappingsRequest{PageSize: 1000, PageToken: token, Filter: req.GetFilter()}, list.Scope{"connection": c.GetSlug()})
		if err != nil {
			return "", err
		}
		page, next, err := s.collectTable(ctx, q, shown)
		for _, m := range page {
			records = append(records, mappingRecord(m))
		}
		return next, err
	})
	if err != nil {
		return nil, err
	}
	return csvOf("mappings-"+c.GetSlug(), records)
}

// csvOf is a file of that name.
func csvOf(name string, records [][]string) (*mappingv1.File, error) {
	var b bytes.Buffer
	if err := csvfile.Write(&b, records); err != nil {
		return nil, err
	}
	return &mappingv1.File{Name: name + ".csv", ContentType: csvfile.ContentType, Content: b.Bytes()}, nil
}

func mappingRecord(m *mappingv1.Mapping) []string {
	ignore := ""
	if m.GetState() == mappingv1.State_STATE_IGNORED {
		ignore = m.GetReason().GetText()
	}
	origin := ""
	if m.GetOrigin() != mappingv1.Origin_ORIGIN_UNSPECIFIED {
		origin = word(m.GetOrigin())
	}
	var monthly []string
	for _, x := range m.GetMonthly() {
		monthly = append(monthly, x.GetAmount()+" "+x.GetCurrency())
	}
	return []string{m.GetMexId(), csvfile.ID(m.GetHaloClientId()), m.GetHaloClientName(), ignore, m.GetEtag(), m.GetGiacomName(), word(m.GetStanding()),
		origin, strconv.Itoa(int(m.GetSubscriptions())), strings.Join(monthly, ", "), m.GetReason().GetText()}
}

// readMappings passes over rows that say nothing about Halo, so that a partly filled export can be imported.
func readMappings(content []byte) (rows []*mappingv1.ImportRow, wrong []*mappingv1.RowError) {
	read, faults := csvfile.Read(content, mappingColumns[:4]...)
	for _, f := range faults {
		wrong = append(wrong, &mappingv1.RowError{Line: int32(f.Line), Text: f.Text})
	}
	for _, x := range read {
		row := &mappingv1.ImportRow{Line: int32(x.Line), MexId: x.Cell("mex_id"), HaloClientName: x.Cell("halo_client_name"), IgnoreReason: x.Cell("ignore_reason"), Etag: x.Cell("etag")}
		if id := x.Cell("halo_client_id"); id != "" && id != "0" {
			var err error
			if row.HaloClientId, err = strconv.ParseInt(id, 10, 64); err != nil {
				wrong = append(wrong, &mappingv1.RowError{Line: row.Line, Text: fmt.Sprintf("halo_client_id %q is no number", id)})
				continue
			}
		}
		if row.HaloClientId == 0 && row.HaloClientName == "" && row.IgnoreReason == "" {
			continue
		}
		rows = append(rows, row)
	}
	return rows, inOrder(wrong)
}
