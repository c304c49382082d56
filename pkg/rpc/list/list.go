// Package list answers List methods the same way everywhere: pages by AIP-158, filters by AIP-160,
// ordering by AIP-132. A noun declares once what it can be filtered and ordered by:
//
//	var licences = list.Spec{
//		Noun: "licences",
//		Fields: map[string]list.Field{
//			"connection": list.Text("l.connection"),
//			"key":        list.Text("l.key"),
//			"name":       list.Text("l.name"),
//			"state":      list.Enum("l.state", itemv1.State(0).Descriptor()),
//			"count":      list.Integer("coalesce(l.count, 0)"),
//		},
//		Key:    []string{"connection", "key"},
//		Search: []string{"name", "key"},
//	}
//
// and its method is
//
//	query, err := licences.Query(req)
//	…
//	rows, next, err := list.Collect(ctx, pool, query, list.Select{Columns: "l.body", From: "licences l"}, scan)
//
// Pages are found by the last row's order values (keyset), so a late page costs what the first one
// does and rows that come or go meanwhile shift nothing. What callers write reaches PostgreSQL as
// arguments only; the SQL consists of the declared expressions.
package list

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Spec declares what a noun can be listed by.
type Spec struct {
	// Noun in the plural, for messages and to bind page tokens.
	Noun string
	// Fields that callers may filter and order by, under the names they use.
	Fields map[string]Field
	// Key names fields that identify a row together. It ends every ordering, and is the ordering
	// when DefaultOrder is empty, so an index on it makes pages cheap.
	Key []string
	// DefaultOrder in the syntax of order_by, for example "start_time desc".
	DefaultOrder string
	// Search names text fields in which a bare word of a filter is looked for; none: bare words are refused.
	Search []string
	// DefaultPageSize when a request has none; default 100. MaxPageSize bounds it; default 1000.
	DefaultPageSize, MaxPageSize int
}

type kind int

const (
	text kind = iota
	texts
	jsonTexts
	integer
	decimal
	boolean
	instant
	word
)

// Field is an SQL expression with its type.
type Field struct {
	sql      string
	kind     kind
	unsorted bool
	// twins hold the same value in every row, in other tables of the join.
	twins []string
	// words maps the accepted spellings of a closed set to what is stored; names lists them for messages.
	words map[string]any
	names []string
}

// The expression of a field that callers may order by must not be null, since null has no place in
// a keyset: wrap nullable columns with coalesce, or declare them Unsorted.

// Text supports =, != (both with * as wildcard), <, <=, >, >=, ":" (contains, whatever the
// case; of letters beyond ASCII only where the database's locale knows their case).
func Text(sql string) Field { return Field{sql: sql, kind: text} }

// Texts is an array of text; ":" asks whether it holds a value.
func Texts(sql string) Field { return Field{sql: sql, kind: texts, unsorted: true} }

// JSONTexts is an array of text in jsonb; ":" asks whether it holds a value, which a GIN index on the expression answers.
func JSONTexts(sql string) Field { return Field{sql: sql, kind: jsonTexts, unsorted: true} }

// Integer is a whole number of up to 64 bits.
func Integer(sql string) Field { return Field{sql: sql, kind: integer} }

// Decimal is an exact number (numeric).
func Decimal(sql string) Field { return Field{sql: sql, kind: decimal} }

// Bool compares with true and false.
func Bool(sql string) Field { return Field{sql: sql, kind: boolean, unsorted: true} }

// Time is a timestamptz; callers write "2026-01-31" (midnight UTC) or RFC 3339.
func Time(sql string) Field { return Field{sql: sql, kind: instant} }

// Enum is a protobuf enum stored as its number. Callers write its values with or without their
// prefix, in either case: STATE_HELD, held.
func Enum(sql string, enum protoreflect.EnumDescriptor) Field {
	field := Field{sql: sql, kind: word, words: map[string]any{}}
	prefix := upperSnake(string(enum.Name())) + "_"
	for i := range enum.Values().Len() {
		value := enum.Values().Get(i)
		name := strings.TrimPrefix(string(value.Name()), prefix)
		field.words[normal(string(value.Name()))] = int64(value.Number())
		field.words[normal(name)] = int64(value.Number())
		field.names = append(field.names, strings.ToLower(name))
	}
	return field
}

// Words is a closed set stored as these very texts; callers may write them in either case.
func Words(sql string, words ...string) Field {
	field := Field{sql: sql, kind: word, words: map[string]any{}, names: words}
	for _, w := range words {
		field.words[normal(w)] = w
	}
	return field
}

// Unsorted keeps callers from ordering by the field.
func (f Field) Unsorted() Field { f.unsorted = true; return f }

// Also names columns of joined tables that hold the same value in every row, such as those of the key that they are
// joined by. Where a list is ordered by another field of such a table, or kept to one value of it, the order is
// completed with the twin: then an index of that one table finds the page.
func (f Field) Also(sql ...string) Field { f.twins = sql; return f }

// in is the field as the table of that alias has it, if it has it.
func (f Field) in(alias string) Field {
	for _, twin := range f.twins {
		if aliasOf(twin) == alias {
			f.sql = twin
		}
	}
	return f
}

// aliasOf is the table of a column; empty for other expressions.
func aliasOf(sql string) string {
	alias, column, _ := strings.Cut(sql, ".")
	if column == "" || strings.ContainsAny(alias, " (") {
		return ""
	}
	return alias
}

// cast is the SQL type of an argument compared with the field.
func (f Field) cast() string {
	switch f.kind {
	case integer:
		return "bigint"
	case decimal:
		return "numeric"
	case boolean:
		return "boolean"
	case instant:
		return "timestamptz"
	case word:
		for _, stored := range f.words {
			if _, ok := stored.(int64); ok {
				return "integer"
			}
		}
	}
	return "text"
}

// normal makes spellings of one word equal: STATE_IN_SYNC, in_sync, in-sync.
func normal(s string) string { return strings.ReplaceAll(strings.ToLower(s), "-", "_") }

func upperSnake(camel string) string {
	var out strings.Builder
	for i, r := range camel {
		if i > 0 && r >= 'A' && r <= 'Z' {
			out.WriteByte('_')
		}
		out.WriteRune(r)
	}
	return strings.ToUpper(out.String())
}

// names of the fields in order, for messages; with sorted only those that one may order by.
func (s Spec) names(sorted bool) string {
	var names []string
	for name, field := range s.Fields {
		if !sorted || !field.unsorted {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

// fragment is SQL in which placeholder stands for each of args in turn; numbers are given when all
// fragments of a statement are put together.
type fragment struct {
	sql  string
	args []any
}

const placeholder = "\x00"

// join puts fragments between parentheses with an operator between them.
func join(operator string, parts ...fragment) fragment {
	var sql []string
	var args []any
	for _, part := range parts {
		if part.sql != "" {
			sql, args = append(sql, "("+part.sql+")"), append(args, part.args...)
		}
	}
	return fragment{strings.Join(sql, " "+operator+" "), args}
}
