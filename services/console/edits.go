package console

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc/list"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
)

// deed is what a person did to a connection.
type deed struct {
	slug, what, who, reason string
	fields                  []*itemv1.FieldChange
}

// record keeps it for good.
func record(ctx context.Context, tx pgx.Tx, e deed, now time.Time) error {
	type field struct{ Field, Before, After string }
	fields := make([]field, len(e.fields))
	for i, f := range e.fields {
		fields[i] = field{f.GetField(), f.GetBefore(), f.GetAfter()}
	}
	body, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("record the change of connection %s: %w", e.slug, err)
	}
	_, err = tx.Exec(ctx, `insert into edits (slug, what, who, time, fields, reason) values ($1, $2, $3, $4, $5, $6)`,
		e.slug, e.what, e.who, now, body, e.reason)
	if err != nil {
		return fmt.Errorf("record the change of connection %s: %w", e.slug, err)
	}
	return nil
}

var editList = list.Spec{
	Noun: "changes of connections",
	Fields: map[string]list.Field{
		"id": list.Integer("id"), "connection": list.Text("slug"), "what": list.Text("what"), "who": list.Text("who"), "time": list.Time("time"),
	},
	Key:          []string{"id"},
	DefaultOrder: "id desc",
	Search:       []string{"connection", "who"},
}

// ListConnectionChanges pages through what people did, the newest first.
func (s *server) ListConnectionChanges(ctx context.Context, req *connectionv1.ListConnectionChangesRequest) (*connectionv1.ListConnectionChangesResponse, error) {
	query, err := editList.Query(req)
	if err != nil {
		return nil, err
	}
	page, next, err := list.Collect(ctx, s.pool, query, list.Select{Columns: "slug, what, who, time, fields, reason", From: "edits"},
		func(row pgx.CollectableRow) (*connectionv1.ConnectionChange, error) {
			c := &connectionv1.ConnectionChange{}
			var at time.Time
			var fields []struct{ Field, Before, After string }
			if err := row.Scan(&c.Connection, &c.What, &c.Who, &at, &fields, &c.Reason); err != nil {
				return nil, err
			}
			c.Time = timestamppb.New(at)
			for _, f := range fields {
				c.Fields = append(c.Fields, &itemv1.FieldChange{Field: f.Field, Before: f.Before, After: f.After})
			}
			return c, nil
		})
	if err != nil {
		return nil, err
	}
	return &connectionv1.ListConnectionChangesResponse{Changes: page, NextPageToken: next}, nil
}

// outputOnly are the fields of a connection that no person sets.
var outputOnly = []protoreflect.FullName{
	"seatline.connection.v1.Connection.etag", "seatline.connection.v1.Connection.create_time", "seatline.connection.v1.Connection.update_time",
	"seatline.connection.v1.Connection.updated_by", "seatline.connection.v1.Halo.instance", "seatline.connection.v1.Halo.capabilities",
}

// differences are the settings in which two states of a connection differ, by their paths. before is nil for a new one.
func differences(before, after *connectionv1.Connection) []*itemv1.FieldChange {
	if before == nil {
		before = &connectionv1.Connection{}
	}
	var all []*itemv1.FieldChange
	compare(before.ProtoReflect(), after.ProtoReflect(), "", &all)
	return all
}

func compare(before, after protoreflect.Message, path string, all *[]*itemv1.FieldChange) {
	fields := after.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if slices.Contains(outputOnly, f.FullName()) {
			continue
		}
		name := path + string(f.Name())
		nested := f.Message() != nil && !f.IsList() && f.Message().ParentFile().Package() == after.Descriptor().ParentFile().Package()
		if nested && f.Message().Name() != "SecretRef" && (before.Has(f) || after.Has(f)) {
			compare(before.Get(f).Message(), after.Get(f).Message(), name+".", all)
			continue
		}
		b, a := shown(before, f), shown(after, f)
		if b != a {
			*all = append(*all, &itemv1.FieldChange{Field: name, Before: b, After: a})
		}
	}
}

// shown is a setting for a person; "" when it is not set.
func shown(m protoreflect.Message, f protoreflect.FieldDescriptor) string {
	if !m.Has(f) {
		return ""
	}
	v := m.Get(f)
	switch {
	case f.IsList():
		text := ""
		for i := range v.List().Len() {
			if i > 0 {
				text += ", "
			}
			text += v.List().Get(i).String()
		}
		return text
	case f.Enum() != nil:
		if value := f.Enum().Values().ByNumber(v.Enum()); value != nil {
			return string(value.Name())
		}
		return fmt.Sprint(v.Enum())
	case f.Message() != nil:
		if ref, ok := v.Message().Interface().(*connectionv1.SecretRef); ok {
			return secretText(ref)
		}
		body, err := protojson.Marshal(v.Message().Interface())
		if err != nil {
			return "?"
		}
		var plain string
		if json.Unmarshal(body, &plain) == nil {
			return plain // a duration or a time
		}
		return string(body)
	}
	return v.String()
}

func secretText(ref *connectionv1.SecretRef) string {
	if ref.GetLastFour() == "" {
		return fmt.Sprintf("version %d", ref.GetVersion())
	}
	return fmt.Sprintf("version %d, ends in %s", ref.GetVersion(), ref.GetLastFour())
}
