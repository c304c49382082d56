package postgrestest

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Explained is a pool that notes how PostgreSQL ran the latest query.
type Explained struct {
	*pgxpool.Pool
	Plan string
}

// Query runs the query twice: once to explain it.
func (e *Explained) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	rows, err := e.Pool.Query(ctx, "explain (analyze, buffers, costs off, timing off, summary off) "+sql, args...)
	if err != nil {
		return nil, err
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, err
	}
	e.Plan = strings.Join(lines, "\n")
	return e.Pool.Query(ctx, sql, args...)
}

var buffers = regexp.MustCompile(`Buffers: shared(?: hit=(\d+))?(?: read=(\d+))?`)

// FoundInIndex is an error unless the latest query took the rows of one page and the way down to them: a row its own
// block of the table and at most four of an index, or two of each of two tables.
func (e *Explained) FoundInIndex(rows int) error {
	touched := 0
	if found := buffers.FindStringSubmatch(e.Plan); found != nil {
		for _, n := range found[1:] {
			blocks, _ := strconv.Atoi(n) // empty: none
			touched += blocks
		}
	}
	if most := 50 + 5*rows; touched == 0 || touched > most || strings.Contains(e.Plan, "Seq Scan") {
		return fmt.Errorf("%d rows took %d blocks of the database, of at most %d:\n%s", rows, touched, most, e.Plan)
	}
	return nil
}
