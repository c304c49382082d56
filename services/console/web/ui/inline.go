package ui

import (
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	itemv1 "seatline.dev/proto/seatline/item/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// Link leads somewhere; Out marks one that leaves the console, for example into Halo.
type Link struct {
	Text, Href string
	Out        bool
}

// Button is a link that looks like one, or with Post a form of one button.
type Button struct {
	Label string
	// Href is where it leads; with Post set it is where it posts.
	Href string
	Post bool
	// Send is what it posts: name and value in turns.
	Send []string
	// Kind: "primary", "danger", or "" for plain.
	Kind, Icon string
	Small      bool
	// For tells apart buttons of the same label, for those who hear them: "Remove" … "Harbour Dental".
	For string
}

// Sent is Send in pairs.
func (b Button) Sent() [][2]string {
	var out [][2]string
	for i := 0; i+1 < len(b.Send); i += 2 {
		out = append(out, [2]string{b.Send[i], b.Send[i+1]})
	}
	return out
}

// Badge is a state in a word. Title says more.
type Badge struct {
	Text  string
	Tone  Tone
	Title string
}

// Stack is a value with a smaller one below it.
type Stack struct{ Top, Under any }

// Beside sets values next to each other.
type Beside []any

// Quiet is a value that is not in the foreground.
type Quiet struct{ Value any }

// Mono is an id, a key, a SKU.
type Mono string

// Change of a value. Minor ones are folded away where there are others.
type Change struct {
	Field, Before, After string
	Minor                bool
}

// Time is a moment: "23 Nov 2026, 14:05", in the United Kingdom's time.
type Time struct {
	time.Time
	// Ago says it as "5 minutes ago" instead, with the moment as title.
	Ago string
}

// Changes of several fields; beyond a few they are folded away.
type Changes []Change

// folded is how many changes are shown at once; a fold for one more would be no shorter.
const folded = 3

// First and Rest are what is shown at once, and what is folded away.
func (c Changes) First() Changes { first, _ := c.split(); return first }
func (c Changes) Rest() Changes  { _, rest := c.split(); return rest }

func (c Changes) split() (first, rest Changes) {
	for _, x := range c {
		if x.Minor {
			rest = append(rest, x)
		} else {
			first = append(first, x)
		}
	}
	if len(first) == 0 {
		first, rest = rest, nil
	}
	if len(first) > folded+1 || len(first) == folded+1 && len(rest) > 0 {
		first, rest = first[:folded:folded], append(first[folded:len(first):len(first)], rest...)
	}
	return first, rest
}

// Pick is a checkbox of a row: what is picked goes with the form of that id. Label is for those who do not see the row.
type Pick struct {
	Name, Value, Form, Label string
	Checked                  bool
}

func (Pick) inline() string { return "pick" }

// Sentence puts values one after the other, as they are: words with an amount or a link among them.
type Sentence []any

func (Changes) inline() string  { return "changes" }
func (Sentence) inline() string { return "sentence" }
func (Link) inline() string     { return "link" }
func (Button) inline() string   { return "button" }
func (Badge) inline() string    { return "badge" }
func (Stack) inline() string    { return "stack" }
func (Beside) inline() string   { return "beside" }
func (Quiet) inline() string    { return "quiet" }
func (Mono) inline() string     { return "mono" }
func (Change) inline() string   { return "change" }
func (Time) inline() string     { return "time" }
func (Amount) inline() string   { return "amount" }

// When shows a timestamp; nil for one that is absent.
func When(t *timestamppb.Timestamp) any {
	if t == nil || t.AsTime().Unix() <= 0 {
		return nil
	}
	return Time{Time: t.AsTime()}
}

// Since shows how long ago a timestamp was.
func Since(t *timestamppb.Timestamp, now time.Time) any {
	if t == nil || t.AsTime().Unix() <= 0 {
		return nil
	}
	return Time{Time: t.AsTime(), Ago: Ago(t.AsTime(), now)}
}

// ISO is the moment for machines.
func (t Time) ISO() string { return t.UTC().Format(time.RFC3339) }

// Text is the moment for people.
func (t Time) Text() string { return DateTime(t.Time) }

// State of an item as a badge.
func State(s itemv1.State) Badge {
	word := Word(s.String(), "STATE_")
	switch s {
	case itemv1.State_STATE_IN_SYNC:
		return Badge{Text: word, Tone: Good, Title: "Halo holds what it should"}
	case itemv1.State_STATE_PENDING:
		return Badge{Text: word, Tone: Info, Title: "Is being written, or will be as soon as it may"}
	case itemv1.State_STATE_APPLYING:
		return Badge{Text: word, Tone: Busy, Title: "Whether Halo took the last write is being found out"}
	case itemv1.State_STATE_PARKED:
		return Badge{Text: word, Tone: Muted, Title: "Waits for something that comes by itself"}
	case itemv1.State_STATE_HELD:
		return Badge{Text: word, Tone: Warn, Title: "Waits for a person"}
	case itemv1.State_STATE_FAILED:
		return Badge{Text: word, Tone: Bad, Title: "Halo refused it"}
	default:
		return Badge{Text: word, Tone: Muted}
	}
}

// Outcome of a run as a badge.
func Outcome(o runv1.Outcome) Badge {
	word := Word(o.String(), "OUTCOME_")
	switch o {
	case runv1.Outcome_OUTCOME_RUNNING:
		return Badge{Text: word, Tone: Busy}
	case runv1.Outcome_OUTCOME_SUCCEEDED:
		return Badge{Text: word, Tone: Good}
	case runv1.Outcome_OUTCOME_HELD:
		return Badge{Text: word, Tone: Warn, Title: "A guard rail waits for a person; nothing of the run was published"}
	case runv1.Outcome_OUTCOME_INCOMPLETE:
		return Badge{Text: word, Tone: Warn, Title: "Imported, but not all came: nothing was counted as missing"}
	case runv1.Outcome_OUTCOME_REJECTED:
		return Badge{Text: word, Tone: Muted}
	default:
		return Badge{Text: word, Tone: Bad}
	}
}

// Word of an enum's value: "STATE_IN_SYNC" is "In sync".
func Word(name, prefix string) string {
	text := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, prefix), "_", " "))
	if text == "" || text == "unspecified" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}

// Lines of values below each other.
type Lines []any

func (Lines) inline() string { return "lines" }
