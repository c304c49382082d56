package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
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
	byGroup := map[connectionv1.Check_Group][]*connectionv1.Check{}
	var mu sync.Mutex
	err := s.validate(ctx, req.GetSlug(), func(c *connectionv1.Check) {
		mu.Lock()
		defer mu.Unlock()
		byGroup[c.GetGroup()] = append(byGroup[c.GetGroup()], c)
	})
	if err != nil {
		return nil, err
	}
	out := &connectionv1.ValidateConnectionResponse{}
	for group := connectionv1.Check_GROUP_SETTINGS; group <= connectionv1.Check_GROUP_TOGETHER; group++ {
		out.Checks = append(out.Checks, byGroup[group]...)
	}
	return out, nil
}

// StreamValidation is ValidateConnection for a person who watches.
func (s *server) StreamValidation(req *connectionv1.GetConnectionRequest, stream grpc.ServerStreamingServer[connectionv1.Check]) error {
	var mu sync.Mutex
	var broken error
	err := s.validate(stream.Context(), req.GetSlug(), func(c *connectionv1.Check) {
		mu.Lock()
		defer mu.Unlock()
		if broken == nil {
			broken = stream.Send(c)
		}
	})
	return errors.Join(err, broken)
}

// validate makes all checks and tells each; tell may be called from several goroutines.
func (s *server) validate(ctx context.Context, slug string, tell func(*connectionv1.Check)) error {
	c, err := live(ctx, s.pool, slug)
	if err != nil {
		return err
	}
	secrets, err := s.secrets(ctx, c.GetSlug())
	if err != nil {
		return err
	}
	others, err := neighbours(ctx, s.pool, c)
	if err != nil {
		return err
	}
	checkSettings(&report{connectionv1.Check_GROUP_SETTINGS, tell}, c, others)
	var g *giacom.Client // nil unless all is well on that side
	var h *halo.Client
	var group errgroup.Group
	group.Go(func() error {
		ctx, cancel := context.WithTimeout(ctx, checkTime)
		defer cancel()
		g = s.checkGiacom(ctx, &report{connectionv1.Check_GROUP_GIACOM, tell}, c, telemetry.Secret(secrets.GetGiacomApiKey()))
		return nil
	})
	group.Go(func() (err error) {
		asking, cancel := context.WithTimeout(ctx, checkTime)
		defer cancel()
		h, err = s.checkHalo(asking, &report{connectionv1.Check_GROUP_HALO, tell}, c, secrets)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	checkTogether(ctx, &report{connectionv1.Check_GROUP_TOGETHER, tell}, c, g, h)
	return nil
}

// report tells the checks of one side in the order in which they are made.
type report struct {
	group connectionv1.Check_Group
	tell  func(*connectionv1.Check)
}

// ok says what was found; the others also say what to do.
func (r *report) ok(name, format string, args ...any) {
	r.tell(&connectionv1.Check{Name: name, Group: r.group, Outcome: connectionv1.Check_OUTCOME_OK, Text: fmt.Sprintf(format, args...)})
}

func (r *report) warn(name, code, fix, format string, args ...any) {
	r.tell(&connectionv1.Check{Name: name, Group: r.group, Outcome: connectionv1.Check_OUTCOME_WARNING, Code: code, Fix: fix, Text: fmt.Sprintf(format, args...)})
}

func (r *report) fail(name, code, fix, format string, args ...any) {
	r.tell(&connectionv1.Check{Name: name, Group: r.group, Outcome: connectionv1.Check_OUTCOME_FAILED, Code: code, Fix: fix, Text: fmt.Sprintf(format, args...)})
}

func (r *report) skip(name, format string, args ...any) {
	r.tell(&connectionv1.Check{Name: name, Group: r.group, Outcome: connectionv1.Check_OUTCOME_SKIPPED, Code: "skipped", Text: fmt.Sprintf(format, args...)})
}

// checkSettings says what of the settings alone will hold work or surprise. Wrong ones were never stored,
// except by a version of Seatline that knew less.
func checkSettings(r *report, c *connectionv1.Connection, others []*connectionv1.Connection) {
	well := true
	for _, wrong := range Validate(c, c) {
		well = false
		r.fail("Settings: "+wrong.Field, "setting_wrong", "Correct it in the connection.", "%s", sentence(errors.New(wrong.Description)))
	}
	if well {
		r.ok("Settings", "Complete and consistent.")
	}
	if c.GetGiacom().GetAnnualPriceBasis() == 0 {
		r.warn("Settings: giacom.annual_price_basis", "price_basis_unset", "Compare a price with an invoice of Giacom, and set it to per seat per month or per seat per term.",
			"Not set: subscriptions with an annual or longer term are held until you say whether Giacom's price is per month or per term.")
	}
	if c.GetBilling().ProRata == nil {
		r.warn("Settings: billing.pro_rata", "pro_rata_unset", "Choose one of Halo's pro rata modes in the connection.",
			"Not set: a link from an invoice line to a licence is held where the line has no pro rata mode to copy.")
	}
	for _, o := range others {
		switch same := o.GetHalo().GetInstance() == c.GetHalo().GetInstance(); {
		case !same && (o.GetHalo().GetTenant() == "" || c.GetHalo().GetTenant() == ""):
			r.warn("Halo instance", "tenant_differs", "If both are one Halo, give both the same tenant: they then share its request budget and customers.",
				"Connection %q is at the same host with tenant %q, this one with %q.", o.GetSlug(), o.GetHalo().GetTenant(), c.GetHalo().GetTenant())
		case same && (o.GetHalo().GetBudgetRequests() != c.GetHalo().GetBudgetRequests() || !proto.Equal(o.GetHalo().GetBudgetWindow(), c.GetHalo().GetBudgetWindow())):
			r.warn("Halo instance", "budget_differs", "The budget is one: set both alike.",
				"Connection %q shares this Halo and allows %d requests in %s, this one %d in %s.", o.GetSlug(), o.GetHalo().GetBudgetRequests(),
				o.GetHalo().GetBudgetWindow().AsDuration(), c.GetHalo().GetBudgetRequests(), c.GetHalo().GetBudgetWindow().AsDuration())
		case same:
			r.ok("Halo instance", "Shared with connection %q: one request budget for both.", o.GetSlug())
		}
	}
}

// whereKey is where the guide says that a key is made.
const whereKey = "Make one in the Giacom portal under My Account & Settings > Settings > API and enter it in the connection."

// warningV2 is the guide's own.
const warningV2 = "v2 of the Giacom API is not currently available for production instances. Please use v1."

// checkGiacom returns a client unless its key was refused.
func (s *server) checkGiacom(ctx context.Context, r *report, c *connectionv1.Connection, key telemetry.Secret) *giacom.Client {
	if key == "" {
		r.fail("Giacom key", "key_missing", whereKey, "There is none.")
		return nil
	}
	if c.GetGiacom().GetVersion() == connectionv1.GiacomVersion_GIACOM_VERSION_V2 {
		r.warn("Giacom version", "v2", "Choose v1 before billing on it: what Seatline knows of v2 is a guess.", warningV2)
	}
	g, err := s.giacom(c, key)
	if err != nil {
		r.fail("Giacom key", "giacom_settings", "Correct the settings of Giacom in the connection.", "%s", sentence(err))
		return nil
	}
	well := true
	for _, check := range g.Validate(ctx) {
		if check.Err == nil {
			r.ok(check.Name, "%s", sentence(errors.New(check.Text)))
			continue
		}
		well = false
		r.fail(check.Name, "giacom_"+string(giacom.ClassOf(check.Err)), fixGiacom(check.Err), "%s", whatGiacom(check.Err))
	}
	if !well {
		return nil
	}
	return g
}

func (s *server) giacom(c *connectionv1.Connection, key telemetry.Secret) (*giacom.Client, error) {
	cfg := connections.Giacom(c, key)
	cfg.Clock, cfg.Log = s.clock, s.log
	cfg.HTTP = &http.Client{Transport: s.transport}
	return giacom.New(cfg)
}

// whatGiacom says what went wrong; what to do stands beside it.
func whatGiacom(err error) string {
	var e *giacom.Error
	if errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &e) {
		return sentence(err)
	}
	return sentence(errors.New(e.What()))
}

// fixGiacom says what to do about an error of Giacom's.
func fixGiacom(err error) string {
	switch giacom.ClassOf(err) {
	case giacom.KeyRejected:
		return "The key is wrong or was revoked. " + whereKey
	case giacom.KeyLacksProduct:
		return "Ask Giacom to add this API to the key's subscription, or enter another key."
	case giacom.QuotaSpent, giacom.RateLimited:
		return "Wait, and validate again; poll less often if it happens again."
	case giacom.NotFound:
		return "Check base URL and path in the connection, or choose another import method, or take customers from the subscriptions (derived)."
	case giacom.Refused, giacom.Malformed:
		return "Check base URL, version and import method in the connection."
	case giacom.Unavailable:
		return "Check the base URL and whether this machine may reach it; Giacom's own state is at status.cloud.market."
	}
	return "Check the settings of Giacom in the connection and validate again."
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
