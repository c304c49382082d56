package web

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"seatline.dev/services/console/web/ui"
)

// streamLife ends a stream so that the browser opens another one, whose session is looked at anew.
const streamLife = 5 * time.Minute

// lineEnds makes every end of a line the same: a carriage return alone ends one too for a browser, and text from
// outside that holds one would cut the markup around it off.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n")

// stream answers what a ui.Live block asks: it sends the blocks that look returns whenever they differ
// from those sent before, until look says that it is the last time, or an error. next waits until it is
// worth looking again; see every.
func (v *visit) stream(next func(context.Context) error, look func(context.Context) (blocks []ui.Block, last bool, err error)) error {
	ctx, cancel := context.WithTimeout(v.ctx(), streamLife)
	defer cancel()
	defer context.AfterFunc(v.s.stopping, cancel)()
	out := http.NewResponseController(v.w)
	h := v.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("X-Accel-Buffering", "no") // proxies that buffer would make it pointless
	send := func(event, data string) error {
		if err := out.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		if event != "" {
			fmt.Fprintf(v.w, "event: %s\n", event)
		}
		for line := range strings.Lines(lineEnds.Replace(data)) {
			fmt.Fprintf(v.w, "data: %s\n", strings.TrimSuffix(line, "\n"))
		}
		if _, err := fmt.Fprint(v.w, "\n"); err != nil {
			return err
		}
		return out.Flush()
	}
	if err := send("", "open"); err != nil {
		return nil //nolint:nilerr // they went away
	}
	sent := ""
	for {
		blocks, last, err := look(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil { // the page stays as it is; whoever reloads is told
			blocks, last = []ui.Block{*ui.ErrorNotice(err)}, true
		}
		var html bytes.Buffer
		if err := v.s.ui.Blocks(&html, blocks, v.formToken()); err != nil {
			v.s.log.ErrorContext(ctx, "stream failed", "path", v.r.URL.Path, "err", err)
			return nil
		}
		if html.String() != sent {
			// What a session does not outlive, its streams do not either.
			if _, ok, err := v.s.store.Session(ctx, v.id, false); err != nil || !ok {
				return nil //nolint:nilerr // the browser asks anew, and is told then
			}
			if sent = html.String(); send("replace", sent) != nil {
				return nil
			}
		}
		if last {
			_ = send("end", "done")
			return nil
		}
		if next(ctx) != nil {
			return nil
		}
	}
}

// every waits for a while between two looks.
func every(d time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(d):
			return nil
		}
	}
}
