package inty

import (
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// Accepted are proposals as the mapper takes them, each customer of Giacom's once: two old mappings may propose the same.
func Accepted(proposals []*intyv1.OldMapping) []*mappingv1.ImportRow {
	type mapped struct {
		mex    string
		client int64
	}
	seen := map[mapped]bool{}
	rows := make([]*mappingv1.ImportRow, 0, len(proposals))
	for _, x := range proposals {
		if k := (mapped{x.GetMexId(), x.GetClientId()}); !seen[k] {
			seen[k] = true
			rows = append(rows, &mappingv1.ImportRow{Line: int32(len(rows) + 1), MexId: x.GetMexId(), HaloClientId: x.GetClientId()})
		}
	}
	return rows
}
