package connections

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/jonboulle/clockwork"
	"go.opentelemetry.io/otel/metric"
	"google.golang.org/grpc"

	"seatline.dev/pkg/halo"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// SecretSource is where secrets come from: the console, or a test.
type SecretSource interface {
	GetSecrets(ctx context.Context, req *connectionv1.GetConnectionRequest, opts ...grpc.CallOption) (*connectionv1.Secrets, error)
}

// HaloConfig says how the Halo clients of a service are made.
type HaloConfig struct {
	Secrets SecretSource
	Bucket  halo.Bucket // of the shared budgets
	Agent   string      // the User-Agent that Halo is told
	Clock   clockwork.Clock
	Log     *slog.Logger
	// Transport is http.DefaultTransport if nil. Timeout of one request; 0 for the client's default.
	Transport http.RoundTripper
	Timeout   time.Duration
	// Meters is OpenTelemetry's global provider if nil.
	Meters metric.MeterProvider
}

// Halo makes and keeps one Halo client per connection, and one budget per Halo instance.
type Halo struct {
	HaloConfig
	mu      sync.Mutex
	clients map[string]kept
	budgets map[budgetKey]*halo.Budget
}

type kept struct {
	client   *halo.Client
	settings string
}

type budgetKey struct {
	instance string
	limit    int32
	period   time.Duration
}

// NewHalo makes no request.
func NewHalo(c HaloConfig) *Halo {
	h := &Halo{HaloConfig: c, clients: map[string]kept{}, budgets: map[budgetKey]*halo.Budget{}}
	h.measure()
	return h
}

// Client of a connection. It is made anew when the connection's settings for Halo or their secret changed.
func (h *Halo) Client(ctx context.Context, c *connectionv1.Connection) (*halo.Client, error) {
	settings := c.GetHalo()
	is := fmt.Sprint(settings.GetBaseUrl(), settings.GetAuthUrl(), settings.GetTenant(), settings.GetClientId(),
		settings.GetClientSecret().GetVersion(), settings.GetBudgetRequests(), settings.GetBudgetWindow().AsDuration())
	h.mu.Lock()
	k, ok := h.clients[c.GetSlug()]
	h.mu.Unlock()
	if ok && k.settings == is {
		return k.client.With(capabilities(settings.GetCapabilities())), nil
	}
	secrets, err := h.Secrets.GetSecrets(ctx, &connectionv1.GetConnectionRequest{Slug: c.GetSlug()})
	if err != nil {
		return nil, fmt.Errorf("get the Halo secret of connection %s from the console: %w", c.GetSlug(), err)
	}
	client, err := halo.New(halo.Config{
		BaseURL: settings.GetBaseUrl(), AuthURL: settings.GetAuthUrl(),
		Credentials: halo.Credentials{ClientID: settings.GetClientId(), Secret: secrets.GetHaloClientSecret(), Tenant: settings.GetTenant()},
		Budget:      h.budget(settings), Agent: h.Agent, Transport: h.Transport, Timeout: h.Timeout, Log: h.Log, Clock: h.Clock, Meters: h.Meters,
	})
	if err != nil {
		return nil, fmt.Errorf("connection %s: %w", c.GetSlug(), err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients[c.GetSlug()] = kept{client, is}
	return client.With(capabilities(settings.GetCapabilities())), nil
}

// budget of the instance, shared by its connections.
func (h *Halo) budget(s *connectionv1.Halo) *halo.Budget {
	key := budgetKey{halo.InstanceKey(s.GetBaseUrl(), s.GetTenant()), s.GetBudgetRequests(), s.GetBudgetWindow().AsDuration()}
	h.mu.Lock()
	defer h.mu.Unlock()
	b := h.budgets[key]
	if b == nil {
		b = halo.NewBudget(halo.BudgetConfig{Bucket: h.Bucket, Key: key.instance, Limit: int(key.limit), Period: key.period, Clock: h.Clock})
		h.budgets[key] = b
	}
	return b
}

// capabilities: what was not probed is not relied on.
func capabilities(c *connectionv1.Capabilities) halo.Capabilities {
	answer := func(p *bool) halo.Answer {
		switch {
		case p == nil:
			return halo.Unknown
		case *p:
			return halo.Yes
		default:
			return halo.No
		}
	}
	out := halo.Capabilities{}
	if c == nil {
		return out
	}
	out.ListMarks, out.WholeInvoices = answer(c.LicenceListHasSnowid), answer(c.InvoiceListHasLines)
	if c.PageSize_1000 != nil && !*c.PageSize_1000 {
		out.PageSize = 100
	}
	return out
}
