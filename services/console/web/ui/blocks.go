package ui

// Tone colours what is good or bad. Colour never stands alone: a word says it too.
type Tone string

const (
	Plain Tone = ""
	Good  Tone = "good"
	Warn  Tone = "warn"
	Bad   Tone = "bad"
	Info  Tone = "info"
	Busy  Tone = "busy"
	Muted Tone = "muted"
)

// Tiles are figures to be seen at a glance.
type Tiles []Tile

// Tile is one figure. Href leads to what it counts.
type Tile struct {
	Label string
	Value any
	Note  any
	Tone  Tone
	Href  string
}

// Notice tells a person something: what happened, and what to do.
type Notice struct {
	Tone  Tone
	Title string
	Text  string
	// Items are single points, for example fields that are wrong.
	Items []string
	// Next says what to do.
	Next    string
	Actions []Button
}

// Definitions are names with values.
type Definitions []Definition

// Definition is one of them. Help explains the value.
type Definition struct {
	Term  string
	Value any
	Help  string
}

// Tabs are views of one thing; each is a page of its own.
type Tabs []Tab

// Tab is one of them; Count is shown unless nil.
type Tab struct {
	Title, Href string
	Count       any
	Current     bool
}

// Progress of something that goes on. A Total of 0 says that nobody knows how much there is.
type Progress struct {
	Label       string
	Done, Total int64
	Note        any
	Tone        Tone
}

// Steps of a procedure, in their order.
type Steps []Step

// Step is one of them. State is "done", "current" or "" for still to come.
type Step struct {
	Title, Text, Href string
	State             string
}

// Empty stands where there is nothing, and says how something comes to be there.
type Empty struct {
	Title, Text string
	Actions     []Button
}

// Confirm asks before something that cannot be undone, or that costs money: what happens, point by
// point, and a form to say yes.
type Confirm struct {
	Text         string
	Consequences []string
	Form         Form
}

func (Tiles) block() string       { return "tiles" }
func (Notice) block() string      { return "notice" }
func (Definitions) block() string { return "definitions" }
func (Tabs) block() string        { return "tabs" }
func (Progress) block() string    { return "progress" }
func (Steps) block() string       { return "steps" }
func (Empty) block() string       { return "empty" }
func (Confirm) block() string     { return "confirm" }

// Percent done, for people.
func (p Progress) Percent() int64 {
	if p.Total <= 0 {
		return 0
	}
	return min(p.Done*100/p.Total, 100)
}
