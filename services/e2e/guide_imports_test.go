package e2e

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/oracle"
	"seatline.dev/services/seatline/ctl"
)

// importing is the guide's "Importing Subscriptions" and what it says of doing so automatically.
func importing() []procedure {
	return []procedure{subscriptions, integrator, deactivation, otherMethod}
}

// subscriptions is 'Import subscriptions': shown first, then done, with a report.
var subscriptions = procedure{
	name: "import subscriptions",
	command: func(g *guide) {
		g.must(g.w.Giacom.SetSeats(g.sub(0).ID, 41))
		g.says(g.command(0, "integrator", "preview", "acme"), "0 to create, 1 to update, 15 unchanged", "→ 41")
		g.run = g.ran(g.command(0, "integrator", "run-now", "acme", "--watch"))
		g.saw(false)
		g.says(g.command(0, "integrator", "report", g.run), "1 licence: update (applied)", "count")
		g.says(g.command(0, "margins", "acme"), "Harbour Dental", "Our lines bill £")
		g.says(g.command(0, "integrator", "report", g.run, "--csv"), ",licence,giacom/"+g.sub(0).ID+",", ",applied,update,count: ")
	},
	call: func(g *guide) {
		g.must(g.w.Giacom.SetSeats(g.sub(0).ID, 41))
		shown, err := g.integrator.GetSubscriptionImport(g.ctx, &runv1.GetSubscriptionImportRequest{Connection: "acme"})
		g.must(err)
		if shown.GetUpdate() != 1 || shown.GetUnchanged() != 15 || shown.GetRows()[0].GetQuantityAfter() != "41" || len(shown.GetUnknown()) > 0 {
			g.Errorf("the import would do: %v", shown)
		}
		run, err := g.w.Run(g.ctx, "acme", false)
		g.must(err)
		g.saw(false)
		report, err := g.integrator.GetRunReport(g.ctx, &runv1.GetRunReportRequest{Id: run.GetId()})
		g.must(err)
		if counted(report.GetCounts(), "licence", "update") != 1 || len(report.GetUnknown()) > 0 {
			g.Errorf("the run's report: %v", report)
		}
	},
	after: func(g *guide) {
		if l := g.licence("/" + g.sub(0).ID); l == nil || l.Count != 41 {
			g.Errorf("the licence is %+v, want 41 seats", l)
		}
	},
}

// ran gives the id of the run that a command followed to its end; it is the newest.
func (g *guide) ran(out string) string {
	g.Helper()
	g.says(out, "succeeded")
	page, err := g.integrator.ListRunHistory(g.ctx, &runv1.ListRunHistoryRequest{Connection: g.slug(), PageSize: 1})
	g.must(err)
	return page.GetRuns()[0].GetRun().GetId()
}

// counted is how many changes of a kind were applied.
func counted(counts []*runv1.ChangeCount, kind, action string) (n int64) {
	for _, c := range counts {
		if c.GetKind() == kind && c.GetAction() == action && c.GetOutcome() == "applied" {
			n += c.GetCount()
		}
	}
	return n
}

// integrator switches the schedule on, which has not run yet and so runs at once: what it does not find is missing once.
var integrator = procedure{
	name: "switch the integrator on",
	command: func(g *guide) {
		g.must(g.w.Giacom.Remove(g.sub(3).ID))
		g.says(g.command(2, "integrator", "set", "acme", "--cron", "every hour"), "is no cron expression")
		g.says(g.command(0, "integrator", "set", "acme", "--enable", "--every", "90m", "--entities", "customers,subscriptions", "--deactivate-removed"), "every 1h30m0s", "are deactivated")
		g.scheduled()
		g.says(g.command(0, "integrator", "get", "acme"), "Every 1h30m", "are deactivated in Halo", "Next sync")
		g.says(g.command(0, "integrator", "history", "acme"), "scheduled", "manual")
	},
	call: func(g *guide) {
		g.must(g.w.Giacom.Remove(g.sub(3).ID))
		g.change(func(c *connectionv1.Connection) {
			c.Schedule = &connectionv1.Schedule{Enabled: true, Interval: durationpb.New(90 * time.Minute), Customers: true, Subscriptions: true}
			c.Licences.DeactivateRemoved = true
		})
		g.scheduled()
		now, err := g.integrator.GetIntegrator(g.ctx, &runv1.GetIntegratorRequest{Connection: "acme"})
		g.must(err)
		if !now.GetDeactivateRemoved() || len(now.GetSync().GetNextTimes()) == 0 || now.GetSync().GetLastError() != nil || len(now.GetUnknown()) > 0 {
			g.Errorf("the integrator: %v", now)
		}
	},
	after: func(g *guide) {
		if s := g.connection.GetSchedule(); !s.GetEnabled() || s.GetInterval().AsDuration() != 90*time.Minute || !s.GetCustomers() || !s.GetSubscriptions() || !g.connection.GetLicences().GetDeactivateRemoved() {
			g.Errorf("the integrator was not set: %v", g.connection)
		}
		if l := g.licence("/" + g.sub(3).ID); l == nil || !l.IsActive {
			g.Errorf("missing once, and the licence is %+v", l)
		}
	},
}

// scheduled waits until the schedule has run by itself, and tells the oracle.
func (g *guide) scheduled() {
	g.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(50 * time.Millisecond) {
		page, err := g.integrator.ListRunHistory(g.ctx, &runv1.ListRunHistoryRequest{Connection: "acme", PageSize: 1})
		g.must(err)
		if run := page.GetRuns()[0].GetRun(); run.GetTrigger() == runv1.Trigger_TRIGGER_SCHEDULED && run.GetOutcome() == runv1.Outcome_OUTCOME_SUCCEEDED {
			g.saw(true)
			return
		}
	}
	g.Fatal("the schedule does not run")
}

// deactivation is "deactivate licences when they are deleted from Giacom": missing a second time, it is proven.
var deactivation = procedure{
	name: "deactivate what is deleted from Giacom",
	command: func(g *guide) {
		g.run = g.ran(g.command(0, "runs", "start", "acme", "--as-scheduled", "--watch"))
		g.saw(true)
		g.says(g.command(0, "integrator", "report", g.run), "1 licence: deactivate (applied)")
		g.says(g.command(0, "changes", "acme", "-f", "action = deactivate"), "deactivate")
	},
	call: func(g *guide) {
		run, err := g.w.Run(g.ctx, "acme", true)
		g.must(err)
		g.saw(true)
		report, err := g.integrator.GetRunReport(g.ctx, &runv1.GetRunReportRequest{Id: run.GetId()})
		g.must(err)
		if run.GetSubscriptions().GetRemoved() != 1 || counted(report.GetCounts(), "licence", "deactivate") != 1 {
			g.Errorf("the run %v reports %v", run, report.GetCounts())
		}
	},
	after: func(g *guide) {
		active := func(s halosim.State) (n int) {
			for _, l := range s.Licences {
				if l.IsActive {
					n++
				}
			}
			return n
		}
		if l := g.licence("/" + g.sub(3).ID); l == nil || l.IsActive || active(g.w.Halo.State()) != active(g.before)-1 {
			g.Errorf("proven to be gone, and the licence is %+v", l)
		}
	},
}

// otherMethod chooses another import method: licences that match go on in place. The oracle knows one method only.
var otherMethod = procedure{
	name: "change the import method, and adopt",
	command: func(g *guide) {
		per, licences, links := g.held()
		g.says(g.command(0, "connections", "method", "acme", "both"), "they go on as they are in Halo, under their new ids")
		g.unchanged("after the preview", per, licences, links)
		g.says(g.command(0, "connections", "method", "acme", "both", "--yes"), "by the method both from the next run on")
		g.run = g.ran(g.command(0, "runs", "start", "acme", "--watch"))
		g.settle()
		g.unchanged("after the change of the method", per, licences, links)
		g.says(g.command(0, "integrator", "report", g.run), "licence: adopt (applied)")
	},
	call: func(g *guide) {
		per, licences, links := g.held()
		shown, err := g.console.GetMethodChange(g.ctx, &connectionv1.GetMethodChangeRequest{Slug: "acme", Method: connectionv1.ImportMethod_IMPORT_METHOD_BOTH})
		g.must(err)
		g.unchanged("after the preview", per, licences, links)
		g.change(func(c *connectionv1.Connection) { c.Giacom.Method = connectionv1.ImportMethod_IMPORT_METHOD_BOTH })
		run, err := g.w.Run(g.ctx, "acme", false)
		g.must(err)
		g.settle()
		g.unchanged("after the change of the method", per, licences, links)
		report, err := g.integrator.GetRunReport(g.ctx, &runv1.GetRunReportRequest{Id: run.GetId()})
		g.must(err)
		if n := counted(report.GetCounts(), "licence", "adopt"); n != 8 || shown.GetMatched() != n || shown.GetNew()+shown.GetUnsure()+shown.GetStops() != 0 {
			g.Errorf("%d were adopted; shown was %v", n, shown)
		}
	},
	after: func(g *guide) {
		marks := 0
		for _, l := range g.w.Halo.State().Licences {
			if strings.HasPrefix(l.SnowID, "giacom:acme:microsoft/") {
				marks++
				g.imported(l, true)
			}
		}
		if marks != 8 {
			g.Errorf("%d licences go on under the id that the report gives, want 8", marks)
		}
		g.oracle = nil
	},
}

// held is what Halo has now: see unchanged.
func (g *guide) held() (map[string]string, []int64, map[int64][]int64) {
	licences, links := world.Links(g.w.Halo.State())
	return maps.Clone(g.perProduct()), licences, links
}

// imported looks for the fields that the guide lists; only the report tells of Microsoft's end date and term.
func (g *guide) imported(l halosim.Licence, ends bool) {
	g.Helper()
	if l.Count == 0 || l.PurchasePrice.IsZero() || l.StartDate.IsZero() || l.BillingCycle == "" {
		g.Errorf("%s lacks what every method brings: %+v", l.Name, l)
	}
	if l.EndDate.IsZero() == ends || (l.TermDuration == "") == ends {
		g.Errorf("%s has the end date %v and the term %q, want them: %v", l.Name, l.EndDate, l.TermDuration, ends)
	}
}

// theImport is a first import with one of the guide's methods, on a connection of its own.
func theImport() []procedure {
	return []procedure{anotherConnection, everyCustomer, firstImport, deletion}
}

func methodWord(m connectionv1.ImportMethod) string {
	return strings.ToLower(strings.TrimPrefix(m.String(), "IMPORT_METHOD_"))
}

var anotherConnection = procedure{
	name: "connect, for another method",
	command: func(g *guide) {
		want := g.wanted("by-"+methodWord(g.method), connectionv1.Mode_MODE_AUTO, g.method, true)
		g.applied(want, "env:STORY_NEW_KEY")
		g.stored(want)
		g.command(0, "connections", "validate", g.slug())
	},
	call: func(g *guide) {
		want := g.wanted("by-"+methodWord(g.method), connectionv1.Mode_MODE_AUTO, g.method, true)
		g.called(want, giacomKey)
		g.stored(want)
		_, err := g.console.ValidateConnection(g.ctx, &connectionv1.GetConnectionRequest{Slug: g.slug()})
		g.must(err)
	},
	after: func(*guide) {},
}

// everyCustomer reads Giacom's customers alone and imports them: exact names are mapped by that, who is near is created
// all the same or linked as a person says, who is new is created.
var everyCustomer = procedure{
	name: "import customers first",
	command: func(g *guide) {
		g.command(0, "runs", "start", g.slug(), "--customers", "--watch")
		g.settle()
		link := func(i int) string { return fmt.Sprintf("--link=%s=%d", g.mex(i), g.client(i)) }
		g.command(0, "customers", "import", g.slug(), link(2), link(7), "--create", g.mex(3), "--skip", g.mex(4))
	},
	call: func(g *guide) {
		run, err := runv1.NewRunServiceClient(g.w.Client(ctl.Fetcher)).StartRun(g.ctx, &runv1.StartRunRequest{Connection: g.slug(), Customers: true})
		g.must(err)
		g.ended(run.GetId())
		g.settle()
		started, err := g.mappings.ImportCustomers(g.ctx, &mappingv1.ImportCustomersRequest{Connection: g.slug(), Answers: []*mappingv1.ImportAnswer{
			{MexId: g.mex(2), Answer: &mappingv1.ImportAnswer_Link{Link: g.client(2)}}, {MexId: g.mex(7), Answer: &mappingv1.ImportAnswer_Link{Link: g.client(7)}},
			{MexId: g.mex(3), Answer: &mappingv1.ImportAnswer_Create{Create: true}}, {MexId: g.mex(4), Answer: &mappingv1.ImportAnswer_Skip{Skip: true}},
		}})
		g.must(err)
		g.watched(started.GetId())
	},
	after: func(g *guide) {
		g.settings.Mapped[g.mex(2)], g.settings.Mapped[g.mex(7)] = g.client(2), g.client(7)
		names := map[string]int{}
		for _, c := range g.w.Halo.State().Clients {
			names[c.Name]++
		}
		for _, i := range []int{3, 5, 6} {
			g.settings.Create[g.mex(i)] = true
			if name := g.data.Giacom.Customers[i].Name; names[name] != 1 {
				g.Errorf("Halo has %d customers %q", names[name], name)
			}
		}
		if len(g.w.Halo.State().Licences) > 0 {
			g.Error("an import of customers made licences")
		}
		account := g.w.Giacom.Account()
		account.Subscriptions = nil // which were not read
		g.oracle.SetSettings(g.settings)
		g.oracle.Observe(account, oracle.Run{At: time.Now()})
	},
}

// ended waits for the end of a run.
func (g *guide) ended(id string) {
	g.Helper()
	stream, err := runv1.NewRunServiceClient(g.w.Client(ctl.Fetcher)).WatchRun(g.ctx, &runv1.GetRunRequest{Id: id})
	g.must(err)
	for err == nil {
		_, err = stream.Recv()
	}
	if !errors.Is(err, io.EOF) {
		g.Fatal(err)
	}
}

var firstImport = procedure{
	name: "import subscriptions for the first time",
	command: func(g *guide) {
		g.says(g.command(0, "integrator", "preview", g.slug()), "to create", "skipped: ", "is not mapped to a Halo customer")
		g.ran(g.command(0, "integrator", "run-now", g.slug(), "--subscriptions", "--watch"))
		g.saw(false)
	},
	call: func(g *guide) {
		shown, err := g.integrator.GetSubscriptionImport(g.ctx, &runv1.GetSubscriptionImportRequest{Connection: g.slug()})
		g.must(err)
		if !shown.GetComplete() || shown.GetCreate() == 0 || shown.GetSkip() == 0 || len(shown.GetUnknown()) > 0 {
			g.Errorf("the import would do: %v", shown)
		}
		run, err := runv1.NewRunServiceClient(g.w.Client(ctl.Fetcher)).StartRun(g.ctx, &runv1.StartRunRequest{Connection: g.slug(), Subscriptions: true})
		g.must(err)
		g.ended(run.GetId())
		g.saw(false)
	},
	after: func(g *guide) {
		licences := g.w.Halo.State().Licences
		want := map[connectionv1.ImportMethod]int{connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS: 14, connectionv1.ImportMethod_IMPORT_METHOD_REPORT: 7, connectionv1.ImportMethod_IMPORT_METHOD_BOTH: 14}[g.method]
		if len(licences) != want {
			g.Errorf("Halo has %d licences, want %d", len(licences), want)
		}
		for _, l := range licences {
			g.imported(l, g.method != connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS && strings.HasPrefix(l.Name, "Microsoft"))
		}
		if i := slices.IndexFunc(licences, func(l halosim.Licence) bool { return l.ClientID == g.client(4) }); i >= 0 {
			g.Errorf("a customer that was left for now has the licence %+v", licences[i])
		}
	},
}
