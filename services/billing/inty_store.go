package billing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"

	"seatline.dev/pkg/reconcile"
	"seatline.dev/services/billing/inty"
)

// intyMigration is what is kept of a migration besides its lists.
type intyMigration struct {
	Instance     string      `json:"instance"`
	MappingsTime time.Time   `json:"mappings_time,omitzero"`
	MappingsFrom string      `json:"mappings_from,omitempty"` // "halo" or "csv"
	MappingsWho  string      `json:"mappings_who,omitempty"`
	Module       *intyModule `json:"module,omitempty"` // nil: never looked
	ReadTime     time.Time   `json:"read_time,omitzero"`
}

// intyModule is Halo's Inty module as /Control last showed it.
type intyModule struct {
	Time      time.Time `json:"time"`
	On        bool      `json:"on,omitempty"`
	Mappings  int       `json:"mappings,omitempty"`
	URL       string    `json:"url,omitempty"`
	UserName  string    `json:"user,omitempty"`
	LastSync  time.Time `json:"last_sync,omitzero"`
	LastError string    `json:"last_error,omitempty"`
}

func readMigration(ctx context.Context, q querier, connection, lock string) (intyMigration, error) {
	var m intyMigration
	bodies, err := column[[]byte](ctx, q, `select body from inty_migrations where connection = $1`+lock, connection)
	if err != nil {
		return m, fmt.Errorf("read the migration of %s: %w", connection, err)
	}
	if len(bodies) == 0 {
		return m, nil
	}
	if err := json.Unmarshal(bodies[0], &m); err != nil {
		return m, fmt.Errorf("stored migration of %s: %w", connection, err)
	}
	return m, nil
}

// changeMigration changes what is kept of a migration; two people at once take turns.
func changeMigration(ctx context.Context, tx pgx.Tx, connection, instance string, change func(*intyMigration)) error {
	if _, err := tx.Exec(ctx, `insert into inty_migrations (connection, body) values ($1, '{}') on conflict do nothing`, connection); err != nil {
		return fmt.Errorf("begin the migration of %s: %w", connection, err)
	}
	m, err := readMigration(ctx, tx, connection, ` for update`)
	if err != nil {
		return err
	}
	m.Instance = instance
	change(&m)
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `update inty_migrations set body = $2 where connection = $1`, connection, string(body)); err != nil {
		return fmt.Errorf("store the migration of %s: %w", connection, err)
	}
	return nil
}

func readMappings(ctx context.Context, q querier, connection string) ([]inty.Mapping, error) {
	return jsonColumn[inty.Mapping](ctx, q, "old mappings of "+connection, `select body from inty_mappings where connection = $1 order by client_id, inty_id`, connection)
}

func readIntyLicences(ctx context.Context, q querier, where string, args ...any) ([]inty.Licence, error) {
	return jsonColumn[inty.Licence](ctx, q, "Inty's licences", `select body || jsonb_build_object('Active', active) from inty_licences where `+where+` order by client_id, halo_id`, args...)
}

func jsonColumn[T any](ctx context.Context, q querier, what, sql string, args ...any) ([]T, error) {
	bodies, err := column[[]byte](ctx, q, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	out := make([]T, len(bodies))
	for i, b := range bodies {
		if err := json.Unmarshal(b, &out[i]); err != nil {
			return nil, fmt.Errorf("stored %s: %w", what, err)
		}
	}
	return out, nil
}

// storedMove is a move with the link that it is about.
type storedMove struct {
	linkID
	Move
}

func readMoves(ctx context.Context, q querier, where string, args ...any) ([]storedMove, error) {
	rows, err := q.Query(ctx, `select invoice_id, line_id, licence_id, to_id, connection, back, deactivate, finished is not null, was->>'cost', was->>'price', row_was, who, time
		from inty_moves where `+where+` order by invoice_id desc, line_id, licence_id`, args...)
	if err != nil {
		return nil, fmt.Errorf("read re-pointings: %w", err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (m storedMove, err error) {
		var cost, price string
		var row []byte
		err = r.Scan(&m.Invoice, &m.Line, &m.Licence, &m.To, &m.Connection, &m.Back, &m.Deactivate, &m.Finished, &cost, &price, &row, &m.Who, &m.Time)
		if err != nil {
			return m, err
		}
		m.From, m.Was.Row = m.Licence, row
		if m.Was.Cost, err = decimal.NewFromString(cost); err != nil {
			return m, err
		}
		m.Was.Price, err = decimal.NewFromString(price)
		return m, err
	})
	if err != nil {
		return nil, fmt.Errorf("read re-pointings: %w", err)
	}
	return list, nil
}

func saveMove(ctx context.Context, tx pgx.Tx, instance string, m storedMove) error {
	was, err := json.Marshal(map[string]string{"cost": m.Was.Cost.String(), "price": m.Was.Price.String()})
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `insert into inty_moves (instance, invoice_id, line_id, licence_id, to_id, connection, back, deactivate, was, row_was, who, time)
		values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		on conflict (instance, invoice_id, line_id, licence_id) do update set to_id = excluded.to_id, connection = excluded.connection, back = excluded.back,
			deactivate = excluded.deactivate, was = excluded.was, row_was = excluded.row_was, who = excluded.who, time = excluded.time, finished = null`,
		instance, m.Invoice, m.Line, m.Licence, m.To, m.Connection, m.Back, m.Deactivate, string(was), []byte(m.Was.Row), m.Who, m.Time)
	if err != nil {
		return fmt.Errorf("store the re-pointing of line %d: %w", m.Line, err)
	}
	return nil
}

// readInty adds what decisions have to know of Inty's licences. Where nobody migrates that is one question.
func (sc *scope) readInty(ctx context.Context, q reader, instance string, loaded []int64) error {
	y := Inty{Licences: map[int64]inty.Licence{}, Linked: map[int64]bool{}, Billed: map[int64]lineID{}, Moves: map[linkID]Move{}}
	sc.snapshot.Inty = y
	some, err := column[bool](ctx, q, `select exists (select from inty_licences where instance = $1)`, instance)
	if err != nil || !slices.Contains(some, true) {
		return err
	}
	moves, err := readMoves(ctx, q, `instance = $1 and invoice_id = any($2) and finished is null`, instance, loaded)
	if err != nil {
		return err
	}
	from, to := []int64{}, []int64{}
	for _, m := range moves {
		y.Moves[m.linkID] = m.Move
		from, to = append(from, m.From), append(to, m.To)
	}
	// What was taken over in place is ours.
	list, err := readIntyLicences(ctx, q, `instance = $1 and (client_id = any($2) or halo_id = any($3))
		and not exists (select from licences l where l.instance = inty_licences.instance and l.halo_id = inty_licences.halo_id and l.halo_id <> 0 and l.present)`,
		instance, sortedKeys(sc.snapshot.Clients), from)
	if err != nil {
		return err
	}
	for _, l := range list {
		y.Licences[l.ID] = l
	}
	for _, inv := range sc.snapshot.Invoices {
		for _, line := range inv.Lines {
			if line.Type != quantityLinked {
				continue
			}
			for _, id := range line.linked() {
				y.Linked[id] = true
				if !inv.Disabled && line.bills() {
					y.Billed[id] = lineID{inv.ID, line.ID}
				}
			}
		}
	}
	rows, err := q.Query(ctx, `select distinct on (l) l, id from invoices, unnest(licence_ids) l
		where instance = $1 and not gone and licence_ids && $2 and l = any($2) and id <> all($3) order by l, id`, instance, sortedKeys(y.Licences), loaded)
	if err != nil {
		return fmt.Errorf("read what links Inty's licences: %w", err)
	}
	var licence, invoice int64
	if _, err := pgx.ForEachRow(rows, []any{&licence, &invoice}, func() error {
		y.Linked[licence], y.Billed[licence] = true, lineID{invoice, 0}
		return nil
	}); err != nil {
		return fmt.Errorf("read what links Inty's licences: %w", err)
	}
	return sc.addLicences(ctx, q, instance, to)
}

// finishUndone ends the undos that are done, unless somebody re-pointed the link anew meanwhile.
func (sc *scope) finishUndone(ctx context.Context, tx pgx.Tx, instance string, now time.Time) error {
	for _, m := range sc.snapshot.undone() { // few, and each once
		_, err := tx.Exec(ctx, `update inty_moves set finished = $6
			where instance = $1 and invoice_id = $2 and line_id = $3 and licence_id = $4 and back and time = $5 and finished is null`,
			instance, m.Invoice, m.Line, m.Licence, m.Time, now)
		if err != nil {
			return fmt.Errorf("end the undo of line %d: %w", m.Line, err)
		}
	}
	return nil
}

// addLicences adds licences of ours that moves lead to, of whatever customer.
func (sc *scope) addLicences(ctx context.Context, q reader, instance string, ids []int64) error {
	ids = slices.DeleteFunc(ids, func(id int64) bool {
		return slices.ContainsFunc(sc.snapshot.Licences, func(l Licence) bool { return l.HaloID == id })
	})
	if len(ids) == 0 {
		return nil
	}
	more, err := readLicences(ctx, q, sc.book, `instance = $1 and halo_id = any($2) and halo_id <> 0`, instance, ids)
	sc.snapshot.Licences = append(sc.snapshot.Licences, more...)
	return err
}

// release has a line tried again that was held by what Halo showed.
func (s *service) release(ctx context.Context, tx pgx.Tx, connection, key, who string) error {
	err := s.engine.Release(ctx, tx, connection, key, who, nil)
	if errors.Is(err, reconcile.ErrNotFound) || errors.Is(err, reconcile.ErrHeldByRule) {
		return nil // it is decided anew in any case
	}
	return err
}
