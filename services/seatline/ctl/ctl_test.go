package ctl

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"google.golang.org/grpc"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
)

const operator = "operator-token-0123456789"

// everything answers as all services at once, with what the test puts in.
type everything struct {
	connectionv1.UnimplementedConnectionServiceServer
	runv1.UnimplementedRunServiceServer
	runv1.UnimplementedIntegratorServiceServer
	mappingv1.UnimplementedMappingServiceServer
	opsv1.UnimplementedOpsServiceServer
	pricingv1.UnimplementedPricingServiceServer
	invoicelinev1.UnimplementedLineServiceServer

	connections  map[string]*connectionv1.Connection
	applied      []*connectionv1.ApplyConnectionRequest
	mappings     []*mappingv1.Mapping
	filters      []string
	imported     []byte
	importAnswer *mappingv1.ImportMappingsResponse
	watched      []*runv1.Run
	decided      *runv1.DecideRunRequest
	plan         []*itemv1.PlanItem
	rotated      *connectionv1.RotateSecretsRequest
	unreadable   []string
	blockers     []*connectionv1.Blocker
	licences     licencev1.LicenceServiceServer
	questions    []*connectionv1.Question
	rules        []*pricingv1.SetPriceRulesRequest
	margins      []*invoicelinev1.Margin
	asked        []*invoicelinev1.ListMarginsRequest
}

func (s *everything) GetConnection(_ context.Context, req *connectionv1.GetConnectionRequest) (*connectionv1.Connection, error) {
	if c := s.connections[req.GetSlug()]; c != nil {
		return c, nil
	}
	return nil, rpc.NotFound("connection", req.GetSlug()).Do("list them with `seatline connections list`")
}

func (s *everything) ApplyConnection(_ context.Context, req *connectionv1.ApplyConnectionRequest) (*connectionv1.Connection, error) {
	s.applied = append(s.applied, req)
	return req.GetConnection(), nil
}

func (s *everything) ListMappings(_ context.Context, req *mappingv1.ListMappingsRequest) (*mappingv1.ListMappingsResponse, error) {
	s.filters = append(s.filters, req.GetFilter())
	from := 0
	if req.GetPageToken() != "" {
		fmt.Sscan(req.GetPageToken(), &from)
	}
	// Smaller pages than asked for, as AIP-158 allows.
	to := min(from+int(min(req.GetPageSize(), 2)), len(s.mappings))
	answer := &mappingv1.ListMappingsResponse{Mappings: s.mappings[from:to]}
	if to < len(s.mappings) {
		answer.NextPageToken = fmt.Sprint(to)
	}
	return answer, nil
}

func (s *everything) ImportMappings(_ context.Context, req *mappingv1.ImportMappingsRequest) (*mappingv1.ImportMappingsResponse, error) {
	s.imported = req.GetCsv()
	return s.importAnswer, nil
}

func (s *everything) GetMappingsFile(_ context.Context, req *mappingv1.GetMappingsFileRequest) (*mappingv1.File, error) {
	s.filters = append(s.filters, req.GetFilter())
	return &mappingv1.File{Content: []byte("mex_id,halo_client_id\nC1,12\n")}, nil
}

func (s *everything) WatchRun(_ *runv1.GetRunRequest, stream grpc.ServerStreamingServer[runv1.Run]) error {
	for _, run := range s.watched {
		if err := stream.Send(run); err != nil {
			return err
		}
	}
	return nil
}

func (s *everything) ReleaseRun(_ context.Context, req *runv1.DecideRunRequest) (*runv1.Run, error) {
	s.decided = req
	return &runv1.Run{Id: req.GetId()}, nil
}

func (s *everything) ListPlanItems(_ context.Context, req *opsv1.ListPlanItemsRequest) (*opsv1.ListPlanItemsResponse, error) {
	// One server stands for three services here; each call takes the next kind.
	if len(s.plan) == 0 {
		return &opsv1.ListPlanItemsResponse{}, nil
	}
	item := s.plan[0]
	s.plan = s.plan[1:]
	return &opsv1.ListPlanItemsResponse{Items: []*itemv1.PlanItem{item}}, nil
}

// start serves s and leaves an endpoints file, as `seatline up` does; it returns the data directory.
func start(t *testing.T, s *everything) string {
	t.Helper()
	server, err := rpc.NewServer(rpc.Config{Addr: "127.0.0.1:0", Tokens: []rpc.Token{{Name: "olga", Role: rpc.RoleOperator, Secret: operator}}}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	connectionv1.RegisterConnectionServiceServer(server, s)
	runv1.RegisterRunServiceServer(server, s)
	runv1.RegisterIntegratorServiceServer(server, s)
	mappingv1.RegisterMappingServiceServer(server, s)
	opsv1.RegisterOpsServiceServer(server, s)
	pricingv1.RegisterPricingServiceServer(server, s)
	invoicelinev1.RegisterLineServiceServer(server, s)
	if s.licences != nil {
		licencev1.RegisterLicenceServiceServer(server, s.licences)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	addresses := map[string]string{}
	for _, service := range Services() {
		addresses[service] = server.Addr()
	}
	dir := t.TempDir()
	if err := WriteEndpoints(dir, Endpoints{Services: addresses, Token: operator}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// seatline runs a command line and returns what it printed, its exit code, and its error for people.
func seatline(t *testing.T, dir string, args ...string) (out string, code int, message string) {
	t.Helper()
	var commands Commands
	var stdout bytes.Buffer
	parser, err := kong.New(&commands, kong.Writers(&stdout, &stdout), kong.BindTo(t.Context(), (*context.Context)(nil)), kong.Exit(func(int) {}))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := parser.Parse(append(args, "--data-dir", dir))
	if err != nil {
		return stdout.String(), rpc.ExitUsage, err.Error()
	}
	if err := parsed.Run(); err != nil {
		return stdout.String(), rpc.ExitCode(err), rpc.Describe(err)
	}
	return stdout.String(), rpc.ExitOK, ""
}

func TestErrorsReachThePersonWithTheirExitCode(t *testing.T) {
	dir := start(t, &everything{})
	for _, test := range []struct {
		args []string
		code int
		says []string
	}{
		{[]string{"connections", "get", "acme"}, rpc.ExitNotFound, []string{`connection "acme" does not exist`, "→ list them with"}},
		{[]string{"connections", "get", "acme", "--token", "a-wrong-token-012345"}, rpc.ExitNotAllowed, []string{"not known"}},
		{[]string{"connections", "get", "acme", "--console-addr", "127.0.0.1:1", "--timeout", "300ms"}, rpc.ExitUnavailable, []string{"console at 127.0.0.1:1"}},
		{[]string{"connections", "delete", "acme"}, rpc.ExitUsage, []string{"--yes"}},
		{[]string{"connections", "apply", "-f", "/nowhere.yaml"}, rpc.ExitUsage, []string{"/nowhere.yaml"}},
		{[]string{"events", "tail"}, rpc.ExitUsage, []string{"--nats-url"}},
		{[]string{"runs", "release", "r1"}, rpc.ExitUsage, []string{"--reason"}},
	} {
		_, code, message := seatline(t, dir, test.args...)
		if code != test.code {
			t.Errorf("%v exits %d, want %d: %s", test.args, code, test.code, message)
		}
		for _, part := range test.says {
			if !strings.Contains(message, part) {
				t.Errorf("%v: %q does not say %q", test.args, message, part)
			}
		}
	}
}

func TestListsReadPagesUpToTheLimit(t *testing.T) {
	s := &everything{}
	for i := range 7 {
		s.mappings = append(s.mappings, &mappingv1.Mapping{Connection: "demo", MexId: fmt.Sprintf("C%d", i), GiacomName: "Line\nbreak\x1b[31m", State: mappingv1.State_STATE_UNMAPPED})
	}
	dir := start(t, s)
	for limit, want := range map[string]int{"1": 1, "5": 5, "7": 7, "0": 7} {
		out, code, message := seatline(t, dir, "mappings", "list", "-n", limit, "-o", "json")
		var rows []map[string]any
		if err := json.Unmarshal([]byte(out), &rows); code != 0 || err != nil || len(rows) != want {
			t.Errorf("-n %s: %d rows, want %d (exit %d, %s, %v)", limit, len(rows), want, code, message, err)
		}
	}
	out, _, _ := seatline(t, dir, "mappings", "list", "demo", "--unmapped", "-f", `giacom_name : "x" OR subscriptions > 3`, "-n", "3")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 5 || !strings.Contains(lines[4], "more") {
		t.Errorf("a head, three rows, and that there are more; got %d lines:\n%s", len(lines), out)
	}
	if strings.Contains(out, "\x1b") {
		t.Error("a customer's name reaches the terminal with its control characters")
	}
	// OR within the filter must not undo the connection.
	if got, want := s.filters[len(s.filters)-1], `connection = "demo" AND (giacom_name : "x" OR subscriptions > 3) AND state = unmapped`; got != want {
		t.Errorf("filter %s, want %s", got, want)
	}
}

func TestApplySendsSecretsByReferenceAndTheEtagItSaw(t *testing.T) {
	s := &everything{connections: map[string]*connectionv1.Connection{"acme": {Slug: "acme", Etag: "e7"}}}
	dir := start(t, s)
	t.Setenv("ACME_KEY", "key-of-acme")
	file := filepath.Join(dir, "acme.yaml")
	content := "slug: acme\nmode: auto\nenabled: true\ngiacom:\n  account: acme\n  api_key: env:ACME_KEY\nbilling:\n  refresh_interval: 90m\n"
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code, message := seatline(t, dir, "connections", "apply", "-f", file)
	if code != 0 {
		t.Fatal(message)
	}
	if !strings.Contains(out, "acme updated") || strings.Contains(out, "key-of-acme") {
		t.Errorf("printed %q", out)
	}
	got := s.applied[0]
	if got.GetGiacomApiKey() != "key-of-acme" || got.GetConnection().GetEtag() != "e7" || got.GetConnection().GetMode() != connectionv1.Mode_MODE_AUTO ||
		got.GetConnection().GetBilling().GetRefreshInterval().AsDuration().Minutes() != 90 {
		t.Errorf("sent %v", got)
	}
}

func TestWatchExitsByTheOutcome(t *testing.T) {
	for outcome, want := range map[runv1.Outcome]int{
		runv1.Outcome_OUTCOME_SUCCEEDED: rpc.ExitOK, runv1.Outcome_OUTCOME_HELD: rpc.ExitHeld, runv1.Outcome_OUTCOME_INCOMPLETE: rpc.ExitFailed,
		runv1.Outcome_OUTCOME_FAILED: rpc.ExitFailed, runv1.Outcome_OUTCOME_INTERRUPTED: rpc.ExitFailed,
	} {
		s := &everything{watched: []*runv1.Run{
			{Id: "r1", Stage: "fetching", Outcome: runv1.Outcome_OUTCOME_RUNNING},
			{Id: "r1", Stage: "done", Outcome: outcome, Reason: &itemv1.Reason{Text: "because of it"}},
		}}
		out, code, message := seatline(t, start(t, s), "runs", "watch", "r1")
		if code != want {
			t.Errorf("%v exits %d, want %d", outcome, code, want)
		}
		if lines := strings.Count(out, "\n"); lines != 2 {
			t.Errorf("%v: %d lines of progress, want 2", outcome, lines)
		}
		if want != rpc.ExitOK && !strings.Contains(message, "because of it") {
			t.Errorf("%v: %q does not say why", outcome, message)
		}
	}
	// A server that ends without a word must not look like success.
	if _, code, _ := seatline(t, start(t, &everything{}), "runs", "watch", "r1"); code != rpc.ExitFailed {
		t.Errorf("a watch without a run exits %d", code)
	}
}

func TestReleaseCarriesItsReason(t *testing.T) {
	s := &everything{}
	if _, code, message := seatline(t, start(t, s), "runs", "release", "r1", "--reason", "they left us"); code != 0 || s.decided.GetReason() != "they left us" {
		t.Errorf("exit %d, %s, sent %v", code, message, s.decided)
	}
}

func TestFilesOfMappingsPassThroughUntouched(t *testing.T) {
	s := &everything{importAnswer: &mappingv1.ImportMappingsResponse{Imported: 1, Unchanged: 1}}
	dir := start(t, s)
	exported, _, _ := seatline(t, dir, "mappings", "export", "demo", "--unmapped", "-f", "subscriptions > 3")
	if want := "(subscriptions > 3) AND state = unmapped"; s.filters[0] != want {
		t.Errorf("filter %q, want %q", s.filters[0], want)
	}
	file := filepath.Join(dir, "map.csv")
	if err := os.WriteFile(file, []byte(exported), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code, message := seatline(t, dir, "mappings", "import", "demo", file)
	if code != 0 || !strings.Contains(out, "1 mapping imported, 1 as they were") || string(s.imported) != "mex_id,halo_client_id\nC1,12\n" {
		t.Errorf("exit %d: %s%s; sent %q", code, out, message, s.imported)
	}
	s.importAnswer = &mappingv1.ImportMappingsResponse{Errors: []*mappingv1.RowError{{Line: 2, Text: "Halo customer 12 is inactive"}}}
	if _, code, message := seatline(t, dir, "mappings", "import", "demo", file); code != rpc.ExitFailed || !strings.Contains(message, "map.csv:2: Halo customer 12 is inactive") {
		t.Errorf("exit %d: %s", code, message)
	}
}

func TestPlanIsInTheOrderItHappensWithItsMoney(t *testing.T) {
	pounds := func(amount string) *moneyv1.Money { return &moneyv1.Money{Amount: amount, Currency: "GBP"} }
	items := []*itemv1.PlanItem{
		{Kind: "customer", Title: "Harbour Dental", Action: "create", Status: &itemv1.Status{State: itemv1.State_STATE_PENDING}},
		{Kind: "licence", Title: "Business Premium", Action: "update", MonthlyBefore: pounds("0.10"), MonthlyAfter: pounds("0.30")},
		{Kind: "invoice-line", Title: "Business Premium", Follows: true, MonthlyBefore: pounds("100.10"), MonthlyAfter: pounds("99.80")},
	}
	out, code, message := seatline(t, start(t, &everything{plan: items}), "plan", "demo")
	if code != 0 {
		t.Fatal(message)
	}
	customer, licence, line := strings.Index(out, "\ncustomer"), strings.Index(out, "\nlicence"), strings.Index(out, "\ninvoice-line")
	if customer < 0 || licence < customer || line < licence {
		t.Errorf("order customer, licence, line:\n%s", out)
	}
	for _, want := range []string{"100.10 GBP a month ex VAT, then 99.80 (-0.30)", "cost 0.10 GBP, then 0.30", "follows"} {
		if !strings.Contains(out, want) {
			t.Errorf("the plan does not say %q:\n%s", want, out)
		}
	}
}

func TestHealthOfAServiceThatIsNotThere(t *testing.T) {
	dir := start(t, &everything{})
	if out, code, message := seatline(t, dir, "health", "fetcher"); code != 0 {
		t.Errorf("exit %d: %s%s", code, out, message)
	}
	if _, code, _ := seatline(t, dir, "health", "fetcher", "--fetcher-addr", "127.0.0.1:1", "--timeout", "300ms"); code != rpc.ExitUnavailable {
		t.Errorf("exit %d, want %d", code, rpc.ExitUnavailable)
	}
}

func TestEndpointsFileIsPrivateAndWhole(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // again over the one that is there
		if err := WriteEndpoints(dir, Endpoints{Token: operator, NATS: "nats://x"}); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(filepath.Join(dir, "endpoints.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if got, err := ReadEndpoints(dir); err != nil || got.Token != operator {
		t.Errorf("%v, %v", got, err)
	}
	if files, _ := filepath.Glob(filepath.Join(dir, "*")); len(files) != 1 {
		t.Errorf("left behind: %v", files)
	}
}
