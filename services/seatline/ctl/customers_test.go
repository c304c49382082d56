package ctl

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

// mapper answers what the commands on many mappings and on imports ask, and notes it.
type mapper struct {
	mappingv1.UnimplementedMappingServiceServer
	connectionv1.UnimplementedConnectionServiceServer
	asked  []string
	answer *mappingv1.ImportCustomersRequest
	steps  []*mappingv1.CustomerImport
	saved  *connectionv1.Connection
}

func (s *mapper) changes(what string, applied bool) (*mappingv1.MappingChanges, error) {
	s.asked = append(s.asked, what)
	return &mappingv1.MappingChanges{Applied: applied, Etag: "e7", Subscriptions: 3, Monthly: []*moneyv1.Money{{Amount: "12.5", Currency: "GBP"}},
		Changes: []*mappingv1.MappingChange{{MexId: "C1", GiacomName: "Acme\x1b[31m", HaloClientId: 7, HaloClientName: "Acme", Reasons: []string{"The names are equal."}}},
		Skipped: []*mappingv1.SkippedCustomer{{MexId: "C2", Reason: &itemv1.Reason{Text: "Halo has 2 of that name."}}}}, nil
}

func (s *mapper) GetGeneratedMappings(context.Context, *mappingv1.MapAllRequest) (*mappingv1.MappingChanges, error) {
	return s.changes("get generated", false)
}
func (s *mapper) GenerateMappings(context.Context, *mappingv1.MapAllRequest) (*mappingv1.MappingChanges, error) {
	return s.changes("generate", true)
}
func (s *mapper) GetNativeMappings(context.Context, *mappingv1.MapAllRequest) (*mappingv1.MappingChanges, error) {
	return s.changes("get native", false)
}
func (s *mapper) TakeOverMappings(context.Context, *mappingv1.MapAllRequest) (*mappingv1.MappingChanges, error) {
	return s.changes("take over", true)
}
func (s *mapper) GetAcceptableSuggestions(context.Context, *mappingv1.AcceptSuggestionsRequest) (*mappingv1.MappingChanges, error) {
	return s.changes("get acceptable", false)
}
func (s *mapper) AcceptSuggestions(_ context.Context, req *mappingv1.AcceptSuggestionsRequest) (*mappingv1.MappingChanges, error) {
	return s.changes("accept "+string('0'+rune(req.GetMinScore()/10)), true)
}
func (s *mapper) ImportCustomers(_ context.Context, req *mappingv1.ImportCustomersRequest) (*mappingv1.CustomerImport, error) {
	s.answer = req
	return &mappingv1.CustomerImport{Id: "i1"}, nil
}
func (s *mapper) WatchCustomerImport(_ *mappingv1.GetCustomerImportReportRequest, stream grpc.ServerStreamingServer[mappingv1.CustomerImport]) error {
	for _, step := range s.steps {
		if err := stream.Send(step); err != nil {
			return err
		}
	}
	return nil
}
func (s *mapper) ListTopLevels(context.Context, *mappingv1.ListTopLevelsRequest) (*mappingv1.ListTopLevelsResponse, error) {
	return &mappingv1.ListTopLevelsResponse{TopLevels: []*mappingv1.TopLevel{{Id: 2, LongName: "Customers / Giacom"}}, ChosenId: 9, ChosenMissing: true}, nil
}
func (s *mapper) GetConnection(context.Context, *connectionv1.GetConnectionRequest) (*connectionv1.Connection, error) {
	return &connectionv1.Connection{Slug: "demo", Etag: "5"}, nil
}
func (s *mapper) ApplyConnection(_ context.Context, req *connectionv1.ApplyConnectionRequest) (*connectionv1.Connection, error) {
	s.saved = req.GetConnection()
	return s.saved, nil
}

func (s *mapper) start(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	mappingv1.RegisterMappingServiceServer(server, s)
	connectionv1.RegisterConnectionServiceServer(server, s)
	go func() { _ = server.Serve(listener) }() // it ends with Stop
	t.Cleanup(server.Stop)
	dir := t.TempDir()
	addr := listener.Addr().String()
	if err := WriteEndpoints(dir, Endpoints{Services: map[string]string{Mapper: addr, Console: addr}}); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestManyMappingsArePreviewedAndMapped(t *testing.T) {
	s := &mapper{}
	dir := s.start(t)
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"generate", "demo", "--dry-run"}, "1 customer would be mapped, with 3 subscriptions for 12.5 GBP a month ex VAT; 1 left as they are.\nWith --etag e7 this is done and nothing else."},
		{[]string{"generate", "demo"}, "1 customer mapped"},
		{[]string{"take-over", "demo", "--dry-run"}, "leave C2 (): Halo has 2 of that name."},
		{[]string{"take-over", "demo"}, "map   C1 (Acme [31m) to 7 (Acme): The names are equal."},
		{[]string{"accept", "demo", "--min-score", "80", "--dry-run"}, "would be mapped"},
		{[]string{"accept", "demo", "--min-score", "80", "-o", "json"}, `"applied": true`},
	} {
		out, code, message := seatline(t, dir, append([]string{"mappings"}, c.args...)...)
		if code != 0 || !strings.Contains(out, c.says) {
			t.Errorf("%v: exit %d: %s%s; want %q", c.args, code, out, message, c.says)
		}
	}
	if diff := cmp.Diff([]string{"get generated", "generate", "get native", "take over", "get acceptable", "accept 8"}, s.asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
	if _, code, _ := seatline(t, dir, "mappings", "accept", "demo"); code != rpc.ExitUsage {
		t.Errorf("accept without customer or score exits %d", code)
	}
}

func TestImportOfCustomersIsFollowedToItsEnd(t *testing.T) {
	end := func(p *mappingv1.CustomerImport) *mappingv1.CustomerImport {
		p.Id, p.Stage, p.EndTime = "i1", "done", timestamppb.Now()
		return p
	}
	for name, c := range map[string]struct {
		last *mappingv1.CustomerImport
		code int
		says string
	}{
		"done":     {end(&mappingv1.CustomerImport{Create: 2, Created: 2}), rpc.ExitOK, ""},
		"failed":   {end(&mappingv1.CustomerImport{Create: 2, Created: 1, Failed: 1}), rpc.ExitFailed, "1 customer was refused by Halo"},
		"asked":    {end(&mappingv1.CustomerImport{Ask: 2}), rpc.ExitHeld, "2 customers wait for a person"},
		"cut off":  {&mappingv1.CustomerImport{Id: "i1"}, rpc.ExitFailed, "without saying how the import ended"},
		"no words": {nil, rpc.ExitFailed, "without saying how the import ended"},
	} {
		s := &mapper{}
		if c.last != nil {
			s.steps = []*mappingv1.CustomerImport{{Id: "i1", Stage: "creating", Create: 2, Pending: 2}, c.last}
		}
		_, code, message := seatline(t, s.start(t), "customers", "import", "demo", "--link", "A=7", "--create", "B", "--skip", "C", "--etag", "e")
		if code != c.code || !strings.Contains(message, c.says) {
			t.Errorf("%s: exit %d, %q; want %d and %q", name, code, message, c.code, c.says)
		}
		want := &mappingv1.ImportCustomersRequest{Connection: "demo", Etag: "e", Answers: []*mappingv1.ImportAnswer{
			{MexId: "A", Answer: &mappingv1.ImportAnswer_Link{Link: 7}}, {MexId: "B", Answer: &mappingv1.ImportAnswer_Create{Create: true}}, {MexId: "C", Answer: &mappingv1.ImportAnswer_Skip{Skip: true}},
		}}
		if diff := cmp.Diff(want, s.answer, protocmp.Transform()); diff != "" {
			t.Errorf("%s: sent (-want +got):\n%s", name, diff)
		}
	}
	if _, code, _ := seatline(t, (&mapper{}).start(t), "customers", "import", "demo", "--link", "A"); code != rpc.ExitUsage {
		t.Errorf("a link to nothing exits %d", code)
	}
}

func TestTopLevelIsChosenFromHalosOwn(t *testing.T) {
	s := &mapper{}
	dir := s.start(t)
	out, code, message := seatline(t, dir, "top-levels", "list", "demo")
	if code != 0 || !strings.Contains(out, "Customers / Giacom") || !strings.Contains(out, "Halo has no top level 9") {
		t.Errorf("exit %d: %s%s", code, out, message)
	}
	if _, code, _ := seatline(t, dir, "top-levels", "set", "demo", "3"); code != rpc.ExitNotFound || s.saved != nil {
		t.Errorf("one that Halo has not: exit %d, saved %v", code, s.saved)
	}
	if _, code, message := seatline(t, dir, "top-levels", "set", "demo", "2"); code != 0 || s.saved.GetCustomers().GetTopLevelId() != 2 || s.saved.GetEtag() != "5" {
		t.Errorf("exit %d: %s, saved %v", code, message, s.saved)
	}
}
