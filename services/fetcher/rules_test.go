package fetcher

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

func TestDue(t *testing.T) {
	t.Parallel()
	at := func(s string) time.Time {
		t.Helper()
		v, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	for name, c := range map[string]struct {
		schedule         *connectionv1.Schedule
		last, since, due string
	}{
		"an interval begins at once":          {&connectionv1.Schedule{Interval: durationpb.New(time.Hour)}, "", "2026-01-05T06:10:00Z", "2026-01-05T06:10:00Z"},
		"an interval goes on":                 {&connectionv1.Schedule{Interval: durationpb.New(time.Hour)}, "2026-01-05T06:10:00Z", "2026-01-01T00:00:00Z", "2026-01-05T07:10:00Z"},
		"the default is hourly by day":        {&connectionv1.Schedule{}, "2026-01-05T06:00:00Z", "2026-01-01T00:00:00Z", "2026-01-05T07:00:00Z"},
		"the default sleeps at night":         {&connectionv1.Schedule{}, "2026-01-05T22:00:00Z", "2026-01-01T00:00:00Z", "2026-01-06T06:00:00Z"},
		"six in London, in summer":            {&connectionv1.Schedule{}, "2026-07-05T21:00:00Z", "2026-01-01T00:00:00Z", "2026-07-06T05:00:00Z"},
		"a cron waits for its first time":     {&connectionv1.Schedule{Cron: "30 5 * * *"}, "", "2026-01-05T06:10:00Z", "2026-01-06T05:30:00Z"},
		"another zone":                        {&connectionv1.Schedule{Cron: "0 5 * * *", TimeZone: "America/New_York"}, "2026-01-05T12:00:00Z", "2026-01-01T00:00:00Z", "2026-01-06T10:00:00Z"},
		"what was missed is one run":          {&connectionv1.Schedule{}, "2026-01-05T06:00:00Z", "2026-01-01T00:00:00Z", "2026-01-05T07:00:00Z"},
		"an hour that summer time leaves out": {&connectionv1.Schedule{Cron: "30 1 * * *"}, "2026-03-28T01:30:00Z", "2026-01-01T00:00:00Z", "2026-03-29T01:30:00Z"},
	} {
		var last time.Time
		if c.last != "" {
			last = at(c.last)
		}
		got, err := due(c.schedule, last, at(c.since))
		if err != nil || !got.Equal(at(c.due)) {
			t.Errorf("%s: %v %v, want %s", name, got.UTC(), err, c.due)
		}
	}
	for _, s := range []*connectionv1.Schedule{{Cron: "never"}, {TimeZone: "Mars/Olympus"}, {Cron: "0 0 31 2 *"}} {
		if got, err := due(s, at("2026-01-05T06:00:00Z"), at("2026-01-05T06:00:00Z")); err == nil {
			t.Errorf("%v is due at %v", s, got)
		}
	}
}

func TestGuardDefaults(t *testing.T) {
	t.Parallel()
	r := rulesOf(&connectionv1.Connection{})
	if r.confirmations != 2 || r.interval != time.Hour || r.maxRemovals != 3 || r.maxPercent != 2 {
		t.Errorf("%+v", r)
	}
	for name, c := range map[string]struct {
		s    shrinkage
		code string
	}{
		"nothing":                      {shrinkage{live: 10}, ""},
		"three of ten":                 {shrinkage{live: 10, ended: 3}, ""},
		"four of ten":                  {shrinkage{live: 10, ended: 4}, "too_many_removals"},
		"twenty of a thousand":         {shrinkage{live: 1000, ended: 20}, ""},
		"twenty-one of a thousand":     {shrinkage{live: 1000, ended: 21}, "too_many_removals"},
		"one of ten, a whole customer": {shrinkage{live: 10, ended: 1, gone: 1, goneNames: []string{"A"}}, "customer_vanished"},
	} {
		if got := r.hold(c.s).GetCode(); got != c.code {
			t.Errorf("%s: %q, want %q", name, got, c.code)
		}
	}
}
