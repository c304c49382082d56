package event

import (
	"fmt"
	"strconv"
	"strings"
)

// escape writes each byte of s that is not plain as mark and two hexadecimal digits. mark itself must not be plain.
func escape(s string, mark byte, plain func(byte) bool) string {
	if strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 || !plain(byte(r)) }) < 0 {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%c%02X", mark, c)
		}
	}
	return b.String()
}

// unescape undoes escape. It takes lower-case digits too, and bytes that needed no escape.
func unescape(s string, mark byte) (string, error) {
	first := strings.IndexByte(s, mark)
	if first < 0 {
		return s, nil
	}
	var b strings.Builder
	b.WriteString(s[:first])
	for i := first; i < len(s); i++ {
		if s[i] != mark {
			b.WriteByte(s[i])
			continue
		}
		c, err := strconv.ParseUint(s[i+1:min(i+3, len(s))], 16, 8)
		if err != nil || i+3 > len(s) {
			return "", fmt.Errorf("%q: '%c' without two hexadecimal digits", s, mark)
		}
		b.WriteByte(byte(c))
		i += 2
	}
	return b.String(), nil
}
