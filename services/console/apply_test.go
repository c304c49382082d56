package console

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
)

func TestCreatedConnectionHasEveryDefault(t *testing.T) {
	r := start(t)
	got := r.apply(t, acme("acme"))
	want := &connectionv1.Connection{
		Slug: "acme", DisplayName: "acme", Enabled: true, Mode: connectionv1.Mode_MODE_OBSERVE,
		Giacom: &connectionv1.Giacom{
			Account: "acme-account", Version: connectionv1.GiacomVersion_GIACOM_VERSION_V1, Currency: "GBP",
			BaseUrl:         "https://cloudmarket-services.azure-api.net/Billing/v1",
			ApiKey:          &connectionv1.SecretRef{Version: 1, LastFour: "0001"},
			Method:          connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS,
			AllProductsFeed: connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_SUBSCRIPTIONS,
			CustomersFrom:   connectionv1.CustomersFrom_CUSTOMERS_FROM_ENDPOINT,
		},
		Halo: &connectionv1.Halo{
			BaseUrl: "https://acme.halopsa.com", AuthUrl: "https://acme.halopsa.com/auth", Tenant: "Acme", ClientId: "0f6c",
			ClientSecret: &connectionv1.SecretRef{Version: 1, LastFour: "0002"}, Instance: "acme.halopsa.com/acme",
			BudgetRequests: 250, BudgetWindow: durationpb.New(5 * time.Minute),
		},
		Customers: &connectionv1.Customers{FollowNameOfCreated: proto.Bool(true), CustomField: "CFGiacomCustomerId"},
		Licences:  &connectionv1.Licences{AdoptAcrossMethods: proto.Bool(true)},
		UpdatedBy: "operator",
		Billing:   &connectionv1.Billing{QuietBeforeRun: durationpb.New(2 * time.Hour), RefreshInterval: durationpb.New(6 * time.Hour)},
		Schedule:  &connectionv1.Schedule{Cron: "0 6-22 * * *", TimeZone: "Europe/London", Customers: true, Subscriptions: true},
		Guards: &connectionv1.Guards{
			RemovalConfirmations: 2, RemovalInterval: durationpb.New(time.Hour), MaxRemovals: 3, MaxRemovalPercent: 2,
		},
	}
	dynamic := protocmp.IgnoreFields(want, "etag", "create_time", "update_time")
	if diff := cmp.Diff(want, got, protocmp.Transform(), dynamic); diff != "" {
		t.Errorf("created (-want +got):\n%s", diff)
	}
	if got.GetEtag() == "" || got.GetCreateTime() == nil || !proto.Equal(got.GetCreateTime(), got.GetUpdateTime()) {
		t.Errorf("etag %q, created %v, updated %v", got.GetEtag(), got.GetCreateTime(), got.GetUpdateTime())
	}
	read, err := r.viewer.GetConnection(t.Context(), slug("acme"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(got, read, protocmp.Transform()); diff != "" {
		t.Errorf("read differs from what apply answered:\n%s", diff)
	}
	// The event holds the same, and of secrets the version only.
	want = proto.CloneOf(got)
	want.Giacom.ApiKey.LastFour, want.Halo.ClientSecret.LastFour = "", ""
	var onBus *connectionv1.Connection
	r.onBus(t, "acme", "the connection is on the bus", func(c *connectionv1.Connection, _ string) bool { onBus = c; return true })
	if diff := cmp.Diff(want, onBus, protocmp.Transform()); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestApplyingTheSameTwiceChangesNothing(t *testing.T) {
	r := start(t)
	first := r.apply(t, acme("acme"))
	again := acme("acme")
	again.Connection.Etag = first.GetEtag()
	second := r.apply(t, again) // secrets included
	third := r.apply(t, edit(second, func(*connectionv1.Connection) {}))
	for _, c := range []*connectionv1.Connection{second, third} {
		if diff := cmp.Diff(first, c, protocmp.Transform()); diff != "" {
			t.Errorf("changed:\n%s", diff)
		}
	}
	if n := r.count(t, `select count(*) from history`); n != 1 {
		t.Errorf("%d revisions were published, want 1", n)
	}
}

func TestOfTwoOperatorsEditingAtOnceOneIsTold(t *testing.T) {
	r := start(t)
	read := r.apply(t, acme("acme"))
	changes := []*connectionv1.ApplyConnectionRequest{
		edit(read, func(c *connectionv1.Connection) { c.Customers.Create = true }),
		edit(read, func(c *connectionv1.Connection) { c.Licences.DeactivateRemoved = true }),
	}
	errs := make([]error, len(changes))
	var wg sync.WaitGroup
	for i, change := range changes {
		wg.Go(func() { _, errs[i] = r.operator.ApplyConnection(t.Context(), change) })
	}
	wg.Wait()
	winner := 0
	if errs[0] != nil {
		winner = 1
	}
	if errs[winner] != nil || rpc.Reason(errs[1-winner]) != "CHANGED_MEANWHILE" {
		t.Fatalf("got %v and %v, want one success and one conflict", errs[0], errs[1])
	}
	stored, err := r.viewer.GetConnection(t.Context(), slug("acme"))
	if err != nil {
		t.Fatal(err)
	}
	want := changes[winner].GetConnection()
	if stored.GetCustomers().GetCreate() != want.GetCustomers().GetCreate() || stored.GetLicences().GetDeactivateRemoved() != want.GetLicences().GetDeactivateRemoved() {
		t.Errorf("stored %v, want what the winner sent", stored)
	}
}

// Each editor reads, changes one thing and tries again when told that somebody was faster: at the end
// every change must be there.
func TestNoUpdateIsLost(t *testing.T) {
	r := start(t)
	r.apply(t, acme("acme"))
	const editors = 8
	var wg sync.WaitGroup
	for i := range editors {
		wg.Go(func() {
			for {
				c, err := r.operator.GetConnection(t.Context(), slug("acme"))
				if err != nil {
					t.Error(err)
					return
				}
				_, err = r.operator.ApplyConnection(t.Context(), edit(c, func(c *connectionv1.Connection) {
					c.DisplayName += fmt.Sprintf("+%d", i)
				}))
				if err == nil {
					return
				}
				if rpc.Reason(err) != "CHANGED_MEANWHILE" {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	c, err := r.viewer.GetConnection(t.Context(), slug("acme"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range editors {
		if strings.Count(c.GetDisplayName(), fmt.Sprintf("+%d", i)) != 1 {
			t.Errorf("edit %d is not in %q exactly once", i, c.GetDisplayName())
		}
	}
	r.onBus(t, "acme", "the last edit is on the bus", func(on *connectionv1.Connection, _ string) bool { return on.GetEtag() == c.GetEtag() })
}

func TestOfManyWhoCreateOneSucceeds(t *testing.T) {
	r := start(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	reasons := map[string]int{}
	for range 6 {
		wg.Go(func() {
			_, err := r.operator.ApplyConnection(t.Context(), acme("acme"))
			mu.Lock()
			defer mu.Unlock()
			reasons[rpc.Reason(err)]++
		})
	}
	wg.Wait()
	if diff := cmp.Diff(map[string]int{"": 1, "ETAG_MISSING": 5}, reasons); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func TestForceUpdatesWithoutEtag(t *testing.T) {
	r := start(t)
	r.apply(t, acme("acme"))
	req := acme("acme")
	req.Connection.DisplayName, req.Force = "Acme Ltd", true
	if got := r.apply(t, req); got.GetDisplayName() != "Acme Ltd" || got.GetGiacom().GetApiKey().GetVersion() != 1 {
		t.Errorf("got %v", got)
	}
}

func TestValidateOnlyStoresNothing(t *testing.T) {
	r := start(t)
	req := acme("acme")
	req.ValidateOnly = true
	if got := r.apply(t, req); got.GetHalo().GetInstance() != "acme.halopsa.com/acme" || got.GetGiacom().GetApiKey().GetVersion() != 1 {
		t.Errorf("answered %v, want what would be stored", got)
	}
	for _, table := range []string{"connections", "secrets", "history", "outbox"} {
		if n := r.count(t, "select count(*) from "+table); n != 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
	if _, err := r.viewer.GetConnection(t.Context(), slug("acme")); status.Code(err) != codes.NotFound {
		t.Errorf("got %v, want NotFound", err)
	}
}

func TestDeletedSlugIsNeverUsedAgain(t *testing.T) {
	r := start(t)
	c := r.apply(t, acme("acme"))
	for range 2 { // twice is no error
		if _, err := r.operator.DeleteConnection(t.Context(), slug("acme")); err != nil {
			t.Fatal(err)
		}
	}
	r.onBus(t, "acme", "the bus knows of the deletion", func(c *connectionv1.Connection, kind string) bool {
		return kind == "seatline.connection.deleted.v1" && c.GetDeleted() && !c.GetEnabled()
	})
	for name, change := range map[string]func(*connectionv1.ApplyConnectionRequest){
		"new":       func(*connectionv1.ApplyConnectionRequest) {},
		"forced":    func(req *connectionv1.ApplyConnectionRequest) { req.Force = true },
		"with etag": func(req *connectionv1.ApplyConnectionRequest) { req.Connection.Etag = c.GetEtag() },
	} {
		req := acme("acme")
		change(req)
		if _, err := r.operator.ApplyConnection(t.Context(), req); rpc.Reason(err) != "CONNECTION_DELETED" {
			t.Errorf("%s: got %v, want a refusal", name, err)
		}
	}
	if _, err := r.operator.EnableConnection(t.Context(), &connectionv1.EnableConnectionRequest{Slug: "acme"}); rpc.Reason(err) != "CONNECTION_DELETED" {
		t.Errorf("enable: %v", err)
	}
	if _, err := r.service.GetSecrets(t.Context(), slug("acme")); rpc.Reason(err) != "CONNECTION_DELETED" {
		t.Errorf("secrets of a deleted connection: %v", err)
	}
	if n := r.count(t, `select count(*) from secrets where sealed is not null or last_four <> ''`); n != 0 {
		t.Errorf("%d secrets outlived the connection", n)
	}
	// Its account may be joined again, by a connection of another name.
	other := acme("acme-2")
	other.Connection.Giacom.Account = "acme-account"
	r.apply(t, other)
}

func TestEnableAndDisable(t *testing.T) {
	r := start(t)
	req := acme("acme")
	req.Connection.Enabled, req.HaloClientSecret = false, ""
	c := r.apply(t, req)
	_, err := r.operator.EnableConnection(t.Context(), &connectionv1.EnableConnectionRequest{Slug: "acme"})
	if e, ok := rpc.ErrorFrom(err); !ok || e.Code != codes.InvalidArgument || e.Violations[0].Field != "halo.client_secret" {
		t.Fatalf("enabled without a secret: %v", err)
	}
	with := edit(c, func(*connectionv1.Connection) {})
	with.HaloClientSecret = "canary-halo-secret-0002"
	r.apply(t, with)
	on, err := r.operator.EnableConnection(t.Context(), &connectionv1.EnableConnectionRequest{Slug: "acme"})
	if err != nil || !on.GetEnabled() {
		t.Fatalf("enable: %v, %v", on, err)
	}
	same, err := r.operator.EnableConnection(t.Context(), &connectionv1.EnableConnectionRequest{Slug: "acme"})
	if err != nil || same.GetEtag() != on.GetEtag() {
		t.Errorf("enabling twice: etag %s, then %s, %v", on.GetEtag(), same.GetEtag(), err)
	}
	off, err := r.operator.DisableConnection(t.Context(), slug("acme"))
	if err != nil || off.GetEnabled() || off.GetEtag() == on.GetEtag() {
		t.Errorf("disable: %v, %v", off, err)
	}
	r.onBus(t, "acme", "disabled on the bus", func(c *connectionv1.Connection, _ string) bool {
		return !c.GetEnabled() && c.GetEtag() == off.GetEtag()
	})
}

func TestAccountIsForGoodAndOnceInAHalo(t *testing.T) {
	r := start(t)
	c := r.apply(t, acme("acme"))
	violation := func(req *connectionv1.ApplyConnectionRequest) rpc.Violation {
		t.Helper()
		_, err := r.operator.ApplyConnection(t.Context(), req)
		e, ok := rpc.ErrorFrom(err)
		if !ok || len(e.Violations) != 1 {
			t.Fatalf("got %v, want one violation", err)
		}
		return e.Violations[0]
	}
	v := violation(edit(c, func(c *connectionv1.Connection) { c.Giacom.Account = "other" }))
	if v.Field != "giacom.account" || !strings.Contains(v.Description, `"acme-account" for good`) {
		t.Errorf("got %v", v)
	}
	twin := acme("twin")
	twin.Connection.Giacom.Account = "acme-account"
	v = violation(twin)
	if v.Field != "giacom.account" || !strings.Contains(v.Description, `connection "acme"`) {
		t.Errorf("got %v", v)
	}
	twin.Connection.Halo.Tenant = "elsewhere"
	r.apply(t, twin) // another instance has other marks
}

func TestDefaultAuthAddressFollowsTheInstance(t *testing.T) {
	r := start(t)
	c := r.apply(t, acme("acme"))
	c = r.apply(t, withSecrets(edit(c, func(c *connectionv1.Connection) { c.Halo.BaseUrl = "https://halo.acme.example/" })))
	if got := c.GetHalo(); got.GetAuthUrl() != "https://halo.acme.example/auth" || got.GetInstance() != "halo.acme.example/acme" {
		t.Errorf("got %v", got)
	}
	c = r.apply(t, withSecrets(edit(c, func(c *connectionv1.Connection) { c.Halo.AuthUrl = "https://login.acme.example" })))
	c = r.apply(t, withSecrets(edit(c, func(c *connectionv1.Connection) { c.Halo.BaseUrl = "https://psa.acme.example" })))
	if got := c.GetHalo().GetAuthUrl(); got != "https://login.acme.example" {
		t.Errorf("a chosen address became %s", got)
	}
}

func TestListPagesAndFilters(t *testing.T) {
	r := start(t)
	for _, name := range []string{"charlie", "alpha", "bravo", "delta"} {
		req := acme(name)
		req.Connection.Enabled = name != "bravo"
		r.apply(t, req)
	}
	if _, err := r.operator.DeleteConnection(t.Context(), slug("delta")); err != nil {
		t.Fatal(err)
	}
	list := func(req *connectionv1.ListConnectionsRequest) (names []string) {
		t.Helper()
		for {
			page, err := r.viewer.ListConnections(t.Context(), req)
			if err != nil {
				t.Fatal(rpc.Describe(err))
			}
			for _, c := range page.GetConnections() {
				names = append(names, c.GetSlug())
			}
			if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
				return names
			}
		}
	}
	for _, test := range []struct {
		request *connectionv1.ListConnectionsRequest
		want    []string
	}{
		{&connectionv1.ListConnectionsRequest{PageSize: 1}, []string{"alpha", "bravo", "charlie"}},
		{&connectionv1.ListConnectionsRequest{OrderBy: "slug desc", PageSize: 2}, []string{"charlie", "bravo", "alpha"}},
		{&connectionv1.ListConnectionsRequest{Filter: "enabled = true AND mode = observe"}, []string{"alpha", "charlie"}},
		{&connectionv1.ListConnectionsRequest{Filter: `account = "bravo-account"`}, []string{"bravo"}},
		{&connectionv1.ListConnectionsRequest{Filter: "deleted = true"}, []string{"delta"}},
	} {
		if diff := cmp.Diff(test.want, list(test.request)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.request, diff)
		}
	}
}

func TestConsoleAnswersAboutItself(t *testing.T) {
	r := start(t)
	r.apply(t, acme("acme"))
	eventtest.Settle(t, r.pool, r.bus)
	progress, err := r.ops.GetProgress(t.Context(), &opsv1.GetProgressRequest{Connection: "acme"})
	if err != nil || progress.GetService() != "console" || progress.GetOutbox() != 0 {
		t.Errorf("progress %v, %v", progress, err)
	}
}

func (r *running) count(t *testing.T, sql string) (n int) {
	t.Helper()
	if err := r.pool.QueryRow(t.Context(), sql).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
