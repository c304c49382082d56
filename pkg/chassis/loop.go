package chassis

import (
	"context"
	"time"
)

// Wake wakes a loop that waits.
type Wake chan struct{}

// NewWake returns a Wake for one loop.
func NewWake() Wake { return make(Wake, 1) }

// Nudge wakes the loop, or has it turn once more when it is at work. One nudge is as good as many.
func (w Wake) Nudge() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// Loop returns a loop that takes step after step until its context ends: at once again while a step
// finds something to do, else when it is woken (wake may be nil) or after every. What a step cannot do
// is logged as what, and tried again.
func (e Env) Loop(what string, wake Wake, every time.Duration, step func(context.Context) (did int, err error)) func(context.Context) error {
	return func(ctx context.Context) error {
		for {
			did, err := step(ctx)
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				e.Log.ErrorContext(ctx, what, "err", err)
			}
			if did > 0 && err == nil {
				continue
			}
			select {
			case <-ctx.Done():
				return nil
			case <-wake:
			case <-e.Clock.After(every):
			}
		}
	}
}
