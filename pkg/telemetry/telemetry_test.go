package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/metric"
)

const password = "hunter2-hunter2"

func TestSecretNeverShows(t *testing.T) {
	secret := Secret(password)
	holder := struct {
		Key  Secret
		List []Secret
	}{secret, []Secret{secret}}
	var shown []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%10s"} {
		shown = append(shown, fmt.Sprintf(verb, secret), fmt.Sprintf(verb, holder), fmt.Sprintf(verb, &holder))
	}
	asJSON, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	shown = append(shown, string(asJSON), fmt.Errorf("dial with %v", secret).Error())
	var log bytes.Buffer
	for _, logger := range []*slog.Logger{NewLogger(&log, slog.LevelDebug), slog.New(slog.NewTextHandler(&log, nil))} {
		logger.With("bound", secret).Info("x", "plain", secret, "in", holder, slog.Group("g", "s", secret))
	}
	shown = append(shown, log.String())
	for _, text := range shown {
		if strings.Contains(text, password) || strings.Contains(text, fmt.Sprintf("%x", password)) {
			t.Errorf("the secret shows in %s", text)
		}
	}
	if secret.Reveal() != password {
		t.Errorf("Reveal gives %q", secret.Reveal())
	}
	var read struct{ Key Secret }
	if err := json.Unmarshal([]byte(`{"Key":"`+password+`"}`), &read); err != nil || read.Key.Reveal() != password {
		t.Errorf("read from JSON: %q, %v", read.Key.Reveal(), err)
	}
}

func TestLogRedactsCredentialKeysAndKeepsOthers(t *testing.T) {
	var out bytes.Buffer
	log := NewLogger(&out, slog.LevelInfo)
	log.Info("call", "client_secret", password, "Authorization", "Bearer "+password, slog.Group("http", "api_key", password),
		"page_token", "visible", "secret_version", 3)
	if strings.Contains(out.String(), password) {
		t.Errorf("a credential shows: %s", out.String())
	}
	for _, kept := range []string{`"page_token":"visible"`, `"secret_version":3`} {
		if !strings.Contains(out.String(), kept) {
			t.Errorf("%s is gone: %s", kept, out.String())
		}
	}
}

func TestBridgeToOTLPRedactsToo(t *testing.T) {
	var out bytes.Buffer
	handler := redactingHandler{slog.NewJSONHandler(&out, nil)}
	slog.New(handler).With("token", password).WithGroup("g").Info("x", "secret", password, slog.Group("deep", "password", password), "typed", Secret(password))
	if strings.Contains(out.String(), password) {
		t.Errorf("a credential shows: %s", out.String())
	}
}

func TestTraceParentGoesThroughARow(t *testing.T) {
	telemetry := setup(t, Config{Service: "test", Output: &bytes.Buffer{}})
	ctx, span := telemetry.Tracer("test").Start(t.Context(), "poll")
	stored := TraceParent(ctx)
	span.End()

	var out bytes.Buffer
	later := WithTraceParent(context.Background(), stored)
	_, continued := telemetry.Tracer("test").Start(later, "write")
	defer continued.End()
	if got, want := continued.SpanContext().TraceID(), span.SpanContext().TraceID(); got != want {
		t.Errorf("the trace broke: %s became %s", want, got)
	}
	NewLogger(&out, slog.LevelInfo).InfoContext(later, "x")
	if !strings.Contains(out.String(), span.SpanContext().TraceID().String()) {
		t.Errorf("the log line lacks its trace: %s", out.String())
	}
	for _, broken := range []string{"", "nonsense", "00-0-0-00"} {
		if got := TraceParent(WithTraceParent(context.Background(), broken)); got != "" {
			t.Errorf("%q became %q", broken, got)
		}
	}
}

func TestMetricsAreServedWithoutOTLP(t *testing.T) {
	telemetry := setup(t, Config{Service: "licence", Output: &bytes.Buffer{}})
	counter, err := telemetry.Meter("test").Int64Counter("seatline.halo.requests")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 3)
	took, err := telemetry.Meter("test").Float64Histogram("seatline.test.duration", metric.WithUnit("s"))
	if err != nil {
		t.Fatal(err)
	}
	took.Record(t.Context(), 0.3)
	response := httptest.NewRecorder()
	telemetry.MetricsHandler.ServeHTTP(response, httptest.NewRequest("GET", "/metrics", nil))
	for _, want := range []string{"seatline_halo_requests_total{", "} 3", "go_goroutines", `service_name="licence"`, `le="0.25"} 0`, `le="0.5"} 1`} {
		if !strings.Contains(response.Body.String(), want) {
			t.Errorf("/metrics lacks %s", want)
		}
	}
}

// A collector that does not answer must not keep a process from ending.
func TestShutdownIsBounded(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://192.0.2.1:4317") // TEST-NET: nobody answers
	telemetry, err := Setup(t.Context(), Config{Service: "test", Output: &bytes.Buffer{}, ShutdownTimeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	_, span := telemetry.Tracer("test").Start(t.Context(), "x")
	span.End()
	telemetry.Log.Info("x")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	start := time.Now()
	if err := telemetry.Shutdown(ctx); err == nil {
		t.Error("what was lost is not reported")
	}
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("Shutdown took %s", took)
	}
}

func setup(t *testing.T, cfg Config) *Telemetry {
	t.Helper()
	telemetry, err := Setup(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := telemetry.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return telemetry
}
