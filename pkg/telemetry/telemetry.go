// Package telemetry sets up what a process tells about itself: its log (slog), and traces, metrics
// and logs by OpenTelemetry. Metrics can always be scraped in Prometheus' form; OTLP is sent only
// when OTEL_EXPORTER_OTLP_ENDPOINT is set. Nothing here is global: Setup returns what it made.
package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"
)

// Config of a process' telemetry.
type Config struct {
	// Service is the service.name of the resource, for example "licence".
	Service string
	// Version is the service.version; may be empty.
	Version string
	// Level of the log; default slog.LevelInfo. A *slog.LevelVar can be changed while running.
	Level slog.Leveler
	// Output of the log; default os.Stderr.
	Output io.Writer
	// OTLP switches the exporters on. Default: whether OTEL_EXPORTER_OTLP_ENDPOINT is set. The
	// exporters read their address, headers and TLS from the standard OTEL_* environment.
	OTLP *bool
	// ShutdownTimeout bounds the last flush; default 5 s.
	ShutdownTimeout time.Duration
}

// Telemetry of a process.
type Telemetry struct {
	Log *slog.Logger
	// MetricsHandler serves /metrics.
	MetricsHandler http.Handler
	Tracers        trace.TracerProvider
	Meters         metric.MeterProvider
	Propagator     propagation.TextMapPropagator

	timeout  time.Duration
	shutdown []func(context.Context) error
}

// Setup makes the telemetry of a process. The caller ends it with Shutdown.
func Setup(ctx context.Context, cfg Config) (_ *Telemetry, err error) {
	if cfg.Level == nil {
		cfg.Level = slog.LevelInfo
	}
	if cfg.Output == nil {
		cfg.Output = os.Stderr
	}
	if cfg.ShutdownTimeout == 0 {
		cfg.ShutdownTimeout = 5 * time.Second
	}
	otlp := os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT") != ""
	if cfg.OTLP != nil {
		otlp = *cfg.OTLP
	}
	t := &Telemetry{
		timeout:    cfg.ShutdownTimeout,
		Propagator: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("set up telemetry of %s: %w", cfg.Service, err), t.Shutdown(ctx))
		}
	}()
	res, err := resource.New(ctx,
		resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv(),
		resource.WithAttributes(semconv.ServiceName(cfg.Service), semconv.ServiceVersion(cfg.Version)))
	if err != nil {
		return nil, err
	}
	if err := t.traces(ctx, res, otlp); err != nil {
		return nil, err
	}
	if err := t.metrics(ctx, res, otlp); err != nil {
		return nil, err
	}
	if err := t.logs(ctx, res, otlp, cfg); err != nil {
		return nil, err
	}
	return t, nil
}

// traces are always made, so that log lines and rows carry trace ids; they are recorded, and exported by OTLP, only where
// somebody takes them. Their ids say so: a sampled traceparent has every NATS server read all headers of the message.
func (t *Telemetry) traces(ctx context.Context, res *resource.Resource, otlp bool) error {
	options := []sdktrace.TracerProviderOption{sdktrace.WithResource(res)}
	if otlp {
		exporter, err := otlptracegrpc.New(ctx)
		if err != nil {
			return fmt.Errorf("trace exporter: %w", err)
		}
		options = append(options, sdktrace.WithBatcher(exporter))
	} else {
		options = append(options, sdktrace.WithSampler(sdktrace.NeverSample()))
	}
	provider := sdktrace.NewTracerProvider(options...)
	t.Tracers = provider
	t.shutdown = append(t.shutdown, provider.Shutdown)
	return nil
}

// seconds gives durations the buckets of OpenTelemetry's conventions. Without it they are those for milliseconds, and
// everything falls into the first.
var seconds = sdkmetric.NewView(sdkmetric.Instrument{Kind: sdkmetric.InstrumentKindHistogram, Unit: "s"}, sdkmetric.Stream{
	Aggregation: sdkmetric.AggregationExplicitBucketHistogram{Boundaries: []float64{0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10}},
})

func (t *Telemetry) metrics(ctx context.Context, res *resource.Resource, otlp bool) error {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return fmt.Errorf("prometheus exporter: %w", err)
	}
	options := []sdkmetric.Option{sdkmetric.WithResource(res), sdkmetric.WithReader(reader), sdkmetric.WithView(seconds)}
	if otlp {
		exporter, err := otlpmetricgrpc.New(ctx)
		if err != nil {
			return fmt.Errorf("metric exporter: %w", err)
		}
		options = append(options, sdkmetric.WithReader(sdkmetric.NewPeriodicReader(exporter)))
	}
	provider := sdkmetric.NewMeterProvider(options...)
	t.Meters = provider
	t.MetricsHandler = promhttp.HandlerFor(registry, promhttp.HandlerOpts{EnableOpenMetrics: true})
	t.shutdown = append(t.shutdown, provider.Shutdown)
	return nil
}

func (t *Telemetry) logs(ctx context.Context, res *resource.Resource, otlp bool, cfg Config) error {
	handler := newHandler(cfg.Output, cfg.Level)
	if otlp {
		exporter, err := otlploggrpc.New(ctx)
		if err != nil {
			return fmt.Errorf("log exporter: %w", err)
		}
		provider := sdklog.NewLoggerProvider(sdklog.WithResource(res), sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)))
		t.shutdown = append(t.shutdown, provider.Shutdown)
		bridge := otelslog.NewHandler("seatline.dev", otelslog.WithLoggerProvider(provider))
		handler = fanout{handler, atLevel{redactingHandler{bridge}, cfg.Level}}
	}
	t.Log = slog.New(handler).With("service", cfg.Service)
	return nil
}

// atLevel gives the bridge the level that the log has.
type atLevel struct {
	slog.Handler
	level slog.Leveler
}

func (h atLevel) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }

func (h atLevel) WithAttrs(attrs []slog.Attr) slog.Handler {
	return atLevel{h.Handler.WithAttrs(attrs), h.level}
}

func (h atLevel) WithGroup(name string) slog.Handler {
	return atLevel{h.Handler.WithGroup(name), h.level}
}

// Tracer of a package, named by its import path.
func (t *Telemetry) Tracer(name string) trace.Tracer { return t.Tracers.Tracer(name) }

// Meter of a package, named by its import path.
func (t *Telemetry) Meter(name string) metric.Meter { return t.Meters.Meter(name) }

// Shutdown sends what is still buffered, for no longer than the configured time even when ctx,
// as usual at the end of a process, is already done.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), t.timeout)
	defer cancel()
	var errs []error
	// Logs last come, first shut: what the others say while shutting down need not be exported.
	for i := len(t.shutdown) - 1; i >= 0; i-- {
		errs = append(errs, t.shutdown[i](ctx))
	}
	t.shutdown = nil
	return errors.Join(errs...)
}
