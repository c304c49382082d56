package inty

import (
	"errors"
	"fmt"
	"strconv"

	intyv1 "seatline.dev/proto/seatline/inty/v1"
	"seatline.dev/services/csvfile"
)

// ReadFile reads old mappings from a CSV file; what is wrong in its lines comes as csvfile.Faults.
func ReadFile(content []byte) ([]*intyv1.SavedMapping, error) {
	read, faults := csvfile.Read(content, "inty_id", "inty_name", "client_id", "client_name", "tenant_id", "country", "currency")
	var rows []*intyv1.SavedMapping
	for _, x := range read {
		row := &intyv1.SavedMapping{
			Line: int32(x.Line), IntyId: x.Cell("inty_id"), IntyName: x.Cell("inty_name"), ClientName: x.Cell("client_name"), TenantId: x.Cell("tenant_id"),
			Country: x.Cell("country"), Currency: x.Cell("currency"),
		}
		if id := x.Cell("client_id"); id != "" {
			var err error
			if row.ClientId, err = strconv.ParseInt(id, 10, 64); err != nil {
				faults = append(faults, csvfile.Fault{Line: x.Line, Text: fmt.Sprintf("client_id %q is no number", id)})
			}
		}
		rows = append(rows, row)
	}
	switch {
	case len(faults) > 0:
		return nil, faults.InOrder()
	case len(rows) == 0:
		return nil, errors.New("the file has no rows")
	}
	return rows, nil
}
