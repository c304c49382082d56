// Package csvfile reads and writes the CSV files that people open in spreadsheets.
package csvfile

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// byteOrderMark is what spreadsheets begin a file with, and know UTF-8 by.
const byteOrderMark = "\ufeff"

// Row of a file, after the first line, which names the columns.
type Row struct {
	// Line of the file, counted from 1.
	Line int

	columns, cells []string
}

// Cell of a column, without spaces around it; "" where the file has no such column.
func (r Row) Cell(column string) string {
	if i := slices.Index(r.columns, column); i >= 0 {
		return unguarded(r.cells[i])
	}
	return ""
}

// Fault is what is wrong in one line.
type Fault struct {
	Line int
	Text string
}

func (f Fault) Error() string { return fmt.Sprintf("line %d: %s", f.Line, f.Text) }

// Faults of a file, in the order of its lines.
type Faults []Fault

func (f Faults) Error() string {
	texts := make([]string, len(f))
	for i, x := range f {
		texts[i] = x.Error()
	}
	return strings.Join(texts, "; ")
}

// InOrder is f in the order of the lines again, after some were added.
func (f Faults) InOrder() Faults {
	slices.SortStableFunc(f, func(a, b Fault) int { return a.Line - b.Line })
	return f
}

// Read reads a file by the names in its first line, in any order and whatever their case, between commas or semicolons;
// further columns are passed over. The first of columns must be there. It reads on after a wrong row, to name them all.
func Read(content []byte, columns ...string) (rows []Row, faults Faults) {
	fault := func(line int, format string, args ...any) {
		faults = append(faults, Fault{line, fmt.Sprintf(format, args...)})
	}
	content = bytes.TrimPrefix(content, []byte(byteOrderMark))
	switch {
	case !utf8.Valid(content):
		fault(1, "the file is not in UTF-8: save it as \"CSV UTF-8\"")
		return nil, faults
	case bytes.IndexByte(content, 0) >= 0:
		fault(bytes.Count(content[:bytes.IndexByte(content, 0)], []byte("\n"))+1, "it holds bytes that are not text: is the file a CSV file?")
		return nil, faults
	case len(content) > 0 && content[len(content)-1] != '\n':
		// Half a number is a number, too.
		fault(bytes.Count(content, []byte("\n"))+1, "the file ends within this line: it may be cut off. End it with a new line if it is complete")
		return nil, faults
	}
	reader := csv.NewReader(bytes.NewReader(content))
	reader.TrimLeadingSpace = true
	if first, _, _ := bytes.Cut(content, []byte("\n")); !bytes.ContainsRune(first, ',') && bytes.ContainsRune(first, ';') {
		reader.Comma = ';' // where the comma is in numbers, spreadsheets write this instead
	}
	header, err := reader.Read()
	if err != nil {
		fault(1, "the file has no first line with the names of its columns: %s", strings.Join(columns, ", "))
		return nil, faults
	}
	for i := range header {
		header[i] = strings.ToLower(strings.TrimSpace(header[i]))
	}
	if !slices.Contains(header, columns[0]) {
		fault(1, "there is no column %s; columns are: %s", columns[0], strings.Join(columns, ", "))
		return nil, faults
	}
	for {
		record, err := reader.Read()
		var parse *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return rows, faults
		case errors.Is(err, csv.ErrFieldCount):
			line, _ := reader.FieldPos(0)
			fault(line, "it has %d columns, the first line %d: the row may be cut off, or a comma not in quotes", len(record), len(header))
			continue
		case errors.As(err, &parse):
			fault(parse.StartLine, "it cannot be read (%v): is a quote missing, or the file cut off?", parse.Err)
			return rows, faults
		case err != nil:
			fault(1, "the file cannot be read: %v", err)
			return rows, faults
		}
		line, _ := reader.FieldPos(0)
		rows = append(rows, Row{line, header, record})
	}
}
