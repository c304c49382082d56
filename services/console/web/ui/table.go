package ui

// Table of rows; on a phone each row is a card.
type Table struct {
	// Caption names the table for those who do not see it.
	Caption string
	Columns []Column
	Rows    []Row
	// Empty is shown instead of a table without rows.
	Empty Empty
	Pager Pager
}

// Column of a table.
type Column struct {
	Title string
	// Num sets figures flush right.
	Num bool
	// Wide lets the column take what room there is.
	Wide bool
	// Name keeps names of people and companies from being squeezed to a word a line.
	Name bool
	// Sort is where ordering by the column leads; empty: it cannot be ordered by.
	Sort string
	// Sorted is "ascending" or "descending" when the rows are ordered by it now.
	Sorted string
}

// Row has a cell for each column; see Inline for what a cell may be.
type Row struct {
	Cells []any
	Tone  Tone
}

// Pager leads to other pages of a list. Lists are read page by page, and how many there are is not
// known.
type Pager struct {
	First, Next string
	// Note says what is shown, for example "100 of 2,011".
	Note string
}

// Filter narrows a list: a form that asks by GET, so that what it finds has an address.
type Filter struct {
	Action string
	Fields []Field
	// Clear is where no filter is set; empty when none is.
	Clear string
}

func (Table) block() string  { return "table" }
func (Filter) block() string { return "filter" }
func (Pager) block() string  { return "pager" }
