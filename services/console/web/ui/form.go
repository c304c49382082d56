package ui

import (
	"strings"

	"seatline.dev/pkg/rpc"
)

// Form sends what a person entered, by POST unless Get is set. The token against forged requests is
// put in by itself.
type Form struct {
	// ID, where a [Pick] elsewhere on the page belongs to it.
	ID     string
	Action string
	Get    bool
	Groups []Group
	Submit string
	Danger bool
	// Cancel is where one goes instead; empty: nowhere.
	Cancel string
	// Others are further submit buttons; their Name and Value are sent.
	Others []Submit
	// Upload lets fields of kind "file" send their files.
	Upload bool
	// Compact sets a short form in one line.
	Compact bool
}

// Submit is a further submit button.
type Submit struct{ Label, Name, Value string }

// Group of fields under a heading; both texts may be empty.
type Group struct {
	Title, Help string
	Fields      []Field
}

// Field of a form.
type Field struct {
	Name, Label string
	// Kind: text (default), password, email, url, number, search, date, file, textarea, select, radio,
	// checkbox, hidden.
	Kind  string
	Value string
	// Checked is a checkbox's state; its Value defaults to "on".
	Checked bool
	Options []Option
	Help    string
	// Error says what is wrong with the value, and how it would be right.
	Error                            string
	Required, Disabled, Wide, Auto   bool // Auto: choosing sends the form, where there is the script
	Placeholder, Autocomplete, After string
	Rows                             int // of a textarea
	Min, Max, Step                   string
	// ID defaults to the name; set it where a page has the name twice.
	ID string
}

// Option to choose.
type Option struct {
	Value, Label, Help string
	Selected           bool
}

// Options makes options of value and label in turns, with one selected.
func Options(selected string, pairs ...string) []Option {
	var out []Option
	for i := 0; i+1 < len(pairs); i += 2 {
		out = append(out, Option{Value: pairs[i], Label: pairs[i+1], Selected: pairs[i] == selected})
	}
	return out
}

func (Form) block() string { return "form" }

// Key is the field's id.
func (f Field) Key() string {
	if f.ID != "" {
		return f.ID
	}
	return "f-" + strings.ReplaceAll(f.Name, ".", "-")
}

// Input is the type of the input element.
func (f Field) Input() string {
	if f.Kind == "" {
		return "text"
	}
	return f.Kind
}

// Fields is a form of one group.
func Fields(fields ...Field) []Group { return []Group{{Fields: fields}} }

// Wrong puts what a service says is wrong to the fields it is about: the violation "giacom.api_key" to
// the field of that name, or to one that ends in it. What belongs to no field is returned as well.
func (f Form) Wrong(err error) (Form, *Notice) {
	e, ok := rpc.ErrorFrom(err)
	if !ok {
		return f, ErrorNotice(err)
	}
	groups := make([]Group, len(f.Groups))
	left := []string{}
	for i, g := range f.Groups {
		groups[i] = g
		groups[i].Fields = append([]Field(nil), g.Fields...)
	}
	for _, v := range e.Violations {
		if field := find(groups, v.Field); field != nil {
			field.Error = v.Description
		} else {
			left = append(left, v.Field+": "+v.Description)
		}
	}
	f.Groups = groups
	if len(e.Violations) == 0 {
		return f, ErrorNotice(err)
	}
	return f, &Notice{Tone: Bad, Title: "Not saved yet", Text: "Some of it is not right; the fields below say what.", Items: left, Next: e.Next}
}

func find(groups []Group, name string) *Field {
	for _, exact := range []bool{true, false} {
		for i := range groups {
			for j := range groups[i].Fields {
				field := &groups[i].Fields[j]
				if field.Name == name || !exact && (strings.HasSuffix(name, "."+field.Name) || strings.HasSuffix(field.Name, "."+name)) {
					return field
				}
			}
		}
	}
	return nil
}
