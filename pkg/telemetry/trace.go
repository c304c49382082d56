package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
)

// TraceParent returns the W3C traceparent of the span in ctx, for a row or a message header; ""
// without one.
func TraceParent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier["traceparent"]
}

// WithTraceParent makes the span that traceparent names the remote parent of what ctx starts.
// Nothing changes when traceparent is empty or malformed.
func WithTraceParent(ctx context.Context, traceparent string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{"traceparent": traceparent})
}
