package giacom

import (
	"context"
	"fmt"
	"slices"
)

// Pull says what one list gave and whether it was the whole of it.
type Pull struct {
	// Complete is true only if every page came, nothing looked short and no row lacked an id. Only then does the absence
	// of a row mean anything.
	Complete bool
	// Reason says, for a person, why the pull is not complete.
	Reason string
	Pages  int
	// Rows with a readable id, among them Bad ones with something else that could not be read. A row may come twice; it
	// is counted twice.
	Rows, Bad int
	// NoID counts rows without a readable id; they are not handed on.
	NoID int
	// LeftToReport counts Microsoft rows of the other feed that [MethodBoth] takes from the report.
	LeftToReport int
}

// and joins the pulls of two lists into one.
func (p Pull) and(o Pull) Pull {
	sum := Pull{
		Complete: p.Complete && o.Complete, Reason: p.Reason, Pages: p.Pages + o.Pages, Rows: p.Rows + o.Rows,
		Bad: p.Bad + o.Bad, NoID: p.NoID + o.NoID, LeftToReport: p.LeftToReport + o.LeftToReport,
	}
	if sum.Reason == "" {
		sum.Reason = o.Reason
	}
	return sum
}

// maxPages ends a pull from a server that always has one page more.
const maxPages = 100_000

// pull reads all pages of f. Rows may be handed on more than once, when a page had to be fetched again or came twice: the
// last one counts.
func (c *Client) pull(ctx context.Context, f feed) (Pull, error) {
	var sum tally
	var seen position
	for n := 1; ; n++ {
		t, total, err := c.page(ctx, f, n, sum.elements)
		if err != nil {
			return Pull{Pages: n - 1, Rows: sum.rows, Bad: sum.bad, NoID: sum.noID, LeftToReport: sum.left, Reason: err.Error()}, err
		}
		next := seen.after(c.cfg.PageSize, t, total)
		if !next.repeated {
			sum.add(t)
			if f.end != nil {
				f.end()
			}
		}
		if next.more && n < maxPages {
			continue
		}
		if next.more {
			next.reason = fmt.Sprintf("%s still gave rows after %d pages", f.path, n)
		}
		if next.reason == "" && sum.noID > 0 {
			next.reason = fmt.Sprintf("%d rows of %s have no readable id, so nobody knows which were seen", sum.noID, f.path)
		}
		return Pull{
			Complete: next.reason == "", Reason: next.reason, Pages: n,
			Rows: sum.rows, Bad: sum.bad, NoID: sum.noID, LeftToReport: sum.left,
		}, nil
	}
}

// position is what the pages read so far imply about the next.
type position struct {
	firsts         []string // identity of each page's first row; the first and the last page's suffice
	elements, rows int64
	total          int64
	page           int
}

type decision struct {
	more     bool
	repeated bool   // this page was an earlier one again
	reason   string // why the pull is not complete, if it ends here
}

// after decides what follows a page. It is pure but for remembering the page in p.
//
//   - A page whose first row was an earlier page's first: the page argument is ignored. Not complete.
//   - A total: go on until it is reached, whatever the page sizes; an empty page before that, or a total that changed
//     between two pages, is not complete.
//   - No total: a full page is followed by another. So is a short one whose length is a usual cap, since the server may
//     have capped what we asked for; if that next page is empty, the pull is complete.
func (p *position) after(asked int, t tally, total int64) decision {
	p.page++
	if p.page > 1 && t.first != "" && slices.Contains(p.firsts, t.first) {
		return decision{repeated: true, reason: fmt.Sprintf(
			"page %d repeats an earlier page, so rows beyond the first %d may be missing; correct the page argument, or ask for larger pages", p.page, p.elements)}
	}
	if p.page > 1 && total != p.total {
		return decision{reason: fmt.Sprintf("the total changed from %d to %d while the pages were read", p.total, total)}
	}
	p.total = total
	p.elements += int64(t.elements)
	p.rows += int64(t.rows + t.left)
	if len(p.firsts) > 1 {
		p.firsts = p.firsts[:1]
	}
	p.firsts = append(p.firsts, t.first)

	// Whether pages and totals count customer blocks or subscriptions in the report is not known: either will do.
	most := max(t.elements, t.rows)
	full := most >= asked
	if total >= 0 {
		reached := p.elements >= total || p.rows >= total
		switch {
		case reached && full && total == int64(asked): // perhaps the page's count rather than the whole's
			return decision{more: true}
		case reached:
			return decision{}
		case t.elements == 0:
			return decision{reason: fmt.Sprintf("Giacom counts %d rows and gave %d", total, p.elements)}
		}
		return decision{more: true}
	}
	if t.elements == 0 {
		return decision{}
	}
	return decision{more: full || usualCap(t.elements)}
}

// usualCap recognises lengths at which servers cut pages.
func usualCap(n int) bool {
	return slices.Contains([]int{10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 2500}, n)
}
