package mapper

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"seatline.dev/pkg/rpc/list"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
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
	for token := ""; ; {
		q, err := mappings.Query(&mappingv1.ListMappingsRequest{PageSize: 1000, PageToken: token, Filter: req.GetFilter()}, list.Scope{"connection": c.GetSlug()})
		if err != nil {
			return nil, err
		}
		page, next, err := s.collectTable(ctx, q, shown)
		if err != nil {
			return nil, err
		}
		for _, m := range page {
			records = append(records, mappingRecord(m))
		}
		if token = next; token == "" {
			break
		}
	}
	content, err := writeCSV(records)
	return &mappingv1.File{Name: "mappings-" + c.GetSlug() + ".csv", ContentType: csvType, Content: content}, err
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
	return []string{cell(m.GetMexId()), idCell(m.GetHaloClientId()), cell(m.GetHaloClientName()), cell(ignore), m.GetEtag(), cell(m.GetGiacomName()), word(m.GetStanding()),
		origin, strconv.Itoa(int(m.GetSubscriptions())), strings.Join(monthly, ", "), cell(m.GetReason().GetText())}
}

// readMappings reads a file by the names in its first line, in any order; further columns are passed
// over, as are rows that say nothing about Halo, so that a partly filled export can be imported. It
// reads on after a wrong row, to name them all.
func readMappings(content []byte) (rows []*mappingv1.ImportRow, wrong []*mappingv1.RowError) {
	fault := func(line int, format string, args ...any) {
		wrong = append(wrong, &mappingv1.RowError{Line: int32(line), Text: fmt.Sprintf(format, args...)})
	}
	content = bytes.TrimPrefix(content, []byte(byteOrderMark))
	if !utf8.Valid(content) {
		fault(1, "the file is not in UTF-8: save it as \"CSV UTF-8\"")
		return nil, wrong
	}
	if len(content) > 0 && content[len(content)-1] != '\n' {
		// Half a number is a number, too.
		fault(bytes.Count(content, []byte("\n"))+1, "the file ends within this line: it may be cut off. End it with a new line if it is complete")
		return nil, wrong
	}
	reader := csv.NewReader(bytes.NewReader(content))
	reader.TrimLeadingSpace = true
	header, err := reader.Read()
	if err != nil {
		fault(1, "the file has no first line with the names of its columns: %s", strings.Join(mappingColumns[:4], ", "))
		return nil, wrong
	}
	for i := range header {
		header[i] = strings.ToLower(strings.TrimSpace(header[i]))
	}
	if !slices.Contains(header, "mex_id") {
		fault(1, "there is no column mex_id; columns are: %s", strings.Join(mappingColumns[:4], ", "))
		return nil, wrong
	}
	for {
		record, err := reader.Read()
		var parse *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return rows, wrong
		case errors.Is(err, csv.ErrFieldCount):
			line, _ := reader.FieldPos(0)
			fault(line, "it has %d columns, the first line %d: the row may be cut off, or a comma not in quotes", len(record), len(header))
			continue
		case errors.As(err, &parse):
			fault(parse.StartLine, "it cannot be read (%v): is a quote missing, or the file cut off?", parse.Err)
			return rows, wrong
		case err != nil:
			fault(1, "the file cannot be read: %v", err)
			return rows, wrong
		}
		line, _ := reader.FieldPos(0)
		column := func(name string) string {
			if i := slices.Index(header, name); i >= 0 {
				return readCell(record[i])
			}
			return ""
		}
		row := &mappingv1.ImportRow{Line: int32(line), MexId: column("mex_id"), HaloClientName: column("halo_client_name"), IgnoreReason: column("ignore_reason"), Etag: column("etag")}
		if id := column("halo_client_id"); id != "" && id != "0" {
			if row.HaloClientId, err = strconv.ParseInt(id, 10, 64); err != nil {
				fault(line, "halo_client_id %q is no number", id)
				continue
			}
		}
		if row.HaloClientId == 0 && row.HaloClientName == "" && row.IgnoreReason == "" {
			continue
		}
		rows = append(rows, row)
	}
}
