package fetcher

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/adhocore/gronx"

	"seatline.dev/pkg/connections"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// Defaults of a schedule that names neither interval nor cron.
const (
	defaultCron = "0 6-22 * * *"
	defaultZone = "Europe/London"
)

// due says when a connection's next scheduled run is: the first time of its schedule after last, its last scheduled run,
// or after since when there was none. An interval without any run yet is due at once. However many times were missed,
// they are one run.
func due(s *connectionv1.Schedule, last, since time.Time) (time.Time, error) {
	if every := s.GetInterval().AsDuration(); every > 0 {
		if last.IsZero() {
			return since, nil
		}
		return last.Add(every), nil
	}
	name, expr := s.GetTimeZone(), s.GetCron()
	if name == "" {
		name = defaultZone
	}
	if expr == "" {
		expr = defaultCron
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return time.Time{}, fmt.Errorf("time zone %q of the schedule is not known: use an IANA name such as Europe/London", name)
	}
	if last.IsZero() {
		last = since
	}
	next, err := tick(expr, last.In(zone))
	if err != nil {
		return time.Time{}, fmt.Errorf("cron expression %q of the schedule never comes about or cannot be read: %w", expr, err)
	}
	return next, nil
}

// tick is the first time of a cron expression after last, on the clocks of last's zone. On the days on which these
// change nothing is left out and nothing done twice: a time that the clocks leap over comes as much later as they leap,
// and of a time that they show twice the first counts. Only where the expression means every hour, both count.
//
// gronx reckons on clocks that never change; what these show is turned into time here.
func tick(expr string, last time.Time) (time.Time, error) {
	zone, hourly := last.Location(), false
	if fields := strings.Fields(expr); len(fields) == 5 {
		hourly = strings.HasPrefix(fields[1], "*")
	}
	shown := onClock(last)
	for {
		var err error
		if shown, err = gronx.NextTickAfter(expr, shown, false); err != nil {
			return time.Time{}, err
		}
		first, second := instants(shown, zone)
		switch {
		case first.After(last):
			if back, ok := putBack(last, first); ok && hourly { // the same hour once more, before that
				again, err := gronx.NextTickAfter(expr, onClock(back).Add(-time.Second), false)
				if _, at := instants(again, zone); err == nil && at.After(last) && at.Before(first) {
					return at, nil
				}
			}
			return first, nil
		case hourly && second.After(last):
			return second, nil
		}
	}
}

// onClock is what the clocks show at t, as a time on clocks that never change.
func onClock(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, time.UTC)
}

// instants are the first and the last time at which the clocks of zone show something: mostly one, two when they were
// put back. What they never show, having leapt over it, comes as much later.
func instants(shown time.Time, zone *time.Location) (first, last time.Time) {
	at := func(beside time.Duration) time.Time {
		_, offset := shown.Add(beside).In(zone).Zone()
		return shown.Add(-time.Duration(offset) * time.Second).In(zone)
	}
	first, last = at(-24*time.Hour), at(24*time.Hour) // by the clocks before, and after
	if !onClock(last).Equal(shown) {
		last = first
	} else if !onClock(first).Equal(shown) {
		first = last
	}
	return first, last
}

// putBack is when the clocks were put back between two times, if they were.
func putBack(from, to time.Time) (time.Time, bool) {
	_, before := from.Zone()
	if _, after := to.Zone(); after >= before {
		return time.Time{}, false
	}
	for to.Sub(from) > time.Second {
		middle := from.Add(to.Sub(from) / 2)
		if _, offset := middle.Zone(); offset == before {
			from = middle
		} else {
			to = middle
		}
	}
	return to.Truncate(time.Second), true
}

// schedule starts what is due until ctx ends. All replicas do; the connection's lock lets one of them run.
func (f *fetcher) schedule(ctx context.Context) error {
	tick := f.Clock.NewTicker(f.Tick)
	defer tick.Stop()
	complained := map[string]string{}
	for {
		if err := f.startDue(ctx, complained); err != nil && ctx.Err() == nil {
			f.Log.Warn("scheduled runs could not be started, trying again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.Chan():
		}
	}
}

func (f *fetcher) startDue(ctx context.Context, complained map[string]string) error {
	all, err := connections.All(ctx, f.Pool)
	if err != nil {
		return err
	}
	if err := f.interrupted(ctx); err != nil {
		return err
	}
	for _, c := range all {
		if !c.GetEnabled() || !c.GetSchedule().GetEnabled() {
			continue
		}
		next, err := f.nextRun(ctx, c)
		if err != nil {
			if complained[c.GetSlug()] != err.Error() {
				complained[c.GetSlug()] = err.Error()
				f.Log.Error("connection is not polled", "connection", c.GetSlug(), "err", err)
			}
			continue
		}
		if next.IsZero() || next.After(f.Clock.Now()) {
			continue
		}
		_, err = f.start(ctx, c, order{scheduled: true, due: next, customers: c.GetSchedule().GetCustomers(), subscriptions: c.GetSchedule().GetSubscriptions()})
		if err != nil && !errors.Is(err, errNotNow) {
			return err
		}
	}
	return nil
}

// nextRun is when the connection's schedule comes round, the zero Time while a run is open: one at a time, and what a
// held one found must be decided before more is found.
func (f *fetcher) nextRun(ctx context.Context, c *connectionv1.Connection) (time.Time, error) {
	last, err := lastScheduled(ctx, f.Pool, c.GetSlug())
	if err != nil || last.open {
		return time.Time{}, err
	}
	since := f.began
	if t := c.GetCreateTime(); t != nil {
		since = t.AsTime()
	}
	next, err := due(c.GetSchedule(), last.start, since)
	if err == nil && last.retryAt.After(next) {
		next = last.retryAt
	}
	return next, err
}
