package ops

import (
	"context"
	"encoding/base64"
	"fmt"
	"sort"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	giacomv1 "seatline.dev/proto/seatline/giacom/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// states maps the entities whose state the events carry to an empty payload of each.
func states() map[string]proto.Message {
	return map[string]proto.Message{
		"connection": &connectionv1.Connection{}, "giacom-customer": &giacomv1.Customer{}, "giacom-subscription": &giacomv1.Subscription{},
		"mapping": &mappingv1.Mapping{}, "subscription": &subscriptionv1.Subscription{}, "licence": &licencev1.Licence{}, "invoice-line": &invoicelinev1.Line{},
	}
}

// ListHistory pages through the revisions of one thing, the newest first, each with what changed since the one before.
func (s *Server) ListHistory(ctx context.Context, req *opsv1.ListHistoryRequest) (*opsv1.ListHistoryResponse, error) {
	empty := states()[req.GetEntity()]
	switch {
	case req.GetConnection() == "":
		return nil, rpc.InvalidArgument("connection", "is missing")
	case req.GetKey() == "":
		return nil, rpc.InvalidArgument("key", "is missing: a history is that of one thing")
	case empty == nil:
		return nil, rpc.InvalidArgument("entity", "%q is none of connection, giacom-customer, giacom-subscription, mapping, subscription, licence, invoice-line", req.GetEntity())
	case req.GetPageSize() < 0:
		return nil, rpc.InvalidArgument("page_size", "%d is less than 0", req.GetPageSize())
	}
	size := min(int(req.GetPageSize()), 1000)
	if size == 0 {
		size = 100
	}
	before := int64(1<<63 - 1)
	if token := req.GetPageToken(); token != "" {
		b, err := base64.RawURLEncoding.DecodeString(token)
		if err == nil {
			before, err = strconv.ParseInt(string(b), 10, 64)
		}
		if err != nil {
			return nil, rpc.InvalidArgument("page_token", "is not one of ours: send back next_page_token as it was given")
		}
	}
	rows, err := s.Pool.Query(ctx, `select revision, type, time, recorded_at, run, cause, payload from history
		where entity = $1 and connection = $2 and key = $3 and revision < $4 order by revision desc limit $5`,
		req.GetEntity(), req.GetConnection(), req.GetKey(), before, size+1) // one more, to compare the last with
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	var payloads []proto.Message
	revisions, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*opsv1.Revision, error) {
		x := &opsv1.Revision{}
		var at, recorded time.Time
		var payload []byte
		if err := r.Scan(&x.Revision, &x.Type, &at, &recorded, &x.Run, &x.Cause, &payload); err != nil {
			return nil, err
		}
		m := empty.ProtoReflect().New().Interface()
		if err := proto.Unmarshal(payload, m); err != nil {
			return nil, err
		}
		payloads = append(payloads, m)
		x.Time, x.RecordTime = timestamppb.New(at), timestamppb.New(recorded)
		x.Data, err = anypb.New(m)
		return x, err
	})
	if err != nil {
		return nil, fmt.Errorf("read history: %w", err)
	}
	for i := range revisions[:max(len(revisions)-1, 0)] {
		revisions[i].Changes = between(payloads[i+1], payloads[i])
	}
	resp := &opsv1.ListHistoryResponse{Revisions: revisions}
	if len(revisions) > size {
		resp.Revisions = revisions[:size]
		resp.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(revisions[size-1].GetRevision(), 10)))
	}
	return resp, nil
}

// between lists the fields in which two states differ, by path. What changes with every revision says nothing.
func between(before, after proto.Message) []*itemv1.FieldChange {
	a, b := map[string]string{}, map[string]string{}
	flatten("", before.ProtoReflect(), a)
	flatten("", after.ProtoReflect(), b)
	paths := map[string]bool{}
	for path := range a {
		paths[path] = true
	}
	for path := range b {
		paths[path] = true
	}
	var changes []*itemv1.FieldChange
	for path := range paths {
		if a[path] != b[path] {
			changes = append(changes, &itemv1.FieldChange{Field: path, Before: a[path], After: b[path]})
		}
	}
	sort.Slice(changes, func(i, j int) bool { return changes[i].GetField() < changes[j].GetField() })
	return changes
}

// flatten writes the fields that are set as path and text: "desired.purchase_price.amount", "15.09".
func flatten(prefix string, m protoreflect.Message, into map[string]string) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		path := prefix + string(f.Name())
		switch {
		case f.Name() == "etag" || f.Name() == "update_time":
		case f.IsList():
			for i := range v.List().Len() {
				item(path+"["+strconv.Itoa(i)+"]", f, v.List().Get(i), into)
			}
		case f.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				item(path+"["+k.String()+"]", f.MapValue(), v, into)
				return true
			})
		default:
			item(path, f, v, into)
		}
		return true
	})
}

func item(path string, f protoreflect.FieldDescriptor, v protoreflect.Value, into map[string]string) {
	switch f.Kind() {
	case protoreflect.MessageKind, protoreflect.GroupKind:
		if t, ok := v.Message().Interface().(*timestamppb.Timestamp); ok {
			into[path] = t.AsTime().Format(time.RFC3339)
			return
		}
		flatten(path+".", v.Message(), into)
	case protoreflect.EnumKind:
		if e := f.Enum().Values().ByNumber(v.Enum()); e != nil {
			into[path] = string(e.Name())
			return
		}
		into[path] = v.String()
	default:
		into[path] = v.String()
	}
}
