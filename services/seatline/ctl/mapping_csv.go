package ctl

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// Columns of the file. The first four are read; the rest is for people.
var mappingColumns = []string{"mex_id", "halo_client_id", "halo_client_name", "ignore_reason", "giacom_name", "state", "subscriptions", "why"}

// readMappingCSV reads rows by the names in the header, in any order; further columns are ignored.
// Rows that say nothing about Halo are left out, so that a partly filled export can be imported.
func readMappingCSV(content []byte) ([]*mappingv1.ImportRow, error) {
	reader := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, []byte("\ufeff")))) // spreadsheets begin with a byte order mark
	reader.TrimLeadingSpace = true
	header, err := reader.Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	for i := range header {
		header[i] = strings.ToLower(strings.TrimSpace(header[i]))
	}
	if !slices.Contains(header, "mex_id") {
		return nil, fmt.Errorf("the first line has no column mex_id; columns are: %s", strings.Join(mappingColumns[:4], ", "))
	}
	var rows []*mappingv1.ImportRow
	var wrong []error
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return rows, errors.Join(wrong...)
		}
		if err != nil {
			return nil, err
		}
		line, _ := reader.FieldPos(0)
		cell := func(name string) string {
			if i := slices.Index(header, name); i >= 0 {
				return strings.TrimSpace(record[i])
			}
			return ""
		}
		row := &mappingv1.ImportRow{Line: int32(line), MexId: cell("mex_id"), HaloClientName: cell("halo_client_name"), IgnoreReason: cell("ignore_reason")}
		if id := cell("halo_client_id"); id != "" && id != "0" {
			if row.HaloClientId, err = strconv.ParseInt(id, 10, 64); err != nil {
				wrong = append(wrong, fmt.Errorf("line %d: halo_client_id %q is no number", line, id))
				continue
			}
			row.HaloClientName = "" // the id decides; the name beside it is for people
		}
		if row.HaloClientId == 0 && row.HaloClientName == "" && row.IgnoreReason == "" {
			continue
		}
		if row.MexId == "" {
			wrong = append(wrong, fmt.Errorf("line %d: mex_id is empty", line))
			continue
		}
		rows = append(rows, row)
	}
}

func writeMappingCSV(w io.Writer, mappings []*mappingv1.Mapping) error {
	out := csv.NewWriter(w)
	if err := out.Write(mappingColumns); err != nil {
		return err
	}
	for _, m := range mappings {
		id, ignore := "", ""
		if m.GetHaloClientId() != 0 {
			id = strconv.FormatInt(m.GetHaloClientId(), 10)
		}
		if m.GetState() == mappingv1.State_STATE_IGNORED {
			ignore = m.GetReason().GetText()
		}
		err := out.Write([]string{m.GetMexId(), id, m.GetHaloClientName(), ignore, m.GetGiacomName(), word(m.GetState()),
			strconv.Itoa(int(m.GetSubscriptions())), m.GetReason().GetText()})
		if err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}
