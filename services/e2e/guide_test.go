package e2e

import (
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
	"seatline.dev/services/oracle"
	"seatline.dev/services/seatline/ctl"
)

// procedure is one of Halo's guide, or of what goes beyond it: how an operator does it on the command line, how a
// program does it over gRPC, and what is to be seen afterwards, whichever way it was done. When after has told the
// oracle what people decided, Halo must hold what the oracle says.
type procedure struct {
	name    string
	command func(*guide)
	call    func(*guide)
	after   func(*guide)
}

// guide is somebody who goes through the procedures.
type guide struct {
	*story
	console    connectionv1.ConnectionServiceClient
	mappings   mappingv1.MappingServiceClient
	integrator runv1.IntegratorServiceClient

	dir    string                    // for files
	method connectionv1.ImportMethod // by which the next connection imports
	before halosim.State             // Halo before the procedure at hand
	run    string                    // the last import, where a procedure leaves it
}

const giacomKey, haloSecret = "sim-key", "sim-secret"

// Everything that the guide describes, in its own order and in one world, on the command line and over gRPC; then what
// the import brings by each of its methods.
func TestTheGuide(t *testing.T) {
	t.Parallel()
	for name, by := range map[string]func(procedure) func(*guide){
		"on the command line": func(p procedure) func(*guide) { return p.command },
		"over gRPC":           func(p procedure) func(*guide) { return p.call },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := begin(t, plot{
				estate: estate.Strangers(estate.Config{Seed: 3, Now: time.Now()}), rules: keepAndAdd,
				world: world.Options{Env: []string{"STORY_GIACOM_KEY=a-wrong-key", "STORY_NEW_KEY=" + giacomKey, "STORY_OTHER_KEY=another-wrong-key"}},
			})
			g := &guide{
				story: s, dir: t.TempDir(), console: connectionv1.NewConnectionServiceClient(s.w.Client(ctl.Console)),
				mappings: mappingv1.NewMappingServiceClient(s.w.Client(ctl.Mapper)), integrator: runv1.NewIntegratorServiceClient(s.w.Client(ctl.Console)),
			}
			g.file("halo-secret", haloSecret+"\n")
			g.through(by, theGuide())
			for _, m := range []connectionv1.ImportMethod{
				connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS, connectionv1.ImportMethod_IMPORT_METHOD_REPORT, connectionv1.ImportMethod_IMPORT_METHOD_BOTH,
			} {
				g.method = m
				g.anotherHalo()
				g.through(by, theImport())
			}
		})
	}
}

// anotherHalo is one in which nothing has happened yet, nor in Giacom.
func (g *guide) anotherHalo() {
	g.Helper()
	g.w.Halo = halosim.New(halosim.Config{})
	server := httptest.NewServer(g.w.Halo)
	g.Cleanup(server.Close)
	g.w.HaloURL = server.URL
	g.must(g.data.Fill(g.w.Giacom, g.w.Halo))
}

// theGuide is all procedures on one connection, from its file to its end.
func theGuide() (all []procedure) {
	all = append(all, connecting()...)
	all = append(all, mapping()...)
	all = append(all, importing()...)
	return append(all, ending()...)
}

// through goes through procedures one by one.
func (g *guide) through(by func(procedure) func(*guide), all []procedure) {
	for _, p := range all {
		if !g.Run(p.name, func(t *testing.T) {
			whole := g.T
			g.T = t
			defer func() { g.T = whole }()
			g.before = g.w.Halo.State()
			by(p)(g)
			if g.connection == nil {
				return // it has come to its end
			}
			g.settle()
			g.follow()
			p.after(g)
			if g.oracle == nil {
				return
			}
			g.oracle.SetSettings(g.settings)
			g.oracle.Settle(time.Now())
			g.right("after " + p.name)
		}) {
			g.FailNow()
		}
	}
}

// follow tells the oracle of the connection as it is now.
func (g *guide) follow() {
	g.Helper()
	now, err := g.console.GetConnection(g.ctx, &connectionv1.GetConnectionRequest{Slug: g.connection.GetSlug()})
	g.must(err)
	g.connection, g.settings.Connection = now, now
}

// slug of the connection at hand.
func (g *guide) slug() string { return g.connection.GetSlug() }

// saw tells the oracle of a run that came whole.
func (g *guide) saw(scheduled bool) {
	g.Helper()
	g.settle()
	g.follow()
	g.now = time.Now()
	g.oracle.SetSettings(g.settings)
	g.oracle.Observe(g.w.Giacom.Account(), oracle.Run{Scheduled: scheduled, Complete: true, At: g.now})
}

// change is what a program does to change a connection: read it, change it, and send the etag along.
func (g *guide) change(change func(*connectionv1.Connection)) {
	g.Helper()
	read, err := g.console.GetConnection(g.ctx, &connectionv1.GetConnectionRequest{Slug: g.slug()})
	g.must(err)
	change(read)
	_, err = g.console.ApplyConnection(g.ctx, &connectionv1.ApplyConnectionRequest{Connection: read})
	g.must(err)
}

// file writes one and says where it is.
func (g *guide) file(name, content string) string {
	g.Helper()
	path := filepath.Join(g.dir, name)
	g.must(os.WriteFile(path, []byte(content), 0o600))
	return path
}

// json runs a command and reads the document that it prints.
func (g *guide) json(into proto.Message, args ...string) {
	g.Helper()
	proto.Reset(into)
	g.must(protojson.Unmarshal([]byte(g.command(0, append(args, "-o", "json")...)), into))
}

// refused wants an error that a person can act on.
func (g *guide) refused(err error, code codes.Code, words ...string) {
	g.Helper()
	if status.Code(err) != code {
		g.Fatalf("%v is %s, want %s", err, status.Code(err), code)
	}
	g.says(rpc.Describe(err), words...)
}

// noSecrets: none in clear in anything that is printed, answered or logged.
func (g *guide) noSecrets(texts ...string) {
	g.Helper()
	for _, text := range append(texts, g.w.Logs()) {
		for _, secret := range []string{giacomKey, haloSecret, "wrong-key"} {
			if strings.Contains(text, secret) {
				g.Errorf("%s is shown in:\n%s", secret, text)
			}
		}
	}
}

// mex is Giacom's id of the estate's customer at a place, client Halo's of its counterpart.
func (g *guide) mex(i int) string   { return g.data.Giacom.Customers[i].MexID }
func (g *guide) client(i int) int64 { return g.data.Halo.Clients[i].ID }
