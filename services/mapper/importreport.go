package mapper

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/rpc/list"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/csvfile"
)

var imports = list.Spec{
	Noun: "imports",
	Fields: map[string]list.Field{
		"id": list.Text("i.id"), "connection": list.Text("i.connection"), "who": list.Text("i.who"), "start_time": list.Time("i.started"),
	},
	Key:          []string{"id"},
	DefaultOrder: "start_time desc",
}

const importColumns = `i.id, i.connection, i.who, i.started, i.ended, i.unchanged, i.top_level,
	coalesce((select jsonb_agg(jsonb_build_array(n.action, n.outcome, n.rows)) from (
		select r.action, r.outcome, count(*) as rows from import_rows r where r.import = i.id group by r.action, r.outcome) n), '[]')`

func scanImport(r pgx.CollectableRow) (*mappingv1.CustomerImport, error) {
	p := &mappingv1.CustomerImport{}
	var started time.Time
	var ended *time.Time
	var counts [][3]int32
	if err := r.Scan(&p.Id, &p.Connection, &p.Who, &started, &ended, &p.Unchanged, &p.TopLevelId, &counts); err != nil {
		return nil, err
	}
	p.StartTime = timestamppb.New(started)
	if ended != nil {
		p.EndTime = timestamppb.New(*ended)
	}
	n := importCounts{}
	for _, c := range counts {
		action := mappingv1.ImportAction(c[0])
		if n[action] == nil {
			n[action] = map[mappingv1.ImportOutcome]int32{}
		}
		n[action][mappingv1.ImportOutcome(c[1])] = c[2]
	}
	n.fill(p)
	return p, nil
}

// ListCustomerImports pages through imports, newest first.
func (s *service) ListCustomerImports(ctx context.Context, req *mappingv1.ListCustomerImportsRequest) (*mappingv1.ListCustomerImportsResponse, error) {
	q, err := imports.Query(req)
	if err != nil {
		return nil, err
	}
	found, next, err := list.Collect(ctx, s.Pool, q, list.Select{Columns: importColumns, From: "imports i"}, scanImport)
	return &mappingv1.ListCustomerImportsResponse{Imports: found, NextPageToken: next}, err
}

// GetCustomerImportReport returns an import with its rows.
func (s *service) GetCustomerImportReport(ctx context.Context, req *mappingv1.GetCustomerImportReportRequest) (*mappingv1.CustomerImport, error) {
	return s.readImport(ctx, req.GetId(), true)
}

func (s *service) readImport(ctx context.Context, id string, withRows bool) (*mappingv1.CustomerImport, error) {
	rows, err := s.Pool.Query(ctx, `select `+importColumns+` from imports i where i.id = $1`, id)
	if err != nil {
		return nil, fmt.Errorf("read import %s: %w", id, err)
	}
	found, err := pgx.CollectRows(rows, scanImport)
	if err != nil {
		return nil, fmt.Errorf("read import %s: %w", id, err)
	}
	if len(found) == 0 {
		return nil, rpc.NotFound("import", id).Do("look for it with `seatline customers imports`")
	}
	if !withRows {
		return found[0], nil
	}
	if rows, err = s.Pool.Query(ctx, `select mex_id, name, action, outcome, client_id, client_name, reason_code, reason_text, candidates, subscriptions
		from import_rows where import = $1 order by action, outcome, mex_id`, id); err != nil {
		return nil, fmt.Errorf("read the rows of import %s: %w", id, err)
	}
	found[0].Rows, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (*mappingv1.CustomerImportRow, error) {
		var x importRow
		err := r.Scan(&x.MexID, &x.Name, &x.Action, &x.Outcome, &x.Client.ID, &x.Client.Name, &x.Code, &x.Text, &x.Candidates, &x.Subscriptions)
		return x.proto(), err
	})
	if err != nil {
		return nil, fmt.Errorf("read the rows of import %s: %w", id, err)
	}
	return found[0], nil
}

// GetCustomerImportFile returns the report in a form to be kept.
func (s *service) GetCustomerImportFile(ctx context.Context, req *mappingv1.GetCustomerImportFileRequest) (*mappingv1.File, error) {
	report, err := s.readImport(ctx, req.GetId(), true)
	if err != nil {
		return nil, err
	}
	name := fmt.Sprintf("customers-%s-%s", report.GetConnection(), report.GetStartTime().AsTime().Format("2006-01-02-1504"))
	if req.GetFormat() == mappingv1.FileFormat_FILE_FORMAT_JSON {
		document, err := protojson.Marshal(report)
		if err != nil {
			return nil, fmt.Errorf("write import %s as JSON: %w", req.GetId(), err)
		}
		var readable bytes.Buffer // protojson varies its spaces on purpose
		if err := json.Indent(&readable, document, "", "  "); err != nil {
			return nil, fmt.Errorf("write import %s as JSON: %w", req.GetId(), err)
		}
		return &mappingv1.File{Name: name + ".json", ContentType: "application/json", Content: readable.Bytes()}, nil
	}
	records := [][]string{{"mex_id", "giacom_name", "action", "outcome", "halo_client_id", "halo_client_name", "subscriptions", "why"}}
	for _, r := range report.GetRows() {
		records = append(records, []string{r.GetMexId(), r.GetGiacomName(), word(r.GetAction()), word(r.GetOutcome()), csvfile.ID(r.GetHaloClientId()),
			r.GetHaloClientName(), strconv.Itoa(int(r.GetSubscriptions())), r.GetReason().GetText()})
	}
	return csvOf(name, records)
}

// word of an enum value as people write it: IMPORT_ACTION_CREATE is "create".
func word(v protoreflect.Enum) string {
	values := v.Descriptor().Values()
	prefix := strings.TrimSuffix(string(values.ByNumber(0).Name()), "UNSPECIFIED")
	name := strings.TrimPrefix(string(values.ByNumber(v.Number()).Name()), prefix)
	return strings.ReplaceAll(strings.ToLower(name), "_", " ")
}
