package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"seatline.dev/pkg/event"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// follow writes what happens from now on, one line each, until ctx ends or a service fails.
func (s *stack) follow(ctx context.Context, out io.Writer) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := s.wait(ctx); err != nil {
			return err
		}
		if ctx.Err() == nil {
			return errors.New("the services ended by themselves")
		}
		return nil
	})
	group.Go(func() error {
		return event.Subscribe(ctx, s.bus, event.SubscribeConfig{
			Log: true,
			Handler: func(_ context.Context, e event.Event) error {
				if line := sentence(e); line != "" {
					fmt.Fprintf(out, "%s  %s\n", e.Time.Local().Format(time.TimeOnly), line)
				}
				return nil
			},
			Malformed: func(string, error) {}, // an event of a newer version: not for people
		})
	})
	return group.Wait()
}

// sentence is an event of the log in words; empty when it says nothing to a person.
func sentence(e event.Event) string {
	switch e.Entity {
	case "run":
		var r runv1.Run
		if e.Unmarshal(&r) != nil {
			return ""
		}
		return runSentence(&r)
	case "change":
		var c itemv1.Change
		if e.Unmarshal(&c) != nil {
			return ""
		}
		return changeSentence(&c)
	default:
		return ""
	}
}

func runSentence(r *runv1.Run) string {
	s := r.GetSubscriptions()
	switch r.GetOutcome() {
	case runv1.Outcome_OUTCOME_RUNNING, runv1.Outcome_OUTCOME_UNSPECIFIED:
		return ""
	case runv1.Outcome_OUTCOME_SUCCEEDED:
		if s.GetNew()+s.GetChanged()+s.GetRemoved()+s.GetAbsent() == 0 {
			return fmt.Sprintf("run: %d subscriptions, nothing changed", s.GetSeen())
		}
		return fmt.Sprintf("run: %d subscriptions, %d new, %d changed, %d missing, %d removed", s.GetSeen(), s.GetNew(), s.GetChanged(), s.GetAbsent(), s.GetRemoved())
	default:
		return fmt.Sprintf("run %s: %s. %s", r.GetId(), word(r.GetOutcome().String(), "OUTCOME_"), r.GetReason().GetText())
	}
}

func changeSentence(c *itemv1.Change) string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s: %s", c.GetKind(), c.GetOutcome(), printable(c.GetTitle()))
	if c.GetAction() != "" && c.GetAction() != "none" {
		fmt.Fprintf(&text, " (%s)", c.GetAction())
	}
	for i, f := range c.GetChanges() {
		if i == 3 {
			fmt.Fprintf(&text, " and %d more", len(c.GetChanges())-i)
			break
		}
		fmt.Fprintf(&text, " %s %s→%s", f.GetField(), printable(f.GetBefore()), printable(f.GetAfter()))
	}
	if reason := c.GetReason().GetText(); reason != "" {
		fmt.Fprintf(&text, ": %s", printable(reason))
	}
	return text.String()
}

// printable keeps text from outside, such as names, from moving the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}

// word of an enum value as people write it.
func word(value, prefix string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(value, prefix)), "_", " ")
}
