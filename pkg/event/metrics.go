package event

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"seatline.dev/pkg/bus"
)

// scope names this package to OpenTelemetry. Spans and metrics follow the messaging conventions,
// which have no registered value for NATS.
const scope = "seatline.dev/pkg/event"

func messaging(operation, kind, destination string) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("messaging.system", "nats"),
		attribute.String("messaging.operation.name", operation),
		attribute.String("messaging.operation.type", kind),
		attribute.String("messaging.destination.name", destination),
	}
}

// span starts a span for a batch of events: inside their trace when they share one, as those of
// one run do, and with a link to each trace otherwise.
func span(ctx context.Context, name string, kind trace.SpanKind, events []Event, messages int, attrs []attribute.KeyValue) (context.Context, trace.Span) {
	seen := map[string]bool{}
	traces := map[trace.TraceID]bool{}
	var links []trace.Link
	for _, e := range events {
		if e.TraceParent == "" || seen[e.TraceParent] {
			continue
		}
		seen[e.TraceParent] = true
		if sc := trace.SpanContextFromContext(remote(context.Background(), e.TraceParent)); sc.IsValid() {
			traces[sc.TraceID()] = true
			if len(links) < 64 {
				links = append(links, trace.Link{SpanContext: sc})
			}
		}
	}
	if len(traces) == 1 {
		ctx = trace.ContextWithRemoteSpanContext(ctx, links[0].SpanContext)
	}
	attrs = append(slices.Clip(attrs), attribute.Int("messaging.batch.message_count", messages))
	return otel.Tracer(scope).Start(ctx, name, trace.WithSpanKind(kind), trace.WithLinks(links...), trace.WithAttributes(attrs...))
}

func finish(s trace.Span, err error) {
	if err != nil {
		s.RecordError(err)
		s.SetStatus(codes.Error, err.Error())
	}
	s.End()
}

type relayMetrics struct {
	sent      metric.Int64Counter
	duration  metric.Float64Histogram
	service   attribute.KeyValue
	registers []metric.Registration
}

func newRelayMetrics(r *Relay) (*relayMetrics, error) {
	m := &relayMetrics{service: attribute.String("seatline.service", r.Service)}
	meter := otel.Meter(scope)
	var errs [4]error
	m.sent, errs[0] = meter.Int64Counter("messaging.client.sent.messages", metric.WithUnit("{message}"), metric.WithDescription("Events acknowledged by the stream"))
	m.duration, errs[1] = meter.Float64Histogram("messaging.client.operation.duration", metric.WithUnit("s"), metric.WithDescription("Time to publish one batch"))
	waiting, err := meter.Int64ObservableGauge("seatline.outbox.rows", metric.WithUnit("{row}"), metric.WithDescription("Events waiting in the outbox"))
	errs[2] = err
	age, err := meter.Float64ObservableGauge("seatline.outbox.age", metric.WithUnit("s"), metric.WithDescription("How long the oldest event has waited in the outbox"))
	errs[3] = err
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("relay metrics: %w", err)
		}
	}
	reg, err := meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		var rows int64
		var seconds float64
		err := r.Pool.QueryRow(ctx, `select count(*), coalesce(extract(epoch from now() - (select written from outbox order by seq limit 1)), 0)::float8 from outbox`).Scan(&rows, &seconds)
		if err != nil {
			return fmt.Errorf("measure the outbox: %w", err)
		}
		o.ObserveInt64(waiting, rows, metric.WithAttributes(m.service))
		o.ObserveFloat64(age, seconds, metric.WithAttributes(m.service))
		return nil
	}, waiting, age)
	if err != nil {
		return nil, fmt.Errorf("relay metrics: %w", err)
	}
	m.registers = append(m.registers, reg)
	return m, nil
}

func (m *relayMetrics) close() {
	for _, r := range m.registers {
		_ = r.Unregister()
	}
}

// publishing starts the span of a batch and returns what ends it.
func (m *relayMetrics) publishing(ctx context.Context, stream string, events []Event) (context.Context, func(error)) {
	attrs := append(messaging("publish", "send", stream), m.service)
	ctx, s := span(ctx, "publish "+stream, trace.SpanKindProducer, events, len(events), attrs)
	began := time.Now()
	return ctx, func(err error) {
		set := metric.WithAttributes(attrs...)
		m.duration.Record(ctx, time.Since(began).Seconds(), set)
		if err == nil {
			m.sent.Add(ctx, int64(len(events)), set)
		}
		finish(s, err)
	}
}

type consumeMetrics struct {
	consumed  metric.Int64Counter
	duration  metric.Float64Histogram
	dead      metric.Int64Counter
	attrs     []attribute.KeyValue
	entity    string
	registers []metric.Registration
}

func newConsumeMetrics(c *consumer) (*consumeMetrics, error) {
	m := &consumeMetrics{entity: c.Entity}
	m.attrs = append(messaging("process", "process", bus.StateStream),
		attribute.String("messaging.destination.template", statePrefix+"{connection}."+c.Entity+".{key}"),
		attribute.String("messaging.consumer.group.name", c.Service+"-"+c.Entity),
		attribute.String("seatline.service", c.Service))
	meter := otel.Meter(scope)
	var errs [4]error
	m.consumed, errs[0] = meter.Int64Counter("messaging.client.consumed.messages", metric.WithUnit("{message}"), metric.WithDescription("Messages digested"))
	m.duration, errs[1] = meter.Float64Histogram("messaging.process.duration", metric.WithUnit("s"), metric.WithDescription("Time to digest one batch"))
	m.dead, errs[2] = meter.Int64Counter("seatline.dead_letters", metric.WithUnit("{message}"), metric.WithDescription("Messages that could not be digested"))
	lag, err := meter.Int64ObservableGauge("seatline.consumer.lag", metric.WithUnit("{message}"), metric.WithDescription("Messages not yet digested"))
	errs[3] = err
	for _, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("consumer metrics: %w", err)
		}
	}
	reg, err := meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		n, err := c.lag(ctx)
		if err != nil {
			return err
		}
		o.ObserveInt64(lag, n, metric.WithAttributes(m.attrs...))
		return nil
	}, lag)
	if err != nil {
		return nil, fmt.Errorf("consumer metrics: %w", err)
	}
	m.registers = append(m.registers, reg)
	m.dead.Add(context.Background(), 0, metric.WithAttributes(m.attrs...)) // who watches it must see the first one as a rise
	return m, nil
}

func (m *consumeMetrics) close() {
	for _, r := range m.registers {
		_ = r.Unregister()
	}
}

// processing starts the span of a batch and returns what ends it.
func (m *consumeMetrics) processing(ctx context.Context, events []Event, messages int) (context.Context, func(error)) {
	ctx, s := span(ctx, "process "+m.entity, trace.SpanKindConsumer, events, messages, m.attrs)
	began := time.Now()
	return ctx, func(err error) {
		set := metric.WithAttributes(m.attrs...)
		m.duration.Record(ctx, time.Since(began).Seconds(), set)
		if err == nil {
			m.consumed.Add(ctx, int64(messages), set)
		}
		finish(s, err)
	}
}

func (m *consumeMetrics) buried(ctx context.Context) {
	m.dead.Add(ctx, 1, metric.WithAttributes(m.attrs...))
}
