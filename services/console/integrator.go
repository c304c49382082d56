package console

import (
	"context"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// integrator answers IntegratorService.
type integrator struct {
	runv1.UnimplementedIntegratorServiceServer
	*server
}

// GetIntegrator joins the settings of a connection's schedule with what the fetcher made of them.
func (s integrator) GetIntegrator(ctx context.Context, req *runv1.GetIntegratorRequest) (*runv1.Integrator, error) {
	c, err := live(ctx, s.pool, req.GetConnection())
	if err != nil {
		return nil, err
	}
	out := &runv1.Integrator{
		Connection: c.GetSlug(), Schedule: c.GetSchedule(), DeactivateRemoved: c.GetLicences().GetDeactivateRemoved(),
		Enabled: c.GetEnabled(), Mode: c.GetMode(), Etag: c.GetEtag(), ScheduleText: scheduleText(c.GetSchedule()),
	}
	var unknown absent
	err = unknown.ask(ctx, "fetcher", func(ctx context.Context) (err error) {
		out.Sync, err = s.peers.Runs().GetSyncStatus(ctx, &runv1.GetSyncStatusRequest{Connection: c.GetSlug()})
		return missingIsNone(err)
	})
	out.Unknown = unknown
	return out, err
}

// scheduleText says a schedule in words where it can.
func scheduleText(s *connectionv1.Schedule) string {
	what := "customers and subscriptions"
	switch {
	case s.GetCustomers() && !s.GetSubscriptions():
		what = "customers"
	case s.GetSubscriptions() && !s.GetCustomers():
		what = "subscriptions"
	}
	when := ""
	fields := strings.Fields(s.GetCron())
	var minute, from, to int
	_, plain := fmt.Sscanf(s.GetCron(), "%d %d-%d * * *", &minute, &from, &to)
	switch {
	case !s.GetEnabled():
		return "Off: " + what + " are imported by hand only."
	case s.GetInterval() != nil:
		return fmt.Sprintf("Every %s: %s.", shortly(s.GetInterval().AsDuration()), what)
	case plain == nil && len(fields) == 5 && fields[0] == fmt.Sprint(minute) && fields[1] == fmt.Sprintf("%d-%d", from, to):
		when = fmt.Sprintf("Every hour from %02d:%02d to %02d:%02d", from, minute, to, minute)
	default:
		if _, err := fmt.Sscanf(s.GetCron(), "%d %d * * *", &minute, &from); err == nil && len(fields) == 5 && fields[1] == fmt.Sprint(from) && fields[0] == fmt.Sprint(minute) {
			when = fmt.Sprintf("Every day at %02d:%02d", from, minute)
		} else {
			when = "By the cron expression " + s.GetCron()
		}
	}
	return fmt.Sprintf("%s, %s: %s.", when, s.GetTimeZone(), what)
}

// shortly writes a duration without the parts that are nought: 1h0m0s is 1h.
func shortly(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// ListRunHistory adds to the fetcher's runs what they changed in Halo.
func (s integrator) ListRunHistory(ctx context.Context, req *runv1.ListRunHistoryRequest) (*runv1.ListRunHistoryResponse, error) {
	filter := req.GetFilter()
	if of := req.GetConnection(); of != "" {
		scope := fmt.Sprintf("connection = %q", of)
		if filter != "" {
			scope += " AND (" + filter + ")"
		}
		filter = scope
	}
	page, err := s.peers.Runs().ListRuns(ctx, &runv1.ListRunsRequest{PageSize: req.GetPageSize(), PageToken: req.GetPageToken(), Filter: filter, OrderBy: "start_time desc"})
	if err != nil {
		return nil, unreachable("fetcher", err)
	}
	out := &runv1.ListRunHistoryResponse{NextPageToken: page.GetNextPageToken()}
	byID := map[string]*runv1.RunSummary{}
	var ids []string
	for _, r := range page.GetRuns() {
		x := &runv1.RunSummary{Run: r}
		out.Runs = append(out.Runs, x)
		byID[r.GetId()] = x
		ids = append(ids, r.GetId())
	}
	var unknown absent
	err = s.changeCounts(ctx, &unknown, req.GetConnection(), ids, func(c *opsv1.RunChangeCount) {
		x := byID[c.GetRun()]
		x.Changes = append(x.Changes, changeCount(c))
	})
	out.Unknown = unknown
	return out, err
}

// changeCounts asks every service that writes to Halo what came of some runs, in the order of a plan.
func (s *server) changeCounts(ctx context.Context, unknown *absent, connection string, runs []string, do func(*opsv1.RunChangeCount)) error {
	if len(runs) == 0 {
		return nil
	}
	for _, w := range s.peers.Writers() {
		err := unknown.ask(ctx, w.Service, func(ctx context.Context) error {
			resp, err := w.Ops.GetChangeCounts(ctx, &opsv1.GetChangeCountsRequest{Connection: connection, Runs: runs})
			for _, c := range resp.GetCounts() {
				do(c)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func changeCount(c *opsv1.RunChangeCount) *runv1.ChangeCount {
	return &runv1.ChangeCount{Kind: c.GetKind(), Outcome: c.GetOutcome(), Action: c.GetAction(), Count: c.GetCount()}
}

// maxReported is how many changes a report lists.
const maxReported = 10_000

// GetRunReport is made from the change logs, which nobody changes: it can be had at any later time.
func (s integrator) GetRunReport(ctx context.Context, req *runv1.GetRunReportRequest) (*runv1.RunReport, error) {
	run, err := s.peers.Runs().GetRun(ctx, &runv1.GetRunRequest{Id: req.GetId()})
	if err != nil {
		return nil, unreachable("fetcher", err)
	}
	limit := int(req.GetLimit())
	if limit <= 0 || limit > maxReported {
		limit = maxReported
	}
	out := &runv1.RunReport{Run: run, Time: timestamppb.New(s.clock.Now())}
	var unknown absent
	err = s.changeCounts(ctx, &unknown, run.GetConnection(), []string{run.GetId()}, func(c *opsv1.RunChangeCount) {
		out.Counts = append(out.Counts, changeCount(c))
	})
	if err != nil {
		return nil, err
	}
	for _, w := range s.peers.Writers() {
		err := unknown.ask(ctx, w.Service, func(ctx context.Context) error {
			for token := ""; ; {
				room := limit - len(out.Changes)
				if room <= 0 {
					out.Truncated = true
					return nil
				}
				page, err := w.Ops.ListChanges(ctx, &opsv1.ListChangesRequest{Connection: run.GetConnection(), PageSize: int32(min(room, 1000)), PageToken: token,
					Filter: fmt.Sprintf("run = %q", run.GetId()), OrderBy: "id"})
				if err != nil {
					return err
				}
				out.Changes = append(out.Changes, page.GetChanges()...)
				if token = page.GetNextPageToken(); token == "" {
					return nil
				}
			}
		})
		if err != nil {
			return nil, err
		}
	}
	if out.Skips, err = s.skipped(ctx, &unknown, run.GetConnection()); err != nil {
		return nil, err
	}
	out.Unknown = unknown
	return out, nil
}

// skipped counts the subscriptions that go on to no Halo customer at present, by reason.
func (s *server) skipped(ctx context.Context, unknown *absent, connection string) ([]*runv1.SkipCount, error) {
	var skips skipCounts
	err := unknown.ask(ctx, "mapper", func(ctx context.Context) error {
		return rpc.Pages(func(token string) (string, error) {
			page, err := s.peers.Subscriptions().ListSubscriptions(ctx, &subscriptionv1.ListSubscriptionsRequest{
				PageSize: 1000, PageToken: token, Filter: fmt.Sprintf("connection = %q AND state = UNRESOLVED", connection),
			})
			for _, x := range page.GetSubscriptions() {
				skips.add(x.GetReason())
			}
			return page.GetNextPageToken(), err
		})
	})
	return skips.list, err
}

// skipTexts say why for a person; the reasons of single subscriptions name their customer or what was typed.
var skipTexts = map[string]string{
	"customer_not_mapped": "Their Giacom customer is not mapped to a Halo customer.",
	"customer_ignored":    "Their Giacom customer is ignored.",
	"excluded":            "A person excluded them.",
	"near_match":          "Their Giacom customer nearly matches one of Halo's: link it, or create one?",
	"customer_new":        "Their Giacom customer comes for the first time; it is mapped as its name allows, or waits for a person.",
}

type skipCounts struct{ list []*runv1.SkipCount }

func (c *skipCounts) add(why *itemv1.Reason) {
	for _, x := range c.list {
		if x.GetCode() == why.GetCode() {
			x.Count++
			return
		}
	}
	text := skipTexts[why.GetCode()]
	if text == "" {
		text = why.GetText()
	}
	c.list = append(c.list, &runv1.SkipCount{Code: why.GetCode(), Text: text, Count: 1})
}
