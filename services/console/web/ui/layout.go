package ui

// Layout is a whole page: its blocks, and what is around them on every page.
type Layout struct {
	// Title for the browser's tab; Header's is on the page.
	Title  string
	Header Header
	Blocks []Block
	// Flash is what the page before has to say.
	Flash []Notice

	Nav []NavGroup
	// Connections to choose from, and Home, where the one at hand begins.
	Connections []Option
	Home        string
	// Here is the page's own address, to come back to.
	Here string

	// Person who is signed in; empty: nobody is, and the page stands alone.
	Person, Role string
	// Theme is "light", "dark", or "" for what the system says.
	Theme string
}

// NavGroup is some pages under one heading.
type NavGroup struct {
	Title string
	Items []NavItem
}

// NavItem leads to a page.
type NavItem struct {
	Title, Href, Icon string
	Current           bool
}

// Header is the head of a page.
type Header struct {
	Title string
	// Lead says in a sentence what the page is for, or how things stand.
	Lead    any
	Crumbs  []Link
	Badges  []Badge
	Actions []Button
}

// Section is a panel with a heading.
type Section struct {
	Title   string
	Lead    any
	Actions []Button
	Blocks  []Block
}

// Split puts blocks side by side where there is room: the main ones, and what goes with them.
type Split struct{ Main, Side []Block }

// Paragraph of text.
type Paragraph struct{ Text any }

// List of short texts or values.
type List struct{ Items []any }

// Live shows Blocks and keeps them up to date: the script replaces them with what URL streams
// (visit.stream of package web). Without the script a link fetches the page anew, or leads to Otherwise.
type Live struct {
	URL       string
	Blocks    []Block
	Otherwise Link
}

func (Header) block() string    { return "header" }
func (Section) block() string   { return "section" }
func (Split) block() string     { return "split" }
func (Paragraph) block() string { return "paragraph" }
func (List) block() string      { return "list" }
func (Live) block() string      { return "live" }

// Actions are buttons in a line of their own.
type Actions struct{ Buttons []Button }

func (Actions) block() string { return "actions" }
