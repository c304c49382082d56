package billing

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/halo"
)

// linesLost is the reason of lines on an invoice that had fewer lines after a write than before.
const linesLost = "lines_lost"

// loss is an alarm: whatever caused it, writing on would make it worse.
type loss struct {
	invoice int64
	lines   []int64
	before  halo.Invoice
}

func (l *loss) text() string { return lossText(l.invoice, l.lines) }

func lossText(invoice int64, lines []int64) string {
	return fmt.Sprintf("ALARM: recurring invoice %d lost lines %s when it was written. Restore them in Halo (invoice_backups holds a copy) and report this; nothing is written to the invoice until one of its lines is retried.", invoice, numbers(lines))
}

// store keeps the invoice as it was.
func (l *loss) store(ctx context.Context, tx pgx.Tx, instance, requestID string, now time.Time) error {
	body, err := l.before.MarshalJSON()
	if err != nil {
		return fmt.Errorf("copy of recurring invoice %d: %w", l.invoice, err)
	}
	_, err = tx.Exec(ctx, `insert into invoice_backups (instance, id, lines, before, request_id, time) values ($1, $2, $3, $4, $5, $6)`,
		instance, l.invoice, l.lines, body, requestID, now)
	if err != nil {
		return fmt.Errorf("keep recurring invoice %d: %w", l.invoice, err)
	}
	return nil
}

// readAlarms adds what to say of invoices that nobody has looked at yet.
func readAlarms(ctx context.Context, q querier, instance string, invoices []int64, into map[int64]string) error {
	rows, err := q.Query(ctx, `select id, lines from invoice_backups where instance = $1 and id = any($2) and acknowledged = '' order by time`, instance, invoices)
	if err != nil {
		return fmt.Errorf("read alarms: %w", err)
	}
	var id int64
	var lines []int64
	_, err = pgx.ForEachRow(rows, []any{&id, &lines}, func() error { into[id] = lossText(id, lines); return nil })
	return err
}

// acknowledge records that a person has looked at the invoice of a line that an alarm holds, and has
// its customer decided anew. done is false when no alarm holds the line.
func (s *service) acknowledge(ctx context.Context, tx pgx.Tx, connection, key, who string) (done bool, err error) {
	if who == "" {
		who = "operator"
	}
	var instance string
	var client int64
	err = tx.QueryRow(ctx, `
		with line as (
			select instance, grp from items where connection = $1 and key = $2 and reason_code = $3
		), seen as (
			update invoice_backups b set acknowledged = $4 from line where b.instance = line.instance and b.id::text = line.grp and b.acknowledged = ''
		)
		select v.instance, v.client_id from line join invoices v on v.instance = line.instance and v.id::text = line.grp`,
		connection, key, linesLost, who).Scan(&instance, &client)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("acknowledge the alarm of line %s/%s: %w", connection, key, err)
	}
	return true, dirty(ctx, tx, instance, []int64{client}, s.Clock.Now())
}
