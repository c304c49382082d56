package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/connections"
	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/halo"
	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// checkTime bounds each side of a validation. A person is waiting for it.
const checkTime = 50 * time.Second

// ValidateConnection asks Giacom and Halo, side by side, for a little of everything that will be needed
// of them. It writes to neither. What it finds out about the Halo instance is kept.
func (s *server) ValidateConnection(ctx context.Context, req *connectionv1.GetConnectionRequest) (*connectionv1.ValidateConnectionResponse, error) {
	c, err := live(ctx, s.pool, req.GetSlug())
	if err != nil {
		return nil, err
	}
	secrets, err := s.secrets(ctx, c.GetSlug())
	if err != nil {
		return nil, err
	}
	others, err := neighbours(ctx, s.pool, c)
	if err != nil {
		return nil, err
	}
	var ofGiacom, ofHalo report
	var found halo.Capabilities
	group := errgroup.Group{}
	group.Go(func() error {
		s.checkGiacom(ctx, &ofGiacom, c, telemetry.Secret(secrets.GetGiacomApiKey()))
		return nil
	})
	group.Go(func() error { found = s.checkHalo(ctx, &ofHalo, c, secrets); return nil })
	_ = group.Wait()
	if err := s.remember(ctx, c.GetHalo().GetInstance(), found); err != nil {
		return nil, err
	}
	all := report{}
	checkSettings(&all, c, others)
	return &connectionv1.ValidateConnectionResponse{Checks: append(append(all.checks, ofGiacom.checks...), ofHalo.checks...)}, nil
}

// report collects checks in the order in which they were made.
type report struct{ checks []*connectionv1.Check }

func (r *report) add(name string, outcome connectionv1.Check_Outcome, format string, args ...any) {
	r.checks = append(r.checks, &connectionv1.Check{Name: name, Outcome: outcome, Text: fmt.Sprintf(format, args...)})
}

func (r *report) ok(name, format string, args ...any) {
	r.add(name, connectionv1.Check_OUTCOME_OK, format, args...)
}

func (r *report) warn(name, format string, args ...any) {
	r.add(name, connectionv1.Check_OUTCOME_WARNING, format, args...)
}

func (r *report) fail(name, format string, args ...any) {
	r.add(name, connectionv1.Check_OUTCOME_FAILED, format, args...)
}

// checkSettings says what of the settings alone will hold work or surprise. Wrong ones were never stored,
// except by a version of Seatline that knew less.
func checkSettings(r *report, c *connectionv1.Connection, others []*connectionv1.Connection) {
	for _, wrong := range Validate(c, c) {
		r.fail("Settings: "+wrong.Field, "%s", wrong.Description)
	}
	if c.GetGiacom().GetAnnualPriceBasis() == 0 {
		r.warn("Settings: giacom.annual_price_basis", "Not set: subscriptions with an annual or longer term are held until you say whether Giacom's price is per month or per term.")
	}
	if c.GetBilling().ProRata == nil {
		r.warn("Settings: billing.pro_rata", "Not set: a link from an invoice line to a licence is held where the line has no pro rata mode to copy.")
	}
	for _, o := range others {
		switch same := o.GetHalo().GetInstance() == c.GetHalo().GetInstance(); {
		case !same && (o.GetHalo().GetTenant() == "" || c.GetHalo().GetTenant() == ""):
			r.warn("Halo instance", "Connection %q is at the same host with tenant %q, this one with %q. If both are one Halo, give both the same tenant: they then share its request budget and customers.",
				o.GetSlug(), o.GetHalo().GetTenant(), c.GetHalo().GetTenant())
		case same && (o.GetHalo().GetBudgetRequests() != c.GetHalo().GetBudgetRequests() || !proto.Equal(o.GetHalo().GetBudgetWindow(), c.GetHalo().GetBudgetWindow())):
			r.warn("Halo instance", "Connection %q shares this Halo and allows %d requests in %s, this one %d in %s. The budget is one: set both alike.",
				o.GetSlug(), o.GetHalo().GetBudgetRequests(), o.GetHalo().GetBudgetWindow().AsDuration(), c.GetHalo().GetBudgetRequests(), c.GetHalo().GetBudgetWindow().AsDuration())
		case same:
			r.ok("Halo instance", "Shared with connection %q: one request budget for both.", o.GetSlug())
		}
	}
}

func (s *server) checkGiacom(ctx context.Context, r *report, c *connectionv1.Connection, key telemetry.Secret) {
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	if key == "" {
		r.fail("Giacom key", "There is none. Make one in the Giacom portal under Settings > API and enter it in the connection.")
		return
	}
	if c.GetGiacom().GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2 {
		r.warn("Giacom version", "v2 is not available for production accounts; what Seatline knows of it is a guess. Choose v1 before billing on it.")
	}
	cfg := connections.Giacom(c, key)
	cfg.Clock, cfg.Log = s.clock, s.log
	cfg.HTTP = &http.Client{Transport: s.transport}
	g, err := giacom.New(cfg)
	if err != nil {
		r.fail("Giacom key", "%s", sentence(err))
		return
	}
	for _, check := range g.Validate(ctx) {
		if check.Err != nil {
			r.fail(check.Name, "%s", sentence(check.Err))
		} else {
			r.ok(check.Name, "%s", sentence(errors.New(check.Text)))
		}
	}
}

// remember keeps what was found out on every connection of the instance. What stayed unknown leaves
// standing what was known.
func (s *server) remember(ctx context.Context, instance string, found halo.Capabilities) error {
	return postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		if err := lockWrites(ctx, tx); err != nil {
			return err
		}
		rows, err := tx.Query(ctx, `select body from connections where instance = $1 and not deleted order by slug`, instance)
		if err != nil {
			return fmt.Errorf("read the connections of %s: %w", instance, err)
		}
		list, err := pgx.CollectRows(rows, scan)
		if err != nil {
			return fmt.Errorf("read the connections of %s: %w", instance, err)
		}
		now := s.clock.Now()
		for _, c := range list {
			known := c.GetHalo().GetCapabilities()
			merged := merge(known, found)
			if proto.Equal(known, merged) {
				continue
			}
			merged.ProbeTime = timestamppb.New(now)
			c.Halo.Capabilities = merged
			if err := write(ctx, tx, c, now, false); err != nil {
				return err
			}
		}
		return nil
	})
}

func merge(known *connectionv1.Capabilities, found halo.Capabilities) *connectionv1.Capabilities {
	if known == nil && found == (halo.Capabilities{}) {
		return nil
	}
	merged := &connectionv1.Capabilities{}
	if known != nil {
		merged = proto.CloneOf(known)
	}
	if found.ListMarks != halo.Unknown {
		merged.LicenceListHasSnowid = proto.Bool(found.ListMarks == halo.Yes)
	}
	if found.WholeInvoices != halo.Unknown {
		merged.InvoiceListHasLines = proto.Bool(found.WholeInvoices == halo.Yes)
	}
	if found.PageSize > 0 {
		merged.PageSize_1000 = proto.Bool(false)
	}
	return merged
}

// sentence makes an error one that ends in a full stop.
func sentence(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Sprintf("No answer within %s.", checkTime)
	}
	text := strings.TrimRight(err.Error(), ". ")
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}
