package e2e

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc/codes"

	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/estate"
)

func (g *guide) mapping(i int) *mappingv1.Mapping {
	g.Helper()
	m, err := g.mappings.GetMapping(g.ctx, &mappingv1.GetMappingRequest{Connection: g.slug(), MexId: g.mex(i)})
	g.must(err)
	return m
}

// mapped wants customers to be mapped by somebody or something, each to its counterpart, and tells the oracle.
func (g *guide) mapped(origin mappingv1.Origin, customers ...int) {
	g.Helper()
	for _, i := range customers {
		if m := g.mapping(i); m.GetHaloClientId() != g.client(i) || m.GetOrigin() != origin {
			g.Errorf("%s is mapped to %d by %s, want %d by %s", m.GetGiacomName(), m.GetHaloClientId(), m.GetOrigin(), g.client(i), origin)
		}
		g.settings.Mapped[g.mex(i)] = g.client(i)
	}
}

// billedTo counts the active licences that each customer of Halo has.
func (g *guide) billedTo(client int64) (n int) {
	for _, l := range g.w.Halo.State().Licences {
		if l.IsActive && l.ClientID == client {
			n++
		}
	}
	return n
}

func (g *guide) all() *mappingv1.MapAllRequest { return &mappingv1.MapAllRequest{Connection: g.slug()} }

// mapping is the guide's "Importing Customers": generate mappings, add others by hand, choose a top level, import. Most of
// it is done while nothing is written yet, as one would.
func mapping() []procedure {
	return []procedure{generating, takingOver, suggesting, ignoring, byFile, topLevel, leaving, byHand, customers}
}

var generating = procedure{
	name: "generate mappings",
	command: func(g *guide) {
		g.says(g.command(0, "mappings", "generate", "acme", "--dry-run"), "Harbour Dental Ltd", estate.OddName, "2 customers would be mapped", "Halo has 2 active customers of that name.")
		shown := &mappingv1.MappingChanges{}
		g.json(shown, "mappings", "generate", "acme", "--dry-run")
		g.says(g.command(4, "mappings", "generate", "acme", "--etag", "of-yesterday"), "not what was shown any more", "→")
		g.says(g.command(0, "mappings", "generate", "acme", "--etag", shown.GetEtag()), "2 customers mapped, with 4 subscriptions")
	},
	call: func(g *guide) {
		shown, err := g.mappings.GetGeneratedMappings(g.ctx, g.all())
		g.must(err)
		if len(shown.GetChanges()) != 2 || !slices.ContainsFunc(shown.GetSkipped(), func(x *mappingv1.SkippedCustomer) bool { return x.GetMexId() == g.mex(4) }) {
			g.Errorf("generating would do: %v", shown)
		}
		_, err = g.mappings.GenerateMappings(g.ctx, &mappingv1.MapAllRequest{Connection: "acme", Etag: "of-yesterday"})
		g.refused(err, codes.Aborted, "not what was shown any more")
		_, err = g.mappings.GenerateMappings(g.ctx, &mappingv1.MapAllRequest{Connection: "acme", Etag: shown.GetEtag()})
		g.must(err)
	},
	after: func(g *guide) {
		g.mapped(mappingv1.Origin_ORIGIN_NAME, 0, 1)
		if m := g.mapping(4); m.GetState() != mappingv1.State_STATE_UNMAPPED {
			g.Errorf("one of two namesakes was guessed: %v", m)
		}
	},
}

var takingOver = procedure{
	name: "take over the mappings of Halo's own integration",
	command: func(g *guide) {
		g.says(g.command(0, "mappings", "take-over", "acme", "--dry-run"), "TST Holdings", "1 customer would be mapped")
		g.says(g.command(0, "mappings", "take-over", "acme"), "1 customer mapped")
	},
	call: func(g *guide) {
		shown, err := g.mappings.GetNativeMappings(g.ctx, g.all())
		g.must(err)
		done, err := g.mappings.TakeOverMappings(g.ctx, &mappingv1.MapAllRequest{Connection: "acme", Etag: shown.GetEtag()})
		g.must(err)
		if len(shown.GetChanges()) != 1 || shown.GetApplied() || len(done.GetChanges()) != 1 || !done.GetApplied() {
			g.Errorf("shown %v, done %v", shown, done)
		}
	},
	after: func(g *guide) { g.mapped(mappingv1.Origin_ORIGIN_NATIVE, 7) },
}

var suggesting = procedure{
	name: "accept suggestions",
	command: func(g *guide) {
		g.says(g.command(0, "mappings", "suggestions", "acme"), "Quayside & Sons", "Northwind Bakery Ltd")
		g.says(g.command(0, "mappings", "accept", "acme", g.mex(3)), "is billed to Halo customer", "Quayside & Sons")
		g.says(g.command(0, "mappings", "accept", "acme", "--min-score", "60", "--dry-run"), "1 customer would be mapped")
		g.says(g.command(0, "mappings", "accept", "acme", "--min-score", "60"), "1 customer mapped")
	},
	call: func(g *guide) {
		all, err := g.mappings.ListSuggestions(g.ctx, &mappingv1.ListSuggestionsRequest{Connection: "acme"})
		g.must(err)
		at := slices.IndexFunc(all.GetSuggestions(), func(m *mappingv1.Mapping) bool { return m.GetMexId() == g.mex(3) })
		if at < 0 || len(all.GetSuggestions()[at].GetCandidates()[0].GetReasons()) == 0 {
			g.Fatalf("suggestions: %v", all)
		}
		_, err = g.mappings.AcceptSuggestion(g.ctx, &mappingv1.AcceptSuggestionRequest{Connection: "acme", MexId: g.mex(3), Etag: all.GetSuggestions()[at].GetEtag()})
		g.must(err)
		req := &mappingv1.AcceptSuggestionsRequest{Connection: "acme", MinScore: 60}
		shown, err := g.mappings.GetAcceptableSuggestions(g.ctx, req)
		g.must(err)
		req.Etag = shown.GetEtag()
		_, err = g.mappings.AcceptSuggestions(g.ctx, req)
		g.must(err)
	},
	after: func(g *guide) { g.mapped(mappingv1.Origin_ORIGIN_SUGGESTION, 2, 3) },
}

var ignoring = procedure{
	name: "ignore with a reason",
	command: func(g *guide) {
		g.says(g.command(2, "mappings", "ignore", "acme", g.mex(6)), "--reason")
		g.says(g.command(0, "mappings", "ignore", "acme", g.mex(6), "--reason", "our own"), "is ignored")
	},
	call: func(g *guide) {
		_, err := g.mappings.IgnoreCustomer(g.ctx, &mappingv1.IgnoreCustomerRequest{Connection: "acme", MexId: g.mex(6)})
		g.refused(err, codes.InvalidArgument, "reason")
		_, err = g.mappings.IgnoreCustomer(g.ctx, &mappingv1.IgnoreCustomerRequest{Connection: "acme", MexId: g.mex(6), Reason: "our own"})
		g.must(err)
	},
	after: func(g *guide) {
		if m := g.mapping(6); m.GetState() != mappingv1.State_STATE_IGNORED || m.GetReason().GetText() != "our own" {
			g.Errorf("what is to be ignored is %v", m)
		}
		g.settings.Ignored[g.mex(6)] = "our own"
	},
}

// byHand maps a customer, changes that, and takes it back.
var byHand = procedure{
	name: "map, change and remove by hand",
	command: func(g *guide) {
		one, other := fmt.Sprint(g.client(5)), fmt.Sprint(g.client(4)) // both are called Twin
		g.says(g.command(0, "mappings", "set", "acme", g.mex(4), one), "is billed to Halo customer "+one+" (Twin)", "2 subscriptions follow")
		g.moved("mapped", 5)
		g.says(g.command(0, "mappings", "set", "acme", g.mex(4), other), "is billed to Halo customer "+other+" (Twin)")
		g.moved("mapped to another", 4)
		g.says(g.command(0, "mappings", "remove", "acme", g.mex(4)), "Automation decides again")
	},
	call: func(g *guide) {
		set := func(client int64, etag string) *mappingv1.Mapping {
			m, err := g.mappings.SetMapping(g.ctx, &mappingv1.SetMappingRequest{Connection: "acme", MexId: g.mex(4), HaloClientId: client, Etag: etag})
			g.must(err)
			return m
		}
		m := set(g.client(5), g.mapping(4).GetEtag())
		g.moved("mapped", 5)
		set(g.client(4), m.GetEtag())
		g.moved("mapped to another", 4)
		_, err := g.mappings.RemoveMapping(g.ctx, &mappingv1.GetMappingRequest{Connection: "acme", MexId: g.mex(4)})
		g.must(err)
	},
	after: func(g *guide) {
		if m := g.mapping(4); m.GetState() != mappingv1.State_STATE_UNMAPPED {
			g.Errorf("after the mapping was removed: %v", m)
		}
		// Nobody is mapped by itself here, and so the oracle forgets a customer that is ignored for a moment.
		delete(g.settings.Mapped, g.mex(4))
		g.settings.Ignored[g.mex(4)] = "for a moment"
		g.oracle.SetSettings(g.settings)
		g.oracle.Settle(g.now)
		delete(g.settings.Ignored, g.mex(4))
	},
}

// moved wants the twin's licences and lines to be at one customer of Halo, and the oracle to agree.
func (g *guide) moved(when string, to int) {
	g.Helper()
	g.settle()
	if n := g.billedTo(g.client(to)); n != 2 {
		g.Errorf("%s, customer %d of Halo has %d licences, want 2", when, g.client(to), n)
	}
	g.settings.Mapped[g.mex(4)] = g.client(to)
	g.oracle.SetSettings(g.settings)
	g.oracle.Settle(g.now)
	g.right(when)
}

// byFile changes an export, as one would in a spreadsheet, and gets it wrong on the way.
var byFile = procedure{
	name: "map by a file",
	command: func(g *guide) {
		ignored := g.command(0, "mappings", "export", "acme", "-f", "state = ignored")
		g.says(ignored, g.mex(6), "our own")
		filled := strings.Replace(strings.Replace(ignored, ",our own,", ",,", 1), g.mex(6)+",,", g.mex(6)+`,,Somebody else altogether`, 1)
		g.says(g.command(8, "mappings", "import", "acme", g.file("half.csv", filled[:len(filled)-20])), "nothing was imported", "half.csv:2", "cut off")
		file := g.file("map.csv", filled)
		g.says(g.command(0, "mappings", "import", "acme", file, "--dry-run"), "1 mapping would be imported")
		g.says(g.command(0, "mappings", "import", "acme", file), "1 mapping imported")
		g.says(g.command(0, "mappings", "import", "acme", file), "0 mappings imported, 1 as they were")
		g.says(g.command(8, "mappings", "import", "acme", g.file("stale.csv", ignored)), "stale.csv:2", "changed by")
		whole := g.file("whole.csv", g.command(0, "mappings", "export", "acme"))
		g.says(g.command(0, "mappings", "import", "acme", whole), "0 mappings imported, 6 as they were")
	},
	call: func(g *guide) {
		file, err := g.mappings.GetMappingsFile(g.ctx, &mappingv1.GetMappingsFileRequest{Connection: "acme", Filter: "state = ignored"})
		g.must(err)
		filled := strings.Replace(strings.Replace(string(file.GetContent()), ",our own,", ",,", 1), g.mex(6)+",,", g.mex(6)+`,,Somebody else altogether`, 1)
		for _, x := range []struct {
			content string
			dry     bool
			done    int32
			wrong   string
		}{
			{content: filled[:len(filled)-20], wrong: "cut off"},
			{content: filled, dry: true, done: 1},
			{content: filled, done: 1},
			{content: filled, done: 0},
			{content: string(file.GetContent()), wrong: "changed by"},
		} {
			got, err := g.mappings.ImportMappings(g.ctx, &mappingv1.ImportMappingsRequest{Connection: "acme", Csv: []byte(x.content), ValidateOnly: x.dry})
			g.must(err)
			if got.GetImported() != x.done || (len(got.GetErrors()) > 0) != (x.wrong != "") {
				g.Errorf("%q was imported as %v", x.content, got)
			}
			for _, e := range got.GetErrors() {
				g.says(e.GetText(), x.wrong)
			}
		}
	},
	after: func(g *guide) {
		delete(g.settings.Ignored, g.mex(6))
		g.mapped(mappingv1.Origin_ORIGIN_FILE, 6)
	},
}

var topLevel = procedure{
	name: "choose a top level",
	command: func(g *guide) {
		g.says(g.command(0, "top-levels", "list", "acme"), "Customers", "Prospects")
		g.says(g.command(3, "top-levels", "set", "acme", "4711"), "no top level 4711", "top-levels list acme")
		g.says(g.command(0, "top-levels", "set", "acme", "13"), "created under Prospects (13)")
	},
	call: func(g *guide) {
		there, err := g.mappings.ListTopLevels(g.ctx, &mappingv1.ListTopLevelsRequest{Connection: "acme"})
		g.must(err)
		if len(there.GetTopLevels()) != 2 || there.GetChosenId() != 12 || there.GetChosenMissing() {
			g.Errorf("top levels: %v", there)
		}
		g.change(func(c *connectionv1.Connection) { c.Customers.TopLevelId = there.GetTopLevels()[1].GetId() })
	},
	after: func(g *guide) {
		if id := g.connection.GetCustomers().GetTopLevelId(); id != 13 {
			g.Errorf("customers are created under %d", id)
		}
	},
}

// customers is 'Import customers': one is new, and of one a person is asked who it is.
var customers = procedure{
	name: "import customers",
	command: func(g *guide) {
		g.says(g.command(0, "customers", "import", "acme", "--dry-run"), "Brand New Ventures", "Link or create?", "Would create 1, update 0, link 0; 1 wait for an answer")
		shown := &mappingv1.CustomerImport{}
		link := fmt.Sprintf("--link=%s=%d", g.mex(4), g.client(4))
		g.json(shown, "customers", "import", "acme", "--dry-run", link)
		g.says(g.command(2, "customers", "import", "acme", "--link", g.mex(4)), "MEX-ID=HALO-ID")
		g.says(g.command(4, "customers", "import", "acme", "--etag", shown.GetEtag()), "not what was shown any more") // the answer is missing
		g.says(g.command(0, "customers", "import", "acme", link, "--etag", shown.GetEtag()), "created 1 of 1", "linked 1")
		list := g.command(0, "customers", "imports", "acme")
		id := strings.Fields(strings.Split(list, "\n")[1])[0]
		g.says(g.command(0, "customers", "report", id), "Brand New Ventures", "create", "done")
		g.says(g.command(0, "customers", "report", id, "--format", "csv"), g.mex(5)+",Brand New Ventures")
	},
	call: func(g *guide) {
		req := &mappingv1.ImportCustomersRequest{Connection: "acme"}
		shown, err := g.mappings.GetCustomerImport(g.ctx, req)
		g.must(err)
		if shown.GetCreate() != 1 || shown.GetAsk() != 1 || shown.GetBlocked() != nil || shown.GetTopLevelId() != 13 {
			g.Errorf("the import would do: %v", shown)
		}
		req.Answers = []*mappingv1.ImportAnswer{{MexId: g.mex(4), Answer: &mappingv1.ImportAnswer_Link{Link: g.client(4)}}}
		req.Etag = shown.GetEtag()
		_, err = g.mappings.ImportCustomers(g.ctx, req)
		g.refused(err, codes.Aborted, "not what was shown any more")
		shown, err = g.mappings.GetCustomerImport(g.ctx, &mappingv1.ImportCustomersRequest{Connection: "acme", Answers: req.Answers})
		g.must(err)
		req.Etag = shown.GetEtag()
		started, err := g.mappings.ImportCustomers(g.ctx, req)
		g.must(err)
		last := g.watched(started.GetId())
		if last.GetEndTime() == nil || last.GetCreated() != 1 || last.GetLinked() != 1 || last.GetFailed()+last.GetWaiting()+last.GetPending() != 0 {
			g.Errorf("the import ended as %v", last)
		}
		report, err := g.mappings.GetCustomerImportFile(g.ctx, &mappingv1.GetCustomerImportFileRequest{Id: started.GetId(), Format: mappingv1.FileFormat_FILE_FORMAT_CSV})
		g.must(err)
		g.says(string(report.GetContent()), g.mex(5)+",Brand New Ventures")
	},
	after: func(g *guide) {
		g.mapped(mappingv1.Origin_ORIGIN_OPERATOR, 4)
		g.settings.Create[g.mex(5)] = true
		g.created("Brand New Ventures", 13)
	},
}

// watched follows an import of customers to its end.
func (g *guide) watched(id string) (last *mappingv1.CustomerImport) {
	g.Helper()
	stream, err := g.mappings.WatchCustomerImport(g.ctx, &mappingv1.GetCustomerImportReportRequest{Id: id})
	g.must(err)
	for {
		now, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return last
		}
		g.must(err)
		last = now
	}
}

// created wants exactly one more customer in Halo than there were, and the others where they were.
func (g *guide) created(name string, level int64) {
	g.Helper()
	was := map[int64]halosim.Client{}
	for _, c := range g.before.Clients {
		was[c.ID] = c
	}
	var fresh []halosim.Client
	for _, c := range g.w.Halo.State().Clients {
		if before, there := was[c.ID]; !there {
			fresh = append(fresh, c)
		} else if c.TopLevelID != before.TopLevelID || c.Name != before.Name {
			g.Errorf("%q under %d became %q under %d", before.Name, before.TopLevelID, c.Name, c.TopLevelID)
		}
	}
	if len(fresh) != 1 || fresh[0].Name != name || fresh[0].TopLevelID != level {
		g.Errorf("created are %+v, want %s under %d", fresh, name, level)
	}
}
