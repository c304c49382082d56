package fetcher_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

// proves makes one miss proof, and keeps the guards.
func proves(c *connectionv1.Connection) {
	c.Guards = &connectionv1.Guards{RemovalConfirmations: 1, RemovalInterval: durationpb.New(0)}
}

func TestARunThatTakesTooMuchIsHeldBeforeAnythingIsPublished(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		guards func(*connectionv1.Connection)
		gone   []string
		cancel []string
		code   string // of the hold; empty: not held
	}{
		"three of many":                       {guards: proves, gone: []string{"s0001", "s0003", "s0005"}},
		"four, more than 2 %":                 {guards: proves, gone: []string{"s0001", "s0003", "s0005", "s0007"}, code: "too_many_removals"},
		"four cancelled":                      {guards: proves, cancel: []string{"s0001", "s0003", "s0005", "s0007"}, code: "too_many_removals"},
		"four, all allowed":                   {guards: oneMissProves, gone: []string{"s0001", "s0003", "s0005", "s0007"}},
		"a whole customer":                    {guards: proves, gone: []string{"s0001", "s0002"}, code: "customer_vanished"},
		"a customer: one gone, one cancelled": {guards: proves, gone: []string{"s0001"}, cancel: []string{"s0002"}, code: "customer_vanished"},
		"a whole customer cancelled":          {guards: proves, cancel: []string{"s0001", "s0002"}},
		"a whole customer, allowed":           {guards: oneMissProves, gone: []string{"s0001", "s0002"}},
		"not proven yet":                      {guards: func(*connectionv1.Connection) {}, gone: []string{"s0001", "s0002", "s0003", "s0004"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t).configure(c.guards).estate(10, 2)
			w.succeeded(w.poll())
			before := w.published()
			for _, id := range c.gone {
				w.must(w.sim.Remove(id))
			}
			for _, id := range c.cancel {
				w.must(w.sim.Cancel(id))
			}
			w.must(w.sim.SetSeats("s0020", 500))
			run := w.poll()
			if c.code == "" {
				w.succeeded(run)
				return
			}
			w.want(run, runv1.Outcome_OUTCOME_HELD)
			if run.Reason.Code != c.code || run.EndTime != nil {
				t.Errorf("run: %v", run)
			}
			if c.code == "customer_vanished" && !strings.Contains(run.Reason.Text, "Customer MEX001") {
				t.Errorf("the reason does not name the customer: %s", run.Reason.Text)
			}
			for key, now := range w.published() {
				if now.Event.ID != before[key].Event.ID {
					t.Errorf("%s was published by a held run", key)
				}
			}
		})
	}
}

func TestAHeldRunIsReleasedOrRejected(t *testing.T) {
	t.Parallel()
	for _, verdict := range []string{"release", "reject"} {
		t.Run(verdict, func(t *testing.T) {
			w := newWorld(t).configure(proves).estate(10, 2)
			w.succeeded(w.poll())
			w.must(w.sim.Remove("s0001"))
			w.must(w.sim.Remove("s0002"))
			w.must(w.sim.SetSeats("s0020", 500))
			run := w.want(w.pollAsScheduled(), runv1.Outcome_OUTCOME_HELD)

			// What it found is decided before more is found.
			_, err := w.runs.StartRun(t.Context(), &runv1.StartRunRequest{Connection: "demo"})
			if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), run.Id) {
				t.Errorf("a run beside a held one: %v", err)
			}
			if _, err := w.runs.ReleaseRun(t.Context(), &runv1.DecideRunRequest{Id: run.Id}); status.Code(err) != codes.InvalidArgument {
				t.Errorf("no reason: %v", err)
			}
			// Giacom has moved on; what is decided is what was found.
			w.must(w.sim.SetSeats("s0020", 777))
			decide := w.runs.ReleaseRun
			if verdict == "reject" {
				decide = w.runs.RejectRun
			}
			decided, err := decide(t.Context(), &runv1.DecideRunRequest{Id: run.Id, Reason: "customer left"})
			w.must(err)
			got := w.published()
			if verdict == "release" {
				w.want(decided, runv1.Outcome_OUTCOME_SUCCEEDED)
				if s := got["microsoft/g0001"]; !s.Removal.GetScheduled() || s.Run != run.Id {
					t.Errorf("released removal: %v of run %s", s.Removal, s.Run)
				}
				if got["microsoft/g0020"].Quantity != "500" {
					t.Errorf("seats: %s", got["microsoft/g0020"].Quantity)
				}
			} else {
				w.want(decided, runv1.Outcome_OUTCOME_REJECTED)
				if got["microsoft/g0001"].Removal != nil || got["microsoft/g0020"].Quantity != "20" {
					t.Error("a rejected run was published")
				}
			}
			if !strings.Contains(decided.Reason.GetText(), "customer left") {
				t.Errorf("reason: %v", decided.Reason)
			}
			if _, err := decide(t.Context(), &runv1.DecideRunRequest{Id: run.Id, Reason: "again"}); status.Code(err) != codes.FailedPrecondition {
				t.Errorf("decided twice: %v", err)
			}
			if n := w.count(`select count(*) from pg_class where relnamespace = current_schema()::regnamespace and relname like 'staging%'`); n != 0 {
				t.Errorf("%d staging tables are left", n)
			}
		})
	}
}

func TestAHeldRunWhoseRowsWereLostFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(proves).estate(5, 2)
	w.succeeded(w.poll())
	w.must(w.sim.RemoveCustomer("MEX001"))
	run := w.want(w.poll(), runv1.Outcome_OUTCOME_HELD)
	// What a crash of the database does to an unlogged table.
	_, err := w.pool.Exec(t.Context(), `truncate "staging_`+strings.ReplaceAll(run.Id, "-", "")+`"`)
	w.must(err)
	decided, err := w.runs.ReleaseRun(t.Context(), &runv1.DecideRunRequest{Id: run.Id, Reason: "right"})
	w.must(err)
	w.want(decided, runv1.Outcome_OUTCOME_FAILED)
	if decided.Reason.Code != "staging_lost" || w.published()["microsoft/g0001"].Removal != nil {
		t.Errorf("run: %v", decided)
	}
	w.want(w.poll(), runv1.Outcome_OUTCOME_HELD)
}

func TestAnEmptyAnswerRemovesNothingUnasked(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(proves).estate(5, 2)
	w.succeeded(w.poll())
	w.must(w.sim.Inject(giacomsim.Fault{Name: "empty"}))
	w.want(w.poll(), runv1.Outcome_OUTCOME_HELD)
}

func TestAFailedRunSaysWhyAndPublishesNothing(t *testing.T) {
	t.Parallel()
	for fault, code := range map[string]string{"key_bad": "giacom_key_rejected", "no_product": "giacom_key_lacks_product", "quota": "giacom_quota_spent", "not_found": "giacom_not_found"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t).configure(func(c *connectionv1.Connection) { proves(c); c.Giacom.PageSize = 2 }).estate(5, 2)
			w.succeeded(w.poll())
			before := w.published()
			w.must(w.sim.SetSeats("s0001", 50))
			w.must(w.sim.Inject(giacomsim.Fault{Name: fault, Route: "report", Skip: 1}))
			run := w.want(w.poll(), runv1.Outcome_OUTCOME_FAILED)
			if run.Reason.Code != code || run.Complete || run.Subscriptions.Changed != 0 || run.Subscriptions.Seen == 0 || strings.Contains(run.Reason.Text, "sim-key") {
				t.Errorf("run: %v", run)
			}
			for key, now := range w.published() {
				if now.Event.ID != before[key].Event.ID {
					t.Errorf("%s was published by a failed run", key)
				}
			}
			w.sim.Clear("")
			w.succeeded(w.poll())
			if got := w.published()["microsoft/g0001"].Quantity; got != "50" {
				t.Errorf("seats after the next run: %s", got)
			}
		})
	}
}

func TestOneRunAtATimeAcrossReplicas(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(nil).estate(2, 1)
	other, _ := w.serve()
	w.must(w.sim.Inject(giacomsim.Fault{Name: "slow", Delay: 400 * time.Millisecond, Times: 1}))
	first, err := w.runs.StartRun(t.Context(), &runv1.StartRunRequest{Connection: "demo"})
	w.must(err)
	for name, client := range map[string]runv1.RunServiceClient{"the same replica": w.runs, "another": other} {
		_, err := client.StartRun(t.Context(), &runv1.StartRunRequest{Connection: "demo"})
		if e, ok := rpc.ErrorFrom(err); status.Code(err) != codes.FailedPrecondition || !ok || e.Reason != "RUN_UNDER_WAY" {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The other replica sees it, and leaves it alone.
	w.clock.Advance(time.Minute)
	w.succeeded(w.end(first.Id))
	run, err := other.StartRun(t.Context(), &runv1.StartRunRequest{Connection: "demo"})
	w.must(err)
	w.succeeded(w.end(run.Id))
}

func TestAStoppedServiceMarksItsRunInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(nil).estate(2, 1)
	w.must(w.sim.Inject(giacomsim.Fault{Name: "hang"}))
	run, err := w.runs.StartRun(t.Context(), &runv1.StartRunRequest{Connection: "demo"})
	w.must(err)
	eventtest.Eventually(t, "Giacom was asked", func() bool { return w.sim.Requests()["customers"] > 0 })
	w.stop()
	w.sim.Clear("")
	w.runs, w.stop = w.serve()
	got, err := w.runs.GetRun(t.Context(), &runv1.GetRunRequest{Id: run.Id})
	w.must(err)
	w.want(got, runv1.Outcome_OUTCOME_INTERRUPTED)
	w.succeeded(w.poll())
}

func TestARunWhoseProcessDiedIsFoundInterrupted(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(nil).estate(2, 1)
	w.must(w.sim.Inject(giacomsim.Fault{Name: "hang"}))
	run, err := w.runs.StartRun(t.Context(), &runv1.StartRunRequest{Connection: "demo"})
	w.must(err)
	eventtest.Eventually(t, "Giacom was asked", func() bool { return w.sim.Requests()["customers"] > 0 })
	// A killed process leaves its row running, its staging table, and its sessions closed: make that state here from
	// the one that a stop leaves.
	w.stop()
	w.sim.Clear("")
	_, err = w.pool.Exec(t.Context(), `update runs set outcome = 1, body = body || '\x2801'::bytea`)
	w.must(err)
	_, err = w.pool.Exec(t.Context(), `create unlogged table "staging_`+strings.ReplaceAll(run.Id, "-", "")+`" (seq bigint)`)
	w.must(err)
	w.runs, w.stop = w.serve()
	var got *runv1.Run
	eventtest.Eventually(t, "found interrupted", func() bool {
		w.clock.Advance(time.Second)
		got, err = w.runs.GetRun(t.Context(), &runv1.GetRunRequest{Id: run.Id})
		return err == nil && got.Outcome == runv1.Outcome_OUTCOME_INTERRUPTED
	})
	if got.Reason.Code != "process_died" || got.EndTime == nil {
		t.Errorf("run: %v", got)
	}
	eventtest.Eventually(t, "its staging table is dropped", func() bool {
		return w.count(`select count(*) from pg_class where relnamespace = current_schema()::regnamespace and relname like 'staging%'`) == 0
	})
	w.succeeded(w.poll())
}

func TestTheDatabaseLosingARunsSessionEndsTheRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(nil).estate(2, 1)
	w.must(w.sim.Inject(giacomsim.Fault{Name: "slow", Delay: 500 * time.Millisecond, Nth: 1, Route: "report"}))
	run, err := w.runs.StartRun(t.Context(), &runv1.StartRunRequest{Connection: "demo"})
	w.must(err)
	eventtest.Eventually(t, "the report was asked for", func() bool { return w.sim.Requests()["report"] > 0 })
	_, err = w.pool.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'
		and (classid::bigint << 32 | objid::bigint) = hashtextextended('seatline run ' || current_schema() || ' demo', 0)`)
	w.must(err)
	got := w.end(run.Id)
	if got.Outcome != runv1.Outcome_OUTCOME_FAILED && got.Outcome != runv1.Outcome_OUTCOME_INTERRUPTED {
		t.Errorf("run: %v", got)
	}
	if len(w.published()) != 0 {
		t.Error("something of it was published")
	}
	w.succeeded(w.poll())
}

func TestScheduledRuns(t *testing.T) {
	t.Parallel()
	w := newWorld(t).estate(2, 1)
	_, stopOther := w.serve()
	defer stopOther()
	w.configure(func(c *connectionv1.Connection) {
		c.Schedule = &connectionv1.Schedule{Enabled: true, Interval: durationpb.New(time.Hour)}
	})
	ended := func(n int64) {
		t.Helper()
		eventtest.Eventually(t, "scheduled run", func() bool {
			w.clock.Advance(time.Second)
			return w.count(`select count(*) from runs where outcome = 2`) >= n
		})
	}
	ended(1)
	for range 100 { // nothing before the hour is over
		w.clock.Advance(10 * time.Second)
	}
	time.Sleep(20 * time.Millisecond)
	if n := w.count(`select count(*) from runs`); n != 1 {
		t.Fatalf("%d runs within the interval of two replicas, want 1", n)
	}
	w.clock.Advance(time.Hour)
	ended(2)
	got, err := w.runs.ListRuns(t.Context(), &runv1.ListRunsRequest{Filter: `connection = "demo" AND trigger = scheduled`})
	w.must(err)
	if len(got.Runs) != 2 || got.Runs[0].StartTime.AsTime().Before(got.Runs[1].StartTime.AsTime()) {
		t.Errorf("runs: %v", got.Runs)
	}
	w.configure(func(c *connectionv1.Connection) { c.Enabled = false })
	w.clock.Advance(3 * time.Hour)
	time.Sleep(50 * time.Millisecond)
	if n := w.count(`select count(*) from runs`); n != 2 {
		t.Errorf("%d runs, the last of a disabled connection", n)
	}
	if _, err := w.runs.StartRun(t.Context(), &runv1.StartRunRequest{Connection: "demo"}); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("run of a disabled connection: %v", err)
	}
	if _, err := w.runs.StartRun(t.Context(), &runv1.StartRunRequest{Connection: "nobody"}); status.Code(err) != codes.NotFound {
		t.Errorf("run of an unknown connection: %v", err)
	}
}

func TestRunsAreToldOnTheLogStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(proves).estate(5, 2)
	w.succeeded(w.poll())
	w.must(w.sim.RemoveCustomer("MEX001"))
	run := w.want(w.poll(), runv1.Outcome_OUTCOME_HELD)
	_, err := w.runs.RejectRun(t.Context(), &runv1.DecideRunRequest{Id: run.Id, Reason: "wrong"})
	w.must(err)
	w.drained()
	stream, err := w.bus.JS.Stream(t.Context(), bus.LogStream)
	w.must(err)
	consumer, err := stream.OrderedConsumer(t.Context(), jetstream.OrderedConsumerConfig{FilterSubjects: []string{event.Subject(event.Event{Connection: "demo", Entity: "run", Key: run.Id, Log: true})}})
	w.must(err)
	batch, err := consumer.Fetch(3, jetstream.FetchMaxWait(5*time.Second))
	w.must(err)
	var types []string
	var last runv1.Run
	for m := range batch.Messages() {
		e, err := event.DecodeMsg(m)
		w.must(err)
		types = append(types, strings.TrimSuffix(strings.TrimPrefix(e.Type, "seatline.run."), ".v1"))
		w.must(e.Unmarshal(&last))
	}
	if !slices.Equal(types, []string{"started", "held", "completed"}) || last.Outcome != runv1.Outcome_OUTCOME_REJECTED {
		t.Errorf("%v, the last %s", types, last.Outcome)
	}
}

func TestListsPageAndFilter(t *testing.T) {
	t.Parallel()
	w := newWorld(t).configure(nil).estate(5, 5)
	w.succeeded(w.poll())
	w.must(w.sim.Remove("s0004"))
	w.must(w.sim.Suspend("s0005"))
	w.succeeded(w.poll())
	list := func(filter string) (keys []string) {
		t.Helper()
		req := &runv1.ListSubscriptionsRequest{PageSize: 2, Filter: filter}
		for {
			resp, err := w.runs.ListSubscriptions(t.Context(), req)
			w.must(err)
			for _, s := range resp.Subscriptions {
				keys = append(keys, s.Key)
			}
			if req.PageToken = resp.NextPageToken; req.PageToken == "" {
				return keys
			}
		}
	}
	if got := list(`connection = "demo"`); len(got) != 25 {
		t.Errorf("all: %v", got)
	}
	if got := list(`mex_id = "MEX002"`); len(got) != 5 {
		t.Errorf("of a customer: %v", got)
	}
	if got := list(`absent = true`); !slices.Equal(got, []string{"microsoft/g0004"}) {
		t.Errorf("absent: %v", got)
	}
	if got := list(`status = "Suspended"`); !slices.Equal(got, []string{"microsoft/g0005"}) {
		t.Errorf("suspended: %v", got)
	}
	if _, err := w.runs.ListRuns(t.Context(), &runv1.ListRunsRequest{Filter: "nonsense = 1"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("unknown field: %v", err)
	}
	if _, err := w.runs.GetRun(t.Context(), &runv1.GetRunRequest{Id: "nobody"}); status.Code(err) != codes.NotFound {
		t.Errorf("unknown run: %v", err)
	}
}

// Not beside other tests: the tracer is the process's.
func TestOneTraceLeadsFromThePollToItsEvents(t *testing.T) {
	before := otel.GetTracerProvider()
	provider := sdktrace.NewTracerProvider()
	otel.SetTracerProvider(provider)
	t.Cleanup(func() {
		otel.SetTracerProvider(before)
		if err := provider.Shutdown(context.WithoutCancel(t.Context())); err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	w := newWorld(t).configure(nil).estate(2, 2)
	w.succeeded(w.poll())
	traces := map[string]bool{}
	for _, s := range w.published() {
		id, _, _ := strings.Cut(strings.TrimPrefix(s.TraceParent, "00-"), "-")
		traces[id] = true
	}
	if len(traces) != 1 || traces[""] {
		t.Errorf("traces of one run's events: %v", traces)
	}
}
