package connectionfile

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// pair is a field of a mapping.
type pair struct {
	key   string
	node  ast.Node // where it stands
	value ast.Node
}

// follow looks through anchors, aliases and tags.
func (r *reader) follow(n ast.Node) ast.Node {
	for range 100 { // an alias within its own anchor ends somewhere
		switch x := n.(type) {
		case *ast.AnchorNode:
			name, _ := text(x.Name)
			r.anchors[name] = x.Value
			n = x.Value
		case *ast.AliasNode:
			name, _ := text(x.Value)
			n = r.anchors[name]
		case *ast.TagNode:
			n = x.Value
		default:
			return n
		}
	}
	return nil
}

// mapping reads the fields of n, which must be a mapping without repeated keys.
func (r *reader) mapping(n ast.Node, path string) ([]pair, bool) {
	var values []*ast.MappingValueNode
	switch m := r.follow(n).(type) {
	case *ast.MappingNode:
		values = m.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{m}
	default:
		r.fail(n, path, "must hold fields, each as \"name: value\"")
		return nil, false
	}
	var pairs []pair
	for _, v := range values {
		key, ok := text(v.Key)
		if !ok {
			r.fail(v, path, "a field's name must be plain text; merging with << is not supported")
			continue
		}
		pairs = append(pairs, pair{key, v.Key, v.Value})
	}
	return pairs, true
}

// fields sets the fields of m. extra are names that are possible beside them, for messages.
func (r *reader) fields(m protoreflect.Message, pairs []pair, path string, extra ...string) {
	known := m.Descriptor().Fields()
	seen := map[protoreflect.Name]bool{}
	for _, p := range pairs {
		at := strings.TrimPrefix(path+"."+p.key, ".")
		field := known.ByName(protoreflect.Name(p.key))
		if field == nil {
			field = known.ByJSONName(p.key)
		}
		if field == nil {
			r.fail(p.node, at, "does not exist; there are: %s", names(known, extra))
			continue
		}
		if seen[field.Name()] {
			r.fail(p.node, at, "is given twice")
			continue
		}
		seen[field.Name()] = true
		if one := field.ContainingOneof(); one != nil && !one.IsSynthetic() {
			if other := m.WhichOneof(one); other != nil {
				r.fail(p.node, at, "stands beside %s: choose one of the two", other.Name())
				continue
			}
		}
		if _, empty := r.follow(p.value).(*ast.NullNode); empty {
			continue // "name:" alone leaves the field out
		}
		if field.IsList() {
			r.list(m, field, p.value, at)
		} else if v, ok := r.value(m.NewField(field), field, p.value, at); ok {
			m.Set(field, v)
		}
	}
}

func (r *reader) list(m protoreflect.Message, field protoreflect.FieldDescriptor, n ast.Node, at string) {
	switch s := r.follow(n).(type) {
	case *ast.SequenceNode:
		list := m.Mutable(field).List()
		for i, entry := range s.Values {
			if v, ok := r.value(list.NewElement(), field, entry, at+"["+strconv.Itoa(i)+"]"); ok {
				list.Append(v)
			}
		}
	case *ast.NullNode:
	default:
		r.fail(n, at, "must be a list")
	}
}

// value reads a single value; empty is a new one of the field's type, which messages are read into.
func (r *reader) value(empty protoreflect.Value, field protoreflect.FieldDescriptor, n ast.Node, at string) (v protoreflect.Value, ok bool) {
	if field.Kind() == protoreflect.MessageKind {
		return r.message(empty, n, at)
	}
	s, ok := text(r.follow(n))
	if !ok {
		r.fail(n, at, "must be a single value")
		return v, false
	}
	var err error
	switch field.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(s), true
	case protoreflect.BoolKind:
		if s == "true" || s == "false" {
			return protoreflect.ValueOfBool(s == "true"), true
		}
		r.fail(n, at, "%q is neither true nor false", s)
		return v, false
	case protoreflect.EnumKind:
		return r.word(field.Enum(), n, s, at)
	case protoreflect.Int32Kind:
		var i int64
		if i, err = strconv.ParseInt(s, 10, 32); err == nil {
			return protoreflect.ValueOfInt32(int32(i)), true
		}
		r.fail(n, at, "%q is no whole number", s)
	case protoreflect.Int64Kind:
		var i int64
		if i, err = strconv.ParseInt(s, 10, 64); err == nil {
			return protoreflect.ValueOfInt64(i), true
		}
		r.fail(n, at, "%q is no whole number", s)
	case protoreflect.DoubleKind:
		var f float64
		if f, err = strconv.ParseFloat(s, 64); err == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return protoreflect.ValueOfFloat64(f), true
		}
		r.fail(n, at, "%q is no number", s)
	default:
		r.fail(n, at, "cannot be set in a file")
	}
	return v, false
}

func (r *reader) message(empty protoreflect.Value, n ast.Node, at string) (protoreflect.Value, bool) {
	name := empty.Message().Descriptor().FullName()
	if name != "google.protobuf.Duration" && name != "google.protobuf.Timestamp" {
		pairs, ok := r.mapping(n, at)
		if ok {
			r.fields(empty.Message(), pairs, at)
		}
		return empty, ok
	}
	s, ok := text(r.follow(n))
	var m proto.Message
	if name == "google.protobuf.Duration" {
		d, err := time.ParseDuration(s)
		if !ok || err != nil {
			r.fail(n, at, "must be a duration, such as 30s, 90m or 6h")
			return empty, false
		}
		m = durationpb.New(d)
	} else {
		t, err := time.Parse(time.RFC3339Nano, s)
		if !ok || err != nil {
			r.fail(n, at, "must be a time, such as 2026-01-31T12:00:00Z")
			return empty, false
		}
		m = timestamppb.New(t)
	}
	return protoreflect.ValueOfMessage(m.ProtoReflect()), true
}

// word finds an enum's value by its full name, or without its prefix, in either case and with spaces,
// hyphens or underscores.
func (r *reader) word(enum protoreflect.EnumDescriptor, n ast.Node, s, at string) (protoreflect.Value, bool) {
	want := strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToUpper(s))
	var words []string
	prefix := strings.TrimSuffix(string(enum.Values().ByNumber(0).Name()), "UNSPECIFIED")
	for i := range enum.Values().Len() {
		value := enum.Values().Get(i)
		short := strings.TrimPrefix(string(value.Name()), prefix)
		if want == short || want == string(value.Name()) {
			return protoreflect.ValueOfEnum(value.Number()), true
		}
		if value.Number() != 0 {
			words = append(words, strings.ToLower(short))
		}
	}
	r.fail(n, at, "%q is none of: %s", s, strings.Join(words, ", "))
	return protoreflect.Value{}, false
}

func names(fields protoreflect.FieldDescriptors, extra []string) string {
	all := slices.Clone(extra)
	for i := range fields.Len() {
		all = append(all, string(fields.Get(i).Name()))
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
