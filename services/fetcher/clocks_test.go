package fetcher

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"google.golang.org/protobuf/types/known/durationpb"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// On 29 March 2026 the clocks of London leap from 01:00 to 02:00, on 25 October they go back from 02:00 to 01:00.
func TestSchedulesOnTheDaysWhenTheClocksChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cron, from string
		want       []string // UTC
	}{
		"hourly by day, in spring": {"0 6-22 * * *", "2026-03-28T21:30:00Z", []string{
			"28 22:00", "29 05:00", "29 06:00"}},
		"hourly by day, in autumn": {"0 6-22 * * *", "2026-10-24T20:30:00Z", []string{
			"24 21:00", "25 06:00", "25 07:00"}},
		"daily in the hour that is left out: comes an hour later by the clock": {"30 1 * * *", "2026-03-28T00:00:00Z", []string{
			"28 01:30", "29 01:30", "30 00:30"}},
		"daily in the hour that comes twice: once": {"30 1 * * *", "2026-10-24T00:00:00Z", []string{
			"24 00:30", "25 00:30", "26 01:30"}},
		"every hour, in spring: nothing missing": {"0 * * * *", "2026-03-29T00:00:00Z", []string{
			"29 01:00", "29 02:00", "29 03:00"}},
		"every hour, in autumn: nothing missing": {"0 * * * *", "2026-10-24T23:30:00Z", []string{
			"25 00:00", "25 01:00", "25 02:00", "25 03:00"}},
		"every half hour, in autumn": {"*/30 * * * *", "2026-10-25T00:00:00Z", []string{
			"25 00:30", "25 01:00", "25 01:30", "25 02:00"}},
		"some hours, in spring": {"15 0-3 * * *", "2026-03-29T00:00:00Z", []string{
			"29 00:15", "29 01:15", "29 02:15", "29 23:15"}},
		"some hours, in autumn": {"15 0-3 * * *", "2026-10-24T23:00:00Z", []string{
			"24 23:15", "25 00:15", "25 02:15", "25 03:15", "26 00:15"}},
		"the minute at which they leap": {"0 1 * * *", "2026-03-28T12:00:00Z", []string{
			"29 01:00", "30 00:00"}},
	} {
		at, err := time.Parse(time.RFC3339, c.from)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for range c.want {
			if at, err = due(&connectionv1.Schedule{Cron: c.cron}, at, at); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			got = append(got, at.UTC().Format("02 15:04"))
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// An interval is time that passes, whatever the clocks show.
func TestIntervalsDoNotCareForClocks(t *testing.T) {
	t.Parallel()
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		t.Fatal(err)
	}
	for _, day := range []time.Time{time.Date(2026, 3, 29, 0, 0, 0, 0, zone), time.Date(2026, 10, 25, 0, 0, 0, 0, zone)} {
		at := day
		for range 5 {
			next, err := due(&connectionv1.Schedule{Interval: durationpb.New(time.Hour)}, at, at)
			if err != nil || next.Sub(at) != time.Hour {
				t.Errorf("after %s comes %s (%v)", at, next, err)
			}
			at = next.In(zone)
		}
	}
}
