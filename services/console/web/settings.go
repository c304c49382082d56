package web

import (
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/console/web/ui"
)

// setting is one setting of a connection as a field of a form. The field's name is the setting's path in
// seatline.connection.v1.Connection, so that what the service says is wrong finds its field.
type setting struct {
	ui.Field
	// brief names it where it is only shown; empty: its label does.
	brief string
	// choices are values and words in turns, for a select or radio; help of a choice goes into explain.
	choices []string
	explain map[string]string
	// unit of a duration: the field holds how many of it.
	unit time.Duration
	// absentIsOn: a switch that is on unless it was switched off.
	absentIsOn bool
	// drawn is set for a field that is no setting itself: what it shows of a connection.
	drawn func(*connectionv1.Connection) string
}

// settings under one heading.
type settings struct {
	title, help string
	all         []setting
}

// draft is what stands in a form, by the names of its fields.
type draft map[string]string

func (s setting) secret() bool { return s.Kind == "password" }

// locate a setting in c; messages on the way are made where they are missing.
func locate(c *connectionv1.Connection, path string) (protoreflect.Message, protoreflect.FieldDescriptor) {
	m := c.ProtoReflect()
	for {
		name, rest, nested := strings.Cut(path, ".")
		f := m.Descriptor().Fields().ByName(protoreflect.Name(name))
		if !nested {
			return m, f
		}
		m, path = m.Mutable(f).Message(), rest
	}
}

// of is the setting as the form has it; a secret is never in a form.
func (s setting) of(c *connectionv1.Connection) string {
	switch {
	case s.secret():
		return ""
	case s.drawn != nil:
		return s.drawn(c)
	}
	m, f := locate(c, s.Name)
	has := m.Has(f)
	switch {
	case f.Kind() == protoreflect.BoolKind:
		if m.Get(f).Bool() || s.absentIsOn && !has {
			return "on"
		}
		return ""
	case f.Enum() != nil:
		if n := m.Get(f).Enum(); n != 0 && f.Enum().Values().ByNumber(n) != nil {
			return string(f.Enum().Values().ByNumber(n).Name())
		}
		return ""
	case s.unit != 0:
		if d, ok := m.Get(f).Message().Interface().(*durationpb.Duration); ok && has {
			return strconv.FormatFloat(float64(d.AsDuration())/float64(s.unit), 'f', -1, 64)
		}
		return ""
	case f.HasPresence() && !has:
		return ""
	default:
		return m.Get(f).String()
	}
}

// put sets it in c. Left empty it is as if it had never been set: the service fills in its default.
func (s setting) put(c *connectionv1.Connection, value string) *rpc.Violation {
	if s.secret() || s.drawn != nil {
		return nil
	}
	m, f := locate(c, s.Name)
	wrong := func(format string, args ...any) *rpc.Violation {
		return &rpc.Violation{Field: s.Name, Description: fmt.Sprintf(format, args...)}
	}
	switch {
	case f.Kind() == protoreflect.BoolKind:
		m.Set(f, protoreflect.ValueOfBool(value != ""))
	case value == "":
		m.Clear(f)
	case f.Enum() != nil:
		word := f.Enum().Values().ByName(protoreflect.Name(value))
		if word == nil {
			return wrong("%q is none of the choices: choose again", value)
		}
		m.Set(f, protoreflect.ValueOfEnum(word.Number()))
	case s.unit != 0:
		n, err := strconv.ParseFloat(value, 64)
		if err != nil || math.Abs(n*float64(s.unit)) > float64(100*365*24*time.Hour) || math.IsNaN(n) {
			return wrong("%q is not a number of %s", value, s.After)
		}
		m.Set(f, protoreflect.ValueOfMessage(durationpb.New(time.Duration(n*float64(s.unit))).ProtoReflect()))
	case f.Kind() == protoreflect.DoubleKind:
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return wrong("%q is not a number", value)
		}
		m.Set(f, protoreflect.ValueOfFloat64(n))
	case f.Kind() == protoreflect.Int32Kind:
		n, err := strconv.ParseInt(value, 10, 32)
		if err != nil {
			return wrong("%q is not a whole number", value)
		}
		m.Set(f, protoreflect.ValueOfInt32(int32(n)))
	case f.Kind() == protoreflect.Int64Kind:
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return wrong("%q is not a whole number", value)
		}
		m.Set(f, protoreflect.ValueOfInt64(n))
	default:
		m.Set(f, protoreflect.ValueOfString(value))
	}
	return nil
}

// field with a value in it.
func (s setting) field(value string) ui.Field {
	f := s.Field
	switch f.Kind {
	case "password":
	case "checkbox":
		f.Checked = value != ""
	case "select", "radio":
		f.Options = ui.Options(value, s.choices...)
		for i, o := range f.Options {
			f.Options[i].Help = s.explain[o.Value]
		}
	default:
		f.Value = value
	}
	return f
}

// words for a value, for people.
func (s setting) words(value string) string {
	if s.Kind == "checkbox" {
		return map[bool]string{true: "yes", false: "no"}[value != ""]
	}
	for i := 0; i+1 < len(s.choices); i += 2 {
		if s.choices[i] == value {
			return s.choices[i+1]
		}
	}
	if value != "" && s.After != "" {
		return value + " " + s.After
	}
	return value
}

// readSettings of a connection into a draft.
func readSettings(c *connectionv1.Connection, groups []settings) draft {
	c, d := proto.CloneOf(c), draft{}
	for _, g := range groups {
		for _, s := range g.all {
			d[s.Name] = s.of(c)
		}
	}
	return d
}

// postedSettings are the draft that was sent, without its secrets.
func postedSettings(v *visit, groups []settings) draft {
	d := draft{}
	for _, g := range groups {
		for _, s := range g.all {
			if !s.secret() {
				d[s.Name] = v.form(s.Name)
			}
		}
	}
	return d
}

// put a draft into a connection; what cannot be read is returned.
func (d draft) put(c *connectionv1.Connection, groups []settings) (wrong []rpc.Violation) {
	for _, g := range groups {
		for _, s := range g.all {
			if v := s.put(c, d[s.Name]); v != nil {
				wrong = append(wrong, *v)
			}
		}
	}
	return wrong
}

// fields of the form with the draft in them.
func (d draft) fields(groups []settings) []ui.Group {
	var out []ui.Group
	for _, g := range groups {
		group := ui.Group{Title: g.title, Help: g.help}
		for _, s := range g.all {
			group.Fields = append(group.Fields, s.field(d[s.Name]))
		}
		out = append(out, group)
	}
	return out
}

// encode for a hidden field: what the form showed when it was opened.
func (d draft) encode() string {
	values := url.Values{}
	for name, value := range d {
		values.Set(name, value)
	}
	return values.Encode()
}

func decodeDraft(text string) draft {
	d := draft{}
	values, err := url.ParseQuery(text)
	if err != nil {
		return d // all of it then counts as changed by both, which asks more than needed and loses nothing
	}
	for name := range values {
		d[name] = values.Get(name)
	}
	return d
}

// settingDifference is a setting that somebody else changed while a form was open.
type settingDifference struct {
	setting
	was, theirs, mine string
	// clash: the person changed it too, to something else.
	clash bool
}

// mergeSettings: what a person entered with what is stored now: each setting that only one of the two changed is
// as that one has it. Where both did, it is as the person entered it, and marked.
func mergeSettings(groups []settings, was, mine, theirs draft) (merged draft, differ []settingDifference) {
	merged = draft{}
	for _, g := range groups {
		for _, s := range g.all {
			if s.secret() {
				continue
			}
			x := settingDifference{setting: s, was: was[s.Name], theirs: theirs[s.Name], mine: mine[s.Name]}
			merged[s.Name] = x.mine
			if x.theirs == x.was {
				continue
			}
			if x.mine == x.was {
				merged[s.Name] = x.theirs
			}
			x.clash = x.mine != x.was && x.mine != x.theirs
			differ = append(differ, x)
		}
	}
	return merged, differ
}
