package mapper

import (
	"context"
	"fmt"
	"strings"
	"time"

	"seatline.dev/pkg/halo"
)

// find looks in Halo for customers whose creation was asked for, among those that were not there
// before, and returns the items that are not found. Items that cannot be looked for stay unclear.
// Where time has passed since, somebody else may have made a customer of that name, and marks is set:
// then a customer must carry our mark, which costs a request for each.
func (w *writer) find(ctx context.Context, at []int, marks bool) (missing []int) {
	if len(at) == 0 {
		return nil
	}
	byName := map[string][]halo.Customer{}
	for c, err := range w.api.Customers(ctx, halo.CustomerFilter{Inactive: true}) {
		if err != nil {
			w.all(at, func(item) outcome { return unclear("Looking for the customer in Halo did not succeed: " + saying(err)) })
			return nil
		}
		byName[strings.TrimSpace(c.Name)] = append(byName[strings.TrimSpace(c.Name)], c)
	}
	links, err := ownLinks(ctx, w.api)
	if err != nil {
		w.all(at, func(item) outcome { return unclear("Looking for the customer in Halo did not succeed: " + saying(err)) })
		return nil
	}
	linked := map[string]int64{}
	for _, l := range links {
		linked[l.mexID] = l.client
	}
	found := map[int]int64{}
	for _, i := range at {
		x := w.batch[i]
		if id := linked[w.settings.Account+"/"+x.Key]; id != 0 {
			found[i] = id
			continue
		}
		id, err := w.ours(ctx, x, byName[strings.TrimSpace(aim(x).Name)], marks)
		switch {
		case err != nil:
			w.out[i] = unclear("Looking for the customer in Halo did not succeed: " + saying(err))
		case id != 0:
			found[i] = id
		default:
			missing = append(missing, i)
		}
	}
	w.created(ctx, found)
	return missing
}

// ours returns the one among namesakes that was created for x: it carries our mark, or the instance
// keeps no marks and it was not there before.
func (w *writer) ours(ctx context.Context, x item, namesakes []halo.Customer, marks bool) (int64, error) {
	var fresh []int64
	for _, c := range namesakes {
		// The picture may have been taken while the request was under way.
		if _, before := w.known.clients[int64(c.ID)]; before && !w.seenSince(ctx, int64(c.ID), x.Since) {
			continue
		}
		mark, shown := c.Field(w.settings.Field), len(c.CustomFields) > 0
		if !shown && marks {
			detail, err := w.api.Customer(ctx, int64(c.ID))
			if err != nil {
				return 0, err
			}
			mark = detail.Field(w.settings.Field)
		}
		if mexID(mark) == x.Key {
			return int64(c.ID), nil
		}
		if mark == "" {
			fresh = append(fresh, int64(c.ID))
		}
	}
	if len(fresh) == 1 {
		return fresh[0], nil
	}
	return 0, nil
}

// seenSince tells whether a customer was first listed after since.
func (w *writer) seenSince(ctx context.Context, id int64, since time.Time) bool {
	var later bool
	err := w.Pool.QueryRow(ctx, `select first_seen >= $3 from clients where instance = $1 and id = $2`, w.settings.Instance, id, since).Scan(&later)
	return err != nil || later
}

// linkText is what our external links say, which tells them from those of others.
const linkText = "Seatline giacom:"

// ownLinks lists the links that Seatline made. An instance that does not allow to list links has none.
func ownLinks(ctx context.Context, api *halo.Client) ([]tie, error) {
	var out []tie
	for l, err := range api.ExternalLinks(ctx, halo.TableCustomer, 0) {
		if class := halo.ClassOf(err); class == halo.MissingRights || class == halo.NotFound || class == halo.Refused {
			return nil, nil
		}
		if err != nil {
			return nil, fmt.Errorf("list the links of Halo: %w", err)
		}
		if account, ok := strings.CutPrefix(l.Description, linkText); ok && l.Linked() {
			out = append(out, tie{mexID: account + "/" + mexID(l.ThirdPartyID.Value), client: int64(l.HaloID)})
		}
	}
	return out, nil
}
