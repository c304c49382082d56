package connections

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"seatline.dev/pkg/giacom"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

func TestGiacomSettingsReachTheClient(t *testing.T) {
	c := &connectionv1.Connection{Giacom: &connectionv1.Giacom{
		Version: connectionv1.GiacomVersion_GIACOM_VERSION_V2, BaseUrl: "https://uat.example/v2", AuthUrl: "https://uat.example/token", ClientId: "id",
		Method:          connectionv1.ImportMethod_IMPORT_METHOD_BOTH,
		AllProductsFeed: connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_ACCOUNT_TOTALS,
		CustomersFrom:   connectionv1.CustomersFrom_CUSTOMERS_FROM_DERIVED,
		KeyHeader:       "X-Key", CustomersPath: "c", SubscriptionsPath: "s", ReportPath: "r", AccountTotalsPath: "a",
		PageSizeArgument: "size", PageNumberArgument: "page", PageSize: 7,
	}}
	want := giacom.Config{
		Version: giacom.V2, BaseURL: "https://uat.example/v2", AuthURL: "https://uat.example/token", ClientID: "id", Key: "canary",
		Method: giacom.MethodBoth, AllProducts: giacom.FromAccountTotals, DeriveCustomers: true,
		KeyHeader: "X-Key", CustomersPath: "c", SubscriptionsPath: "s", ReportPath: "r", AccountTotalsPath: "a",
		PageSizeArgument: "size", PageArgument: "page", PageSize: 7,
	}
	opaque := cmp.Comparer(func(a, b telemetry.Secret) bool { return a == b })
	if diff := cmp.Diff(want, Giacom(c, "canary"), opaque); diff != "" {
		t.Errorf("all set (-want +got):\n%s", diff)
	}
	// What is not set is left to the client's own defaults.
	if diff := cmp.Diff(giacom.Config{Version: giacom.V1}, Giacom(&connectionv1.Connection{}, ""), opaque); diff != "" {
		t.Errorf("nothing set (-want +got):\n%s", diff)
	}
	for method, want := range map[connectionv1.ImportMethod]giacom.Method{
		connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS: giacom.MethodSubscriptions,
		connectionv1.ImportMethod_IMPORT_METHOD_REPORT:        giacom.MethodReport,
	} {
		c.Giacom.Method = method
		if got := Giacom(c, "").Method; got != want {
			t.Errorf("%v is %q, want %q", method, got, want)
		}
	}
}
