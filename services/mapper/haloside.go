package mapper

import (
	"cmp"
	"context"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/rpc/list"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

var haloCustomers = list.Spec{
	Noun: "Halo customers",
	Fields: map[string]list.Field{
		"id": list.Integer("c.id"), "name": list.Text("c.name"), "inactive": list.Bool("c.inactive"), "mapped": list.Integer("cardinality(m.ids)"),
	},
	Key:          []string{"id"},
	DefaultOrder: "name",
	Search:       []string{"name"},
}

// ListHaloCustomers pages through Halo's customers as last read.
func (s *service) ListHaloCustomers(ctx context.Context, req *mappingv1.ListHaloCustomersRequest) (*mappingv1.ListHaloCustomersResponse, error) {
	c, err := s.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	q, err := haloCustomers.Query(req)
	if err != nil {
		return nil, err
	}
	found, next, err := list.Collect(ctx, s.Pool, q, list.Select{
		Columns: "c.id, c.name, c.inactive, m.ids",
		From: `clients c cross join lateral (select coalesce(array_agg(x.mex_id order by x.mex_id), '{}') as ids from customers x
			where x.connection = $2 and x.client_id = c.id and x.client_id <> 0) m`,
		Where: "c.instance = $1", Args: []any{c.GetHalo().GetInstance(), c.GetSlug()},
	}, func(r pgx.CollectableRow) (*mappingv1.HaloCustomer, error) {
		x := &mappingv1.HaloCustomer{}
		return x, r.Scan(&x.Id, &x.Name, &x.Inactive, &x.MexIds)
	})
	return &mappingv1.ListHaloCustomersResponse{Customers: found, NextPageToken: next}, err
}

// ListTopLevels asks Halo for the groups that customers may be created under.
func (s *service) ListTopLevels(ctx context.Context, req *mappingv1.ListTopLevelsRequest) (*mappingv1.ListTopLevelsResponse, error) {
	c, err := s.connection(ctx, req.GetConnection())
	if err != nil {
		return nil, err
	}
	api, err := s.halos.Client(ctx, c)
	if err != nil {
		return nil, unreachable(err)
	}
	out := &mappingv1.ListTopLevelsResponse{ChosenId: c.GetCustomers().GetTopLevelId()}
	out.ChosenMissing = out.ChosenId != 0
	for t, err := range api.TopLevels(ctx) {
		if err != nil {
			return nil, unreachable(err)
		}
		out.TopLevels = append(out.TopLevels, &mappingv1.TopLevel{Id: int64(t.ID), Name: t.Name, LongName: cmp.Or(t.LongName, t.Name), ParentId: int64(t.ParentID)})
		out.ChosenMissing = out.ChosenMissing && int64(t.ID) != out.ChosenId
	}
	return out, nil
}
