package list

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"seatline.dev/pkg/rpc"
)

// Request is what every List request has; those with GetFilter and GetOrderBy have these read too.
type Request interface {
	GetPageSize() int32
	GetPageToken() string
}

// Scope narrows a list by fields of the request other than filter: {"connection": req.GetConnection()}.
// Fields with an empty value do not narrow.
type Scope map[string]string

// Query is a checked request.
type Query struct {
	noun   string
	source string
	scope  map[string]string
	keys   []sortKey
	moving []int // keys of which it does not keep rows to one value
	where  fragment
	size   int
}

// Query checks a request. Errors are InvalidArgument and say which part is wrong and what is possible.
func (s Spec) Query(req Request, scopes ...Scope) (*Query, error) {
	q := &Query{noun: s.Noun, scope: map[string]string{}}
	fixed := map[string]bool{}
	var err error
	if q.size, err = s.pageSize(req.GetPageSize()); err != nil {
		return nil, err
	}
	conditions := []fragment{}
	for _, scope := range scopes {
		for name, value := range scope {
			if value == "" {
				continue
			}
			field, ok := s.Fields[name]
			if !ok {
				return nil, fmt.Errorf("list of %s: scope names the undeclared field %q", s.Noun, name)
			}
			q.scope[name], fixed[name] = value, true
			equal, err := compare(field, "=", value)
			if err != nil {
				return nil, rpc.InvalidArgument(name, "%q: %v", value, err)
			}
			if field.kind == text { // no wildcards in a scope
				equal = fragment{field.sql + " = " + placeholder + "::text", []any{value}}
			}
			conditions = append(conditions, equal)
		}
	}
	if filtered, ok := req.(interface{ GetFilter() string }); ok {
		q.source = filtered.GetFilter()
		condition, err := s.filter(q.source, fixed)
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, condition)
	}
	order := ""
	if ordered, ok := req.(interface{ GetOrderBy() string }); ok {
		order = ordered.GetOrderBy()
	}
	if q.keys, err = s.order(order, fixed); err != nil {
		return nil, err
	}
	for i, k := range q.keys {
		if !fixed[k.name] {
			q.moving = append(q.moving, i)
		}
	}
	if token := req.GetPageToken(); token != "" {
		values, err := q.readToken(token)
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, after(q.keys, values, fixed))
	}
	q.where = join("and", conditions...)
	return q, nil
}

func (s Spec) pageSize(asked int32) (int, error) {
	size, most := s.DefaultPageSize, s.MaxPageSize
	if size == 0 {
		size = 100
	}
	if most == 0 {
		most = 1000
	}
	switch {
	case asked < 0:
		return 0, rpc.InvalidArgument("page_size", "%d is less than 0", asked).Do("leave it out for %d rows, or ask for up to %d", size, most)
	case asked == 0:
		return min(size, most), nil
	default:
		return min(int(asked), most), nil
	}
}

// Select is the statement that a Query narrows and orders.
type Select struct {
	// Columns and From as after select and from; From may hold joins.
	Columns, From string
	// Joins by alias, each of exactly one row for every row of From: made only where the filter or the order, or Where,
	// names a column of it.
	Joins map[string]string
	// Where is a condition that always holds, with $1 … for Args; may be empty.
	Where string
	Args  []any
}

// SQL is the whole statement. Its last columns are the row's place in the order, each as text: the values of what it is
// ordered by and not kept to one value.
func (q *Query) SQL(sel Select) (string, []any) {
	var sql strings.Builder
	args := append([]any(nil), sel.Args...)
	sql.WriteString("select " + sel.Columns)
	for _, i := range q.moving {
		// Its name is no column's: "order by" would take it for that.
		fmt.Fprintf(&sql, ", (%s)::text as place_%d", q.keys[i].field.sql, i)
	}
	sql.WriteString(" from " + sel.From)
	where, order := join("and", fragment{sel.Where, nil}, q.where), orderSQL(q.keys)
	for _, alias := range slices.Sorted(maps.Keys(sel.Joins)) {
		named := regexp.MustCompile(`\b` + regexp.QuoteMeta(alias) + `\.`)
		if named.MatchString(where.sql) || named.MatchString(order) {
			sql.WriteString(" " + sel.Joins[alias])
		}
	}
	if where.sql != "" {
		sql.WriteString(" where ")
		parts := strings.Split(where.sql, placeholder)
		for i, part := range parts {
			if i > 0 {
				args = append(args, where.args[i-1])
				sql.WriteString("$" + strconv.Itoa(len(args)))
			}
			sql.WriteString(part)
		}
	}
	fmt.Fprintf(&sql, " order by %s limit %d", order, q.size+1)
	return sql.String(), args
}

// DB is a pool, a connection or a transaction.
type DB interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Collect reads one page, and the token of the next one: "" after the last.
func Collect[T any](ctx context.Context, db DB, q *Query, sel Select, scan pgx.RowToFunc[T]) ([]T, string, error) {
	sql, args := q.SQL(sel)
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, "", fmt.Errorf("list %s: %w", q.noun, err)
	}
	defer rows.Close()
	var page []T
	place := make([]*string, len(q.moving))
	row := &placedRow{Rows: rows, place: make([]any, len(place))}
	for rows.Next() {
		if len(page) == q.size { // the row beyond the page only says that there is one
			rows.Close()
			next, err := q.next(place)
			return page, next, err
		}
		if len(page) == q.size-1 { // only the last row's place is asked for
			for i := range place {
				row.place[i] = &place[i]
			}
		}
		item, err := scan(row)
		if err != nil {
			return nil, "", fmt.Errorf("list %s: %w", q.noun, err)
		}
		page = append(page, item)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("list %s: %w", q.noun, err)
	}
	return page, "", nil
}

// next is the token of the page after place. What the query keeps to one value is left out of it.
func (q *Query) next(place []*string) (string, error) {
	values := make([]string, len(q.keys))
	for n, i := range q.moving {
		if place[n] == nil {
			return "", fmt.Errorf("list %s: field %q is null in a row; declare it with coalesce, or Unsorted", q.noun, q.keys[i].name)
		}
		values[i] = *place[n]
	}
	return q.token(values), nil
}

// placedRow hides the columns of the row's place from the scan, and keeps them if it has somewhere for them.
type placedRow struct {
	pgx.Rows
	place   []any // **string each, or nil
	targets []any
}

func (r *placedRow) FieldDescriptions() []pgconn.FieldDescription {
	all := r.Rows.FieldDescriptions()
	return all[:len(all)-len(r.place)]
}

func (r *placedRow) Scan(targets ...any) error {
	if len(targets) == 1 { // how pgx.RowToStructByName and its like come
		if scanner, ok := targets[0].(pgx.RowScanner); ok {
			return scanner.ScanRow(r)
		}
	}
	r.targets = append(append(r.targets[:0], targets...), r.place...)
	return r.Rows.Scan(r.targets...)
}
