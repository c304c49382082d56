package licence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/reconcile"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
)

// replacedKey begins the keys of licences that are not ours: Inty's, which lines were re-pointed away
// from. Only whether they are active is ours, and only while billing says that they were replaced.
const replacedKey = "inty/"

func isReplaced(key string) bool { return strings.HasPrefix(key, replacedKey) }

// replaced is a licence of Inty's as a line's event names it.
type replaced struct {
	ID         int64  `json:"id"`
	Client     int64  `json:"client"`
	ClientName string `json:"client_name"`
	Name       string `json:"name"`
	Who        string `json:"who"`
}

func replacedOf(l *invoicelinev1.Line) ([]byte, error) {
	list := []replaced{}
	for _, r := range l.GetReplaced() {
		list = append(list, replaced{r.GetHaloId(), r.GetClientId(), r.GetClientName(), r.GetName(), r.GetWho()})
	}
	return json.Marshal(list)
}

// onReplaced decides about replaced licences of connections whose lines replaced others than before.
func (s *service) onReplaced(ctx context.Context, tx pgx.Tx, changed []string) error {
	for _, connection := range changed {
		c, err := connections.Read(ctx, tx, connection)
		if errors.Is(err, connections.ErrUnknown) {
			continue // it decides about them when it comes
		}
		if err != nil {
			return err
		}
		if err := s.decideReplaced(ctx, tx, settingsOf(c)); err != nil {
			return err
		}
	}
	return nil
}

// decideReplaced: a licence that lines replaced is to be inactive; one that they no longer do is to be
// active again, if it was we who deactivated it.
func (s *service) decideReplaced(ctx context.Context, tx pgx.Tx, settings Settings) error {
	rows, err := tx.Query(ctx, `select distinct on ((r->>'id')::bigint) r from lines, jsonb_array_elements(replaced) r
		where connection = $1 and replaced <> '[]' order by (r->>'id')::bigint, key`, settings.Connection)
	if err != nil {
		return fmt.Errorf("read replaced licences: %w", err)
	}
	wanted, err := pgx.CollectRows(rows, pgx.RowTo[replaced])
	if err != nil {
		return fmt.Errorf("read replaced licences: %w", err)
	}
	items, err := s.engine.Lock(ctx, tx, `connection = $1 and starts_with(key, $2) order by key`, settings.Connection, replacedKey)
	if err != nil {
		return err
	}
	var wants []reconcile.Want[Fields]
	for _, r := range wanted {
		facts, err := proto.MarshalOptions{Deterministic: true}.Marshal(&licencev1.Licence{})
		if err != nil {
			return err
		}
		wants = append(wants, reconcile.Want[Fields]{
			Connection: settings.Connection, Key: replacedKey + strconv.FormatInt(r.ID, 10), Instance: settings.Instance, Mode: settings.Permit.Mode(r.Client, ""),
			Desired: &Fields{ClientID: r.Client, Active: false}, HaloID: r.ID, Applied: &Fields{ClientID: r.Client, Active: true},
			Verdict: reconcile.Go(), Facts: facts, Title: r.ClientName + ": " + r.Name, Customer: r.ClientName, Currency: settings.Currency, Who: r.Who,
		})
	}
	for _, x := range items {
		id, known := strings.CutPrefix(x.Key, replacedKey)
		if !known || slices.ContainsFunc(wanted, func(r replaced) bool { return strconv.FormatInt(r.ID, 10) == id }) || x.Applied == nil {
			continue
		}
		active := *x.Applied
		active.Active = true
		wants = append(wants, reconcile.Want[Fields]{
			Connection: x.Connection, Key: x.Key, Instance: x.Instance, Mode: settings.Permit.Mode(active.ClientID, ""), Desired: &active, Verdict: reconcile.Go(),
			Facts: x.Facts, Title: x.Title, Customer: x.Customer, Currency: x.Currency, Who: x.Who,
		})
	}
	if err := s.engine.Desire(ctx, tx, wants...); err != nil {
		return err
	}
	s.engine.Kick()
	return nil
}

// replacedGone: what is not ours is never created anew.
var replacedGone = reconcile.HoldFor[Fields]("gone_in_halo", "Halo has no such licence of Inty's any more: there is nothing to deactivate or to activate.")
