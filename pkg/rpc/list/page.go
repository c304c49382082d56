package list

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.einride.tech/aip/ordering"

	"seatline.dev/pkg/rpc"
)

// sortKey is one expression of the ordering.
type sortKey struct {
	name  string
	field Field
	desc  bool
}

// order reads order_by and completes it with the key, so that no two rows are equal. fixed are the fields that the
// query keeps to one value.
func (s Spec) order(source string, fixed map[string]bool) ([]sortKey, error) {
	if strings.TrimSpace(source) == "" {
		source = s.DefaultOrder
	}
	var parsed ordering.OrderBy
	if err := parsed.UnmarshalString(source); err != nil {
		return nil, s.orderError("%q cannot be read", source)
	}
	var keys []sortKey
	add := func(name string, desc bool) error {
		if slices.ContainsFunc(keys, func(k sortKey) bool { return k.name == name }) {
			return s.orderError("%q is named twice", name)
		}
		field, ok := s.Fields[name]
		if !ok || field.unsorted {
			return s.orderError("%s cannot be ordered by %q", s.Noun, name)
		}
		keys = append(keys, sortKey{name, field, desc})
		return nil
	}
	for _, field := range parsed.Fields {
		if err := add(field.Path, field.Desc); err != nil {
			return nil, err
		}
	}
	// The key runs in the direction of what comes before it: one direction all through is what a
	// row comparison and a single index scan need.
	desc := len(keys) > 0 && keys[len(keys)-1].desc
	alias := s.leading(keys, fixed)
	for _, name := range s.Key {
		if !slices.ContainsFunc(keys, func(k sortKey) bool { return k.name == name }) {
			if err := add(name, desc); err != nil {
				return nil, err
			}
		}
	}
	for i := range keys {
		keys[i].field = keys[i].field.in(alias)
	}
	return keys, nil
}

// leading is the table through which a page is found: that of the first field of the order, or else of one that the
// query keeps to one value.
func (s Spec) leading(keys []sortKey, fixed map[string]bool) string {
	isKey := func(name string) bool { return slices.Contains(s.Key, name) }
	for _, k := range keys {
		if !isKey(k.name) {
			return aliasOf(k.field.sql)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fixed)) {
		if field := s.Fields[name]; !isKey(name) && aliasOf(field.sql) != "" {
			return aliasOf(field.sql)
		}
	}
	return ""
}

func (s Spec) orderError(format string, args ...any) error {
	return rpc.InvalidArgument("order_by", format, args...).
		Do(`write it like: "name, update_time desc"; fields to order %s by: %s`, s.Noun, s.names(true))
}

func orderSQL(keys []sortKey) string {
	parts := make([]string, len(keys))
	for i, k := range keys {
		parts[i] = k.field.sql
		if k.desc {
			parts[i] += " desc"
		}
	}
	return strings.Join(parts, ", ")
}

// after is the condition "comes after the row with these values". Fields that the query fixes to one
// value are left out: beside connection = 'a', PostgreSQL finds the place of key > 'k' in an index,
// but for (connection, key) > ('a', 'k') it reads from the beginning of 'a'.
func after(keys []sortKey, values []string, fixed map[string]bool) fragment {
	keys, values = slices.Clone(keys), slices.Clone(values)
	for i := len(keys) - 1; i >= 0; i-- {
		if fixed[keys[i].name] {
			keys, values = slices.Delete(keys, i, i+1), slices.Delete(values, i, i+1)
		}
	}
	if len(keys) == 0 { // the one row that the query can find was on the page before
		return fragment{"false", nil}
	}
	uniform := !slices.ContainsFunc(keys, func(k sortKey) bool { return k.desc != keys[0].desc })
	var names, marks []string
	var args []any
	for i, k := range keys {
		names, marks = append(names, k.field.sql), append(marks, placeholder+"::text::"+k.field.cast())
		args = append(args, values[i])
	}
	operator := func(k sortKey) string {
		if k.desc {
			return " < "
		}
		return " > "
	}
	if uniform {
		return fragment{"(" + strings.Join(names, ", ") + ")" + operator(keys[0]) + "(" + strings.Join(marks, ", ") + ")", args}
	}
	var alternatives []fragment
	for i, k := range keys {
		var equal []fragment
		for j := range i {
			equal = append(equal, fragment{names[j] + " = " + marks[j], args[j : j+1]})
		}
		alternatives = append(alternatives, join("and", append(equal, fragment{names[i] + operator(k) + marks[i], args[i : i+1]})...))
	}
	return join("or", alternatives...)
}

// pageToken is opaque to callers: the order values of the last row seen, and a digest that binds
// it to the request it came from.
type pageToken struct {
	Values []string `json:"v"`
	Digest uint64   `json:"d"`
}

// digest of everything that must stay the same from page to page, and of the values themselves, so
// that a token that was cut or altered is refused rather than misread.
func digest(noun, filter, order string, scope map[string]string, values []string) uint64 {
	hash := sha256.New()
	write := func(part string) {
		_ = binary.Write(hash, binary.BigEndian, uint64(len(part)))
		hash.Write([]byte(part))
	}
	write(noun)
	write(strings.TrimSpace(filter))
	write(order)
	for _, name := range slices.Sorted(maps.Keys(scope)) {
		write(name)
		write(scope[name])
	}
	write(strconv.Itoa(len(values)))
	for _, value := range values {
		write(value)
	}
	return binary.BigEndian.Uint64(hash.Sum(nil))
}

func (q *Query) token(values []string) string {
	encoded, err := json.Marshal(pageToken{values, digest(q.noun, q.source, orderSQL(q.keys), q.scope, values)})
	if err != nil { // strings and a number
		panic(fmt.Sprintf("encode page token: %v", err))
	}
	return base64.RawURLEncoding.EncodeToString(encoded)
}

func (q *Query) readToken(token string) ([]string, error) {
	bad := rpc.InvalidArgument("page_token", "it is not one that this method returned for the same filter and order").
		Do("repeat the request that the token came from with nothing but page_token (and page_size) changed, or start again without one")
	encoded, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return nil, bad
	}
	var parsed pageToken
	if err := json.Unmarshal(encoded, &parsed); err != nil {
		return nil, bad
	}
	if len(parsed.Values) != len(q.keys) || parsed.Digest != digest(q.noun, q.source, orderSQL(q.keys), q.scope, parsed.Values) {
		return nil, bad
	}
	for _, value := range parsed.Values {
		if strings.ContainsRune(value, 0) || !utf8.ValidString(value) {
			return nil, bad
		}
	}
	return parsed.Values, nil
}
