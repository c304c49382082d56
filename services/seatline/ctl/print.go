package ctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/goccy/go-yaml"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// List is the flags of every list.
type List struct {
	Filter  string `short:"f" help:"AIP-160 filter, for example 'state = held AND name : \"business premium\"'. A wrong field is answered with those that exist."`
	OrderBy string `name:"order-by" help:"Fields to order by, for example 'name, update_time desc'."`
	Limit   int    `short:"n" default:"100" help:"Rows to show at most; 0 for all."`
}

// collect reads pages until there are no more, or as many rows as asked for.
func (l List) collect(fetch func(size int32, token string) (rows int, next string, err error)) (more bool, err error) {
	token, seen := "", 0
	for {
		size := int32(1000)
		if l.Limit > 0 {
			size = int32(min(l.Limit-seen, 1000))
		}
		rows, next, err := fetch(size, token)
		if err != nil {
			return false, err
		}
		seen, token = seen+rows, next
		if token == "" {
			return false, nil
		}
		if l.Limit > 0 && seen >= l.Limit {
			return true, nil
		}
	}
}

// column of a table.
type column[T any] struct {
	name  string
	value func(T) string
}

// printList prints rows as a table or as a JSON array.
func printList[T proto.Message](c *Client, rows []T, more bool, columns ...column[T]) error {
	if c.Output == "json" {
		return printArray(c, rows)
	}
	if len(rows) == 0 {
		_, err := fmt.Fprintln(c.out, "Nothing to show.")
		return err
	}
	table := tabwriter.NewWriter(c.out, 0, 8, 2, ' ', 0)
	cells := make([]string, len(columns))
	for i, col := range columns {
		cells[i] = strings.ToUpper(col.name)
	}
	fmt.Fprintln(table, strings.Join(cells, "\t"))
	for _, row := range rows {
		for i, col := range columns {
			cells[i] = clean(col.value(row))
		}
		fmt.Fprintln(table, strings.TrimRight(strings.Join(cells, "\t"), "\t"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if more {
		fmt.Fprintf(c.out, "… and more: -n 0 shows all, -f narrows.\n")
	}
	return nil
}

// clean keeps text from outside, such as customer names, from moving columns or the terminal.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

func printArray[T proto.Message](c *Client, rows []T) error {
	documents := make([]json.RawMessage, len(rows))
	for i, row := range rows {
		document, err := protojson.Marshal(row)
		if err != nil {
			return err
		}
		documents[i] = document
	}
	return printJSON(c, documents)
}

func printJSON(c *Client, v any) error {
	document, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s\n", document)
	return err
}

// printOne prints one message: as JSON, or as YAML, which people read more easily.
func printOne(c *Client, m proto.Message) error {
	document, err := protojson.Marshal(m)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return printJSON(c, json.RawMessage(document))
	}
	readable, err := yaml.JSONToYAML(document)
	if err != nil {
		return err
	}
	_, err = c.out.Write(readable)
	return err
}

// printLine prints one message of a stream on a line of its own.
func printLine(c *Client, m proto.Message) error {
	document, err := protojson.Marshal(m)
	if err != nil {
		return err
	}
	var compact bytes.Buffer // protojson varies its spaces on purpose
	if err := json.Compact(&compact, document); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.out, "%s\n", compact.Bytes())
	return err
}

// done says in one sentence what a command did; JSON gets the message instead.
func done(c *Client, m proto.Message, format string, args ...any) error {
	if c.Output == "json" {
		return printOne(c, m)
	}
	_, err := fmt.Fprintln(c.out, clean(fmt.Sprintf(format, args...)))
	return err
}

// word of an enum value as people write it: STATE_IN_SYNC is "in sync".
func word(value protoreflect.Enum) string {
	descriptor := value.Descriptor()
	v := descriptor.Values().ByNumber(value.Number())
	if v == nil {
		return fmt.Sprint(value.Number())
	}
	if v.Number() == 0 {
		return "–"
	}
	return strings.ReplaceAll(shortName(v), "_", " ")
}

// shortName drops the prefix that protobuf wants on enum values.
func shortName(v protoreflect.EnumValueDescriptor) string {
	return strings.ToLower(strings.TrimPrefix(string(v.Name()), enumPrefix(v.Parent().(protoreflect.EnumDescriptor))))
}

func enumPrefix(e protoreflect.EnumDescriptor) string {
	zero := string(e.Values().ByNumber(0).Name())
	return strings.TrimSuffix(zero, "UNSPECIFIED")
}

func when(t *timestamppb.Timestamp) string {
	if t == nil {
		return "–"
	}
	return t.AsTime().Local().Format("2006-01-02 15:04:05")
}

func day(t *timestamppb.Timestamp) string {
	if t == nil {
		return "–"
	}
	return t.AsTime().UTC().Format(time.DateOnly)
}

func money(m *moneyv1.Money) string {
	if m == nil {
		return "–"
	}
	return m.GetAmount() + " " + m.GetCurrency()
}

// orDash shows that there is no value.
func orDash(s string) string {
	if s == "" || s == "0" {
		return "–"
	}
	return s
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
