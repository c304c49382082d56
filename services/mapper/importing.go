package mapper

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// ImportMappings maps or ignores many customers at once, or none if a row is wrong. Customers that
// Giacom has not shown yet are mapped ahead.
func (s *service) ImportMappings(ctx context.Context, req *mappingv1.ImportMappingsRequest) (*mappingv1.ImportMappingsResponse, error) {
	c, err := s.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	if err := s.readHalo(ctx, c); err != nil {
		return nil, unreachable(err)
	}
	known, err := readPicture(ctx, s.Pool, settingsOf(c))
	if err != nil {
		return nil, err
	}
	rows := req.GetRows()
	var wrong []*mappingv1.RowError
	if len(req.GetCsv()) > 0 {
		if len(rows) > 0 {
			return nil, rpc.InvalidArgument("csv", "and rows are both given: choose one")
		}
		rows, wrong = readMappings(req.GetCsv())
	}
	origin := mappingv1.Origin_ORIGIN_FILE
	if len(req.GetCsv()) == 0 {
		origin = mappingv1.Origin_ORIGIN_OPERATOR
	}
	wanted, faults := checkRows(rows, known, origin)
	resp := &mappingv1.ImportMappingsResponse{Errors: inOrder(append(wrong, faults...))}
	if len(resp.Errors) > 0 {
		return resp, nil
	}
	read := map[string]*mappingv1.ImportRow{} // rows that say as of when they were written
	for _, row := range rows {
		if row.GetEtag() != "" {
			read[mexID(row.GetMexId())] = row
		}
	}
	ids := slices.Sorted(maps.Keys(wanted))
	err = postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		resp.Imported, resp.Unchanged, resp.Errors, resp.NotListed = 0, 0, nil, nil
		locked, err := lockCustomers(ctx, tx, c.GetSlug(), ids)
		if err != nil {
			return err
		}
		var changed []record
		for _, x := range locked {
			if !x.live() {
				resp.NotListed = append(resp.NotListed, x.MexID)
			}
			d := wanted[x.MexID]
			d.Who = x.Decision.Who
			if x.Decision == d || x.same(d) {
				resp.Unchanged++
				continue
			}
			if row := read[x.MexID]; row != nil && row.GetEtag() != x.etag() {
				resp.Errors = append(resp.Errors, &mappingv1.RowError{Line: row.GetLine(), Text: changedMeanwhile(x).Error()})
			}
			d.Who = rpc.Who(ctx)
			x.Decision, x.Now = d, d.mapping(known)
			changed = append(changed, x)
			resp.Imported++
		}
		if req.GetValidateOnly() || len(resp.Errors) > 0 {
			return errRollback
		}
		return s.decided(ctx, tx, c, changed...)
	})
	if err != nil && err != errRollback {
		return nil, err
	}
	if len(resp.Errors) > 0 {
		resp.Imported, resp.Unchanged, resp.Errors = 0, 0, inOrder(resp.Errors)
		return resp, nil
	}
	if !req.GetValidateOnly() {
		s.wake.Nudge()
		s.engine.Kick()
	}
	return resp, nil
}

func inOrder(wrong []*mappingv1.RowError) []*mappingv1.RowError {
	slices.SortStableFunc(wrong, func(a, b *mappingv1.RowError) int { return int(a.GetLine() - b.GetLine()) })
	return wrong
}

// same tells whether a row of a file says what a rule says already: an export that is imported as it
// is changes nothing, and makes no decision of a person's where there was none.
func (c record) same(d decision) bool {
	switch {
	case c.Now.State != d.State || c.Decision.State == mappingv1.State_STATE_CREATING:
		return false
	case d.State == mappingv1.State_STATE_IGNORED:
		return c.Now.Text == d.Reason
	}
	return c.Now.ClientID == d.ClientID && !c.Now.astray()
}

// errRollback ends a transaction that was only a trial.
var errRollback = fmt.Errorf("only validated")

// mapping is what a decision about a known client says holds now.
func (d decision) mapping(known picture) mapping {
	if d.State == mappingv1.State_STATE_IGNORED {
		return mapping{State: d.State, Origin: d.Origin, Code: reasonIgnored, Text: d.Reason}
	}
	return mapping{State: d.State, ClientID: d.ClientID, ClientName: known.clients[d.ClientID].Name, Origin: d.Origin}
}

// checkRows turns the rows of a file into decisions by mexId, or says what is wrong with each.
func checkRows(rows []*mappingv1.ImportRow, known picture, origin mappingv1.Origin) (map[string]decision, []*mappingv1.RowError) {
	byName := map[string][]int64{}
	for _, c := range known.clients {
		if !c.Inactive {
			byName[strings.TrimSpace(c.Name)] = append(byName[strings.TrimSpace(c.Name)], c.ID)
		}
	}
	wanted := map[string]decision{}
	first := map[string]int32{}
	var wrong []*mappingv1.RowError
	for _, row := range rows {
		id := mexID(row.GetMexId())
		d, fault := checkRow(row, known, byName, origin)
		switch {
		case id == "":
			fault = "the Giacom customer id is missing"
		case first[id] != 0:
			fault = fmt.Sprintf("customer %s stands in line %d already", id, first[id])
		}
		if fault != "" {
			wrong = append(wrong, &mappingv1.RowError{Line: row.GetLine(), Text: fault})
			continue
		}
		first[id] = max(row.GetLine(), 1)
		wanted[id] = d
	}
	return wanted, wrong
}

func checkRow(row *mappingv1.ImportRow, known picture, byName map[string][]int64, origin mappingv1.Origin) (d decision, fault string) {
	d = decision{State: mappingv1.State_STATE_MAPPED, ClientID: row.GetHaloClientId(), Origin: origin}
	name := strings.TrimSpace(row.GetHaloClientName())
	if reason := strings.TrimSpace(row.GetIgnoreReason()); reason != "" {
		if d.ClientID != 0 || name != "" {
			return d, "it names a customer of Halo and a reason to ignore: leave one of them empty"
		}
		return decision{State: mappingv1.State_STATE_IGNORED, Origin: origin, Reason: reason}, ""
	}
	switch {
	case d.ClientID == 0 && name == "":
		return d, "it has no customer of Halo: give its id or its exact name, or a reason to ignore"
	case d.ClientID == 0:
		switch ids := byName[name]; len(ids) {
		case 0:
			return d, fmt.Sprintf("Halo has no active customer called %q: names must be exactly equal, or give the id", name)
		case 1:
			d.ClientID = ids[0]
		default:
			return d, fmt.Sprintf("Halo has %d active customers called %q: give the id", len(ids), name)
		}
	}
	switch c, ok := known.clients[d.ClientID]; {
	case !ok:
		return d, fmt.Sprintf("Halo has no customer %d", d.ClientID)
	case c.Inactive:
		return d, fmt.Sprintf("customer %d of Halo (%s) is inactive: activate it in Halo, or choose another", c.ID, c.Name)
	case name != "" && name != strings.TrimSpace(c.Name):
		return d, fmt.Sprintf("customer %d of Halo is called %q, not %q", c.ID, c.Name, name)
	}
	return d, ""
}
