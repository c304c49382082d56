package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"
)

// stages shows how far each stage of the work is: a bar per stage on a terminal, lines otherwise.
type stages interface {
	// set says how much of a stage is done; note is shown beside it.
	set(stage string, done, total int64, note string)
	// finish leaves the last picture standing.
	finish()
}

func newStages(ctx context.Context, out io.Writer) stages {
	if isTerminal(out) {
		return &bars{progress: mpb.NewWithContext(ctx, mpb.WithOutput(out), mpb.WithWidth(78), mpb.WithAutoRefresh(), mpb.WithRefreshRate(100*time.Millisecond)), bars: map[string]*bar{}}
	}
	return &lines{out: out, stages: map[string]*line{}, now: time.Now}
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return false
	}
	// One of unknown size, as some CI systems have, cannot be drawn on.
	width, height, err := term.GetSize(int(f.Fd()))
	return err == nil && width > 0 && height > 0
}

// bars are drawn on a terminal.
type bars struct {
	progress *mpb.Progress
	bars     map[string]*bar
}

type bar struct {
	*mpb.Bar
	mu   sync.Mutex
	note string
}

func (b *bars) set(stage string, done, total int64, note string) {
	x := b.bars[stage]
	if x == nil {
		x = &bar{}
		x.Bar = b.progress.New(0, mpb.BarStyle().Lbound("").Filler("█").Tip("█").Padding("░").Rbound(""),
			mpb.BarWidth(28),
			mpb.PrependDecorators(decor.Name(stage, decor.WC{W: 16, C: decor.DindentRight})),
			mpb.AppendDecorators(decor.CountersNoUnit("%d of %d", decor.WC{W: 14, C: decor.DindentRight}), decor.Any(func(decor.Statistics) string {
				x.mu.Lock()
				defer x.mu.Unlock()
				return " " + x.note
			})))
		b.bars[stage] = x
	}
	x.mu.Lock()
	x.note = note
	x.mu.Unlock()
	// Never complete before the end: an item may become pending again.
	x.SetTotal(max(total, done)+1, false)
	x.SetCurrent(done)
	x.SetTotal(max(total, done), false)
}

func (b *bars) finish() {
	for _, x := range b.bars {
		x.SetTotal(-1, true)
	}
	b.progress.Wait()
}

// lines are written where nothing can be drawn, at most one a stage every two seconds.
type lines struct {
	out    io.Writer
	stages map[string]*line
	order  []string
	now    func() time.Time
}

type line struct {
	text, written string
	at            time.Time
}

func (l *lines) set(stage string, done, total int64, note string) {
	x := l.stages[stage]
	if x == nil {
		x = &line{}
		l.stages[stage] = x
		l.order = append(l.order, stage)
	}
	x.text = fmt.Sprintf("%-16s %6d of %-6d %s", stage, done, max(total, done), note)
	if now := l.now(); now.Sub(x.at) >= 2*time.Second {
		l.write(x, now)
	}
}

func (l *lines) write(x *line, now time.Time) {
	if x.text != x.written {
		fmt.Fprintln(l.out, x.text)
		x.written, x.at = x.text, now
	}
}

func (l *lines) finish() {
	for _, stage := range l.order {
		l.write(l.stages[stage], l.now())
	}
}
