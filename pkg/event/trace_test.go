package event_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"seatline.dev/pkg/bus/bustest"
	"seatline.dev/pkg/event"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/postgres/postgrestest"
)

// One trace leads from the publisher through the outbox and the stream into the consumer, and on
// into what the consumer publishes in turn.
func TestOneTraceLeadsThrough(t *testing.T) {
	spans := tracetest.NewInMemoryExporter()
	before := otel.GetTracerProvider()
	otel.SetTracerProvider(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)))
	t.Cleanup(func() { otel.SetTracerProvider(before) })

	pool, conn := postgrestest.New(t, event.Schema), bustest.New(t)
	answered := make(chan string, 1)
	eventtest.Consume(t, event.ConsumerConfig{
		Bus: conn, Pool: pool, Service: "test", Entity: "thing",
		Handler: func(ctx context.Context, tx pgx.Tx, batch []event.Event) error {
			answer := thing("answer", 1, "x")
			answer.Entity = "answer"
			if err := event.Publish(ctx, tx, answer); err != nil {
				return err
			}
			answered <- trace.SpanContextFromContext(ctx).TraceID().String()
			return nil
		},
	})
	eventtest.Relay(t, pool, conn)
	ctx, root := otel.Tracer("test").Start(t.Context(), "poll")
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return event.Publish(ctx, tx, thing("a", 1, "one")) }); err != nil {
		t.Fatal(err)
	}
	root.End()
	want := root.SpanContext().TraceID()
	if got := <-answered; got != want.String() {
		t.Errorf("the handler runs in trace %s, want %s", got, want)
	}
	settled(t, pool, conn)
	answer := eventtest.State(t, conn, "answer")["demo/answer"]
	if got := answer.TraceParent; len(got) < 36 || got[3:35] != want.String() {
		t.Errorf("the answer carries traceparent %q, want one of trace %s", got, want)
	}
	kinds := map[trace.SpanKind]int{}
	for _, s := range spans.GetSpans() {
		if s.SpanContext.TraceID() == want {
			kinds[s.SpanKind]++
		}
	}
	if kinds[trace.SpanKindProducer] != 2 || kinds[trace.SpanKindConsumer] != 1 {
		t.Errorf("spans of the trace by kind: %v, want two producers' and one consumer's", kinds)
	}
}
