package halo

import "fmt"

// objectOf is the object of a text of valid JSON. Its fields are parts of that text.
func objectOf(b []byte) (Object, error) {
	s := scanner{text: b}
	if !s.take('{') {
		return Object{}, fmt.Errorf("expected a JSON object, got %.20s", b)
	}
	var o Object
	for more := !s.take('}'); more; more = s.take(',') {
		name, ok := unquote(s.value())
		if !ok || !s.take(':') {
			return Object{}, fmt.Errorf("a JSON object ends amid its fields: %.20s", b)
		}
		o.fields = append(o.fields, field{name, s.value()})
	}
	return o, nil
}

// objectsOf are the objects of an array, a text of valid JSON. null has none.
func objectsOf(b []byte) ([]Object, error) {
	s := scanner{text: b}
	if string(b) == "null" {
		return nil, nil
	}
	if !s.take('[') {
		return nil, fmt.Errorf("expected a JSON array, got %.20s", b)
	}
	all := []Object{}
	for more := !s.take(']'); more; more = s.take(',') {
		o, err := objectOf(s.value())
		if err != nil {
			return nil, err
		}
		all = append(all, o)
	}
	return all, nil
}

// scanner cuts a text of valid JSON into its values. Of one that is not valid it makes something, and comes to an end.
type scanner struct {
	text []byte
	at   int
}

func (s *scanner) space() {
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case ' ', '\t', '\n', '\r':
			s.at++
		default:
			return
		}
	}
}

// take steps over a character, if it comes next.
func (s *scanner) take(c byte) bool {
	s.space()
	if s.at < len(s.text) && s.text[s.at] == c {
		s.at++
		return true
	}
	return false
}

// value steps over the value that comes next.
func (s *scanner) value() []byte {
	s.space()
	start, depth := s.at, 0
	for s.at < len(s.text) {
		switch s.text[s.at] {
		case '"':
			s.string()
		case '{', '[':
			depth++
			s.at++
		case '}', ']':
			if depth == 0 {
				return s.text[start:s.at:s.at]
			}
			depth--
			s.at++
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return s.text[start:s.at:s.at]
			}
			s.at++
			continue
		default:
			s.at++
			continue
		}
		if depth == 0 {
			break
		}
	}
	return s.text[start:s.at:s.at]
}

// string steps over a string.
func (s *scanner) string() {
	for s.at++; s.at < len(s.text); s.at++ {
		switch s.text[s.at] {
		case '\\':
			s.at++
		case '"':
			s.at++
			return
		}
	}
	s.at = len(s.text)
}
