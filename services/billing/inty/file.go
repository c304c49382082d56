package inty

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	intyv1 "seatline.dev/proto/seatline/inty/v1"
)

// ReadFile reads old mappings by the names in the header, in any order; further columns are ignored.
func ReadFile(content []byte) ([]*intyv1.SavedMapping, error) {
	reader := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(content, []byte("\ufeff")))) // spreadsheets begin with a byte order mark
	reader.TrimLeadingSpace = true
	header, err := reader.Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	for i := range header {
		header[i] = strings.ToLower(strings.TrimSpace(header[i]))
	}
	if !slices.Contains(header, "inty_id") {
		return nil, errors.New("the first line has no column inty_id; columns are: inty_id, inty_name, client_id, client_name, tenant_id, country, currency")
	}
	var rows []*intyv1.SavedMapping
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			if len(rows) == 0 {
				return nil, errors.New("the file has no rows")
			}
			return rows, nil
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
		row := &intyv1.SavedMapping{
			Line: int32(line), IntyId: cell("inty_id"), IntyName: cell("inty_name"), ClientName: cell("client_name"), TenantId: cell("tenant_id"),
			Country: cell("country"), Currency: cell("currency"),
		}
		if id := cell("client_id"); id != "" {
			if row.ClientId, err = strconv.ParseInt(id, 10, 64); err != nil {
				return nil, fmt.Errorf("line %d: client_id %q is no number", line, id)
			}
		}
		rows = append(rows, row)
	}
}
