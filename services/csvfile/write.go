package csvfile

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ContentType of a file.
const ContentType = "text/csv; charset=utf-8"

// Write writes a file. What a spreadsheet would take for a formula is written so that it takes it for text; Read gives
// it back as it was. The records are changed on the way.
func Write(to io.Writer, records [][]string) error {
	if _, err := io.WriteString(to, byteOrderMark); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	for _, record := range records {
		for i := range record {
			record[i] = guarded(record[i])
		}
	}
	if err := csv.NewWriter(to).WriteAll(records); err != nil {
		return fmt.Errorf("write CSV: %w", err)
	}
	return nil
}

// ID is a number that is left out where there is none.
func ID(id int64) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatInt(id, 10)
}

// formulas begin with one of these; the last marks text that would be taken for one.
const formulas = "=+-@\t\r'"

// guarded marks text that spreadsheets would run; numbers stay numbers.
func guarded(s string) string {
	if s == "" || !strings.ContainsRune(formulas, rune(s[0])) {
		return s
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return s
	}
	return "'" + s
}

func unguarded(s string) string {
	s = strings.TrimSpace(s)
	if len(s) > 1 && s[0] == '\'' && strings.ContainsRune(formulas, rune(s[1])) {
		return s[1:]
	}
	return s
}
