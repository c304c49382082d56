package billing

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/postgres"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

const (
	queryTimeout = 5 * time.Second
	// readLease is how long a reader that says nothing keeps its turn; a chunk takes far less.
	readLease = 5 * time.Minute
	// chunk is how many invoices are stored in one transaction.
	chunk = 100
)

// readDue reads the recurring invoices of one instance, if one is due.
func (s *service) readDue(ctx context.Context) (did int, err error) {
	owner := uuid.NewString()
	instance, err := s.claimReading(ctx, owner, s.Clock.Now(), `due_at <= $3`)
	if err != nil || instance == "" {
		return 0, err
	}
	_, err = s.read(ctx, instance, owner)
	return 1, err
}

// claimReading takes the turn of one instance that fits; "" when there is none.
func (s *service) claimReading(ctx context.Context, owner string, now time.Time, where string, args ...any) (string, error) {
	var instance string
	err := s.pool.QueryRow(ctx, `
		update instances set reader = $1, reading_until = $2 where instance = (
			select instance from instances where `+where+` and (reading_until is null or reading_until <= $3)
			order by due_at limit 1 for update skip locked)
		returning instance`, append([]any{owner, now.Add(readLease), now}, args...)...).Scan(&instance)
	if errors.Is(err, pgx.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for instances to read: %w", err)
	}
	return instance, nil
}

// reading is what a complete reading found.
type reading struct{ invoices, lines int }

// read reads all recurring invoices of an instance, and the items that lines are made of. Whatever
// becomes of it, the turn ends and the next reading is set.
func (s *service) read(ctx context.Context, instance, owner string) (reading, error) {
	began := s.Clock.Now()
	book, all, err := readBook(ctx, s.pool, instance)
	if err != nil {
		return reading{}, err
	}
	var found reading
	all = slices.DeleteFunc(all, func(c *connectionv1.Connection) bool { return !c.GetEnabled() })
	if len(all) == 0 {
		return reading{}, s.endReading(ctx, instance, owner, `due_at = $3, failures = failures + 1`, began.Add(6*time.Hour))
	}
	refresh := time.Duration(0)
	for _, set := range book.Settings {
		if refresh == 0 || set.Refresh < refresh {
			refresh = set.Refresh
		}
	}
	items, found, err := s.readAll(ctx, instance, owner, all[0], began)
	if err != nil {
		later := s.Clock.Now().Add(30 * time.Second)
		if endErr := s.endReading(context.WithoutCancel(ctx), instance, owner, `due_at = $3::timestamptz + least(failures, 20) * interval '30 seconds', failures = failures + 1`, later); endErr != nil {
			err = errors.Join(err, endErr)
		}
		return reading{}, fmt.Errorf("read recurring invoices of %s: %w", instance, err)
	}
	catalogue, err := json.Marshal(items)
	if err != nil {
		return reading{}, err
	}
	err = postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		now := s.Clock.Now()
		// Only a complete reading may say that an invoice is gone.
		gone, err := column[int64](ctx, tx, `update invoices set gone = true where instance = $1 and not gone and read_at < $2 returning client_id`, instance, began)
		if err != nil {
			return err
		}
		if err := dirty(ctx, tx, instance, gone, now); err != nil {
			return err
		}
		var first bool
		err = tx.QueryRow(ctx, `select read_at is null or items <> $2::jsonb from instances where instance = $1`, instance, string(catalogue)).Scan(&first)
		if err != nil {
			return err
		}
		if first {
			for _, c := range all {
				if err := dirtyAll(ctx, tx, c.GetSlug(), now); err != nil {
					return err
				}
			}
		}
		_, err = tx.Exec(ctx, `update instances set read_at = $2, items = $3::jsonb, failures = 0, due_at = $4,
			reader = '', reading_until = null where instance = $1 and reader = $5`, instance, began, string(catalogue), now.Add(refresh), owner)
		return err
	})
	if err != nil {
		return reading{}, fmt.Errorf("store what was read of %s: %w", instance, err)
	}
	s.wake.Nudge()
	s.Log.InfoContext(ctx, "read recurring invoices", "instance", instance, "invoices", found.invoices, "lines", found.lines)
	return found, nil
}

func (s *service) endReading(ctx context.Context, instance, owner, set string, at time.Time) error {
	_, err := s.pool.Exec(ctx, `update instances set reader = '', reading_until = null, `+set+` where instance = $1 and reader = $2`, instance, owner, at)
	return err
}

// readAll asks Halo. Lists are relied on where this instance was seen to send invoices whole; else
// each invoice is read by itself.
func (s *service) readAll(ctx context.Context, instance, owner string, c *connectionv1.Connection, began time.Time) ([]Item, reading, error) {
	var found reading
	client, err := s.halo.Client(ctx, c)
	if err != nil {
		return nil, found, err
	}
	client = client.At(halo.Background)
	items := []Item{}
	for i, err := range client.Items(ctx) {
		if err != nil {
			return nil, found, err
		}
		items = append(items, itemOf(i))
	}
	slices.SortFunc(items, func(a, b Item) int { return int(a.ID - b.ID) })
	whole := c.GetHalo().GetCapabilities().GetInvoiceListHasLines()
	var list []*sight
	flush := func() error {
		err := postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, `update instances set reading_until = $3 where instance = $1 and reader = $2`, instance, owner, s.Clock.Now().Add(readLease))
			if err != nil {
				return err
			}
			if tag.RowsAffected() == 0 {
				return errors.New("another replica took the reading over")
			}
			return saveInvoices(ctx, tx, instance, list, s.Clock.Now())
		})
		list = list[:0]
		return err
	}
	for inv, err := range client.Invoices(ctx, halo.InvoiceFilter{Lines: whole}) {
		if err != nil {
			return nil, found, err
		}
		if !whole || !inv.Whole {
			one, err := client.Invoice(ctx, inv.ID())
			if halo.ClassOf(err) == halo.NotFound {
				continue // deleted since it was listed
			}
			if err != nil {
				return nil, found, err
			}
			inv = one
		}
		found.invoices++
		found.lines += len(inv.Lines)
		v, err := sightOf(inv, began)
		if err != nil {
			return nil, found, err
		}
		if list = append(list, v); len(list) == chunk {
			if err := flush(); err != nil {
				return nil, found, err
			}
		}
	}
	return items, found, flush()
}
