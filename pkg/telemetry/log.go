package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// NewLogger writes text when w is a terminal and JSON otherwise. Values of type Secret, and
// attributes whose key names a credential, are redacted; records within a span carry its ids.
func NewLogger(w io.Writer, level slog.Leveler) *slog.Logger {
	return slog.New(newHandler(w, level))
}

func newHandler(w io.Writer, level slog.Leveler) slog.Handler {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: redact}
	if isTerminal(w) {
		return spanHandler{slog.NewTextHandler(w, options)}
	}
	return spanHandler{slog.NewJSONHandler(w, options)}
}

func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// credentialKeys are a second net below Secret, for credentials of libraries that are plain strings.
var credentialKeys = []string{"password", "secret", "token", "api_key", "apikey", "authorization", "ocp-apim-subscription-key"}

func redact(_ []string, attr slog.Attr) slog.Attr {
	key := strings.ToLower(attr.Key)
	for _, name := range credentialKeys {
		// "page_token" and "secret_version" are no credentials: the whole key or its end must say so.
		if key == name || (strings.HasSuffix(key, "_"+name) && key != "page_token" && key != "next_page_token") {
			if attr.Value.Kind() == slog.KindString && attr.Value.String() == "" {
				return attr
			}
			return slog.String(attr.Key, redacted)
		}
	}
	return attr
}

// spanHandler adds the ids of the span in the context, so that a log line leads to its trace.
type spanHandler struct{ slog.Handler }

func (h spanHandler) Handle(ctx context.Context, record slog.Record) error {
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		record = record.Clone()
		record.AddAttrs(slog.String("trace_id", span.TraceID().String()), slog.String("span_id", span.SpanID().String()))
	}
	return h.Handler.Handle(ctx, record)
}

func (h spanHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return spanHandler{h.Handler.WithAttrs(attrs)}
}

func (h spanHandler) WithGroup(name string) slog.Handler {
	return spanHandler{h.Handler.WithGroup(name)}
}

// redactingHandler does for a handler without ReplaceAttr what redact does for slog's own.
type redactingHandler struct{ slog.Handler }

func (h redactingHandler) Handle(ctx context.Context, record slog.Record) error {
	clean := slog.NewRecord(record.Time, record.Level, record.Message, record.PC)
	record.Attrs(func(attr slog.Attr) bool {
		clean.AddAttrs(redactDeep(attr))
		return true
	})
	return h.Handler.Handle(ctx, clean)
}

func (h redactingHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, attr := range attrs {
		clean[i] = redactDeep(attr)
	}
	return redactingHandler{h.Handler.WithAttrs(clean)}
}

func (h redactingHandler) WithGroup(name string) slog.Handler {
	return redactingHandler{h.Handler.WithGroup(name)}
}

func redactDeep(attr slog.Attr) slog.Attr {
	attr.Value = attr.Value.Resolve()
	if attr.Value.Kind() != slog.KindGroup {
		return redact(nil, attr)
	}
	group := attr.Value.Group()
	clean := make([]slog.Attr, len(group))
	for i, member := range group {
		clean[i] = redactDeep(member)
	}
	return slog.Attr{Key: attr.Key, Value: slog.GroupValue(clean...)}
}

// fanout gives every record to each handler that wants it.
type fanout []slog.Handler

func (f fanout) Enabled(ctx context.Context, level slog.Level) bool {
	for _, h := range f {
		if h.Enabled(ctx, level) {
			return true
		}
	}
	return false
}

func (f fanout) Handle(ctx context.Context, record slog.Record) error {
	var errs []error
	for _, h := range f {
		if h.Enabled(ctx, record.Level) {
			errs = append(errs, h.Handle(ctx, record.Clone()))
		}
	}
	return errors.Join(errs...)
}

func (f fanout) WithAttrs(attrs []slog.Attr) slog.Handler {
	next := make(fanout, len(f))
	for i, h := range f {
		next[i] = h.WithAttrs(attrs)
	}
	return next
}

func (f fanout) WithGroup(name string) slog.Handler {
	next := make(fanout, len(f))
	for i, h := range f {
		next[i] = h.WithGroup(name)
	}
	return next
}
