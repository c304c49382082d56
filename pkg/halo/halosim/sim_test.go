package halosim

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jonboulle/clockwork"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// start is noon of a day in the middle of a monthly period.
var start = time.Date(2026, 1, 16, 12, 0, 0, 0, time.UTC)

type bench struct {
	*Sim
	t     *testing.T
	url   string
	clock *clockwork.FakeClock
	token string
}

func serve(t *testing.T, cfg Config) *bench {
	t.Helper()
	clock := clockwork.NewFakeClockAt(start)
	cfg.Clock = clock
	s := New(cfg)
	s.Set(sample())
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	b := &bench{Sim: s, t: t, url: srv.URL, clock: clock}
	b.login("all")
	return b
}

func sample() State {
	return State{
		TopLevels:    []TopLevel{{ID: 12, Name: "Customers", LongName: "Customers"}},
		Clients:      []Client{{ID: 39, Name: "Acme Ltd", TopLevelID: 12, TopLevelName: "Customers", MainSiteID: 53, MainSiteName: "Main", Colour: "#000000", Extra: Extra{"vip": raw(true)}}, {ID: 40, Name: "Old Co", TopLevelID: 12, Inactive: true}},
		Sites:        []Site{{ID: 53, Name: "Main", ClientID: 39, ClientName: "Acme Ltd"}},
		Users:        []User{{ID: 1, Name: "General User", ClientID: 39, SiteID: 53}, {ID: 2, Name: "Ann", ClientID: 39, SiteID: 53}, {ID: 3, Name: "Bot", ClientID: 39, ServiceAccount: true}},
		Items:        []Item{{ID: 77, Name: "M365 Business Premium", RecurringPrice: Pounds("19.90"), IsRecurring: true, SupplierPartCode: "CFQ7TTC0LCHC:0002"}},
		CustomFields: []string{"CFGiacomCustomerId"},
		Licences: []Licence{{
			ID: 501, Type: 1, Name: "M365 Business Premium", Count: 25, ClientID: 39, PurchasePrice: Pounds("16.60"), Price: Pounds("19.9"), StartDate: On(start.AddDate(-1, 0, 0)),
			BillingCycle: "Monthly", TermDuration: "P1Y", IsActive: true, SnowID: "giacom:demo:microsoft/1", ProductSKU: "CFQ7TTC0LCHC:0002", Notes: "ours",
		}},
		Invoices: []Invoice{{
			ID: -94, ClientID: 39, Period: 2, StartDate: On(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), NextCreation: On(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)),
			LastCreated: On(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)), PeriodsAhead: 1, ChangeSeq: 7, Extra: Extra{"paymentterms": raw(30)},
			Lines: []Line{
				{ID: 910, ItemID: 77, Name: "M365 Business Premium", UnitPrice: Pounds("19.90"), UnitCost: Pounds("16.60"), Sequence: 1, QuantityType: Subscriptions, Extra: Extra{"xero_tax_code": raw("OUTPUT2")},
					Subscriptions: []QuantityRow{{ID: 31, Kind: 4, LicenceID: 501, ProRata: 1, UsesSubsCost: true}}},
				{ID: 911, ItemID: 80, Name: "Support", Quantity: Pounds("1"), UnitPrice: Pounds("50")},
			},
		}},
		Links:   []Link{{ID: 5, TableID: 2, ModuleID: 99, HaloID: 39, ThirdPartyID: "MEX1", Text: "Acme", Primary: true}},
		Control: Control{CalculateQuantities: true, NegativeProRata: true, GiacomMappings: []Link{{ID: 5, TableID: 2, ModuleID: 99, HaloID: 39, ThirdPartyID: "MEX1"}}},
	}
}

func (b *bench) login(scope string) (int, string) {
	b.t.Helper()
	res, err := http.PostForm(b.url+"/auth/token?tenant=sim", url.Values{"grant_type": {"client_credentials"}, "client_id": {"sim-client"}, "client_secret": {"sim-secret"}, "scope": {scope}})
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	var reply struct {
		Token string `json:"access_token"`
	}
	body, _ := io.ReadAll(res.Body)
	_ = json.Unmarshal(body, &reply)
	b.token = reply.Token
	return res.StatusCode, string(body)
}

func (b *bench) do(method, path, body string) (int, string, http.Header, error) {
	req, err := http.NewRequest(method, b.url+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+b.token)
	res, err := (&http.Client{Timeout: 5 * time.Second}).Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer res.Body.Close()
	got, err := io.ReadAll(res.Body)
	return res.StatusCode, string(got), res.Header, err
}

func (b *bench) want(status int, method, path, body string) string {
	b.t.Helper()
	got, text, _, err := b.do(method, path, body)
	if err != nil || got != status {
		b.t.Fatalf("%s %s %s: status %d, %v, want %d\n%s", method, path, body, got, err, status, text)
	}
	return text
}

func (b *bench) contains(text string, parts ...string) {
	b.t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			b.t.Errorf("%s is missing in\n%s", p, text)
		}
	}
}

// TestShapes compares a reply of each documented shape with its golden file.
func TestShapes(t *testing.T) {
	const page = "?pageinate=true&page_size=100&page_no=1"
	for _, c := range []struct{ name, method, path, body string }{
		{"clients", "GET", "/api/Client" + page + "&includeinactive=true", ""},
		{"client", "GET", "/api/client/39?includedetails=true", ""},
		{"client_created", "POST", "/api/Client", `[{"name":"New Ltd","toplevel_id":12,"newclient_sitename":"HQ","customfields":[{"name":"CFGiacomCustomerId","value":"C-1"}]}]`},
		{"toplevels", "GET", "/api/TopLevel" + page, ""},
		{"sites", "GET", "/api/Site" + page + "&client_id=39", ""},
		{"users", "GET", "/api/Users" + page + "&client_id=39&exclude_generaluser=true&includeserviceaccount=false", ""},
		{"items", "GET", "/api/Item" + page, ""},
		{"licences", "GET", "/api/SoftwareLicence" + page + "&client_id=39&includeinactive=true", ""},
		{"licence", "GET", "/api/SoftwareLicence/501", ""},
		{"invoices", "GET", "/api/RecurringInvoice" + page, ""},
		{"invoice", "GET", "/api/RecurringInvoice/-94?includedetails=true", ""},
		{"externallinks", "GET", "/api/ExternalLink" + page + "&table_id=2", ""},
		{"control", "GET", "/api/Control", ""},
		{"bad_integer", "POST", "/api/SoftwareLicence", `[{"id":501,"client_id":39,"count":"95"}]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := serve(t, Config{})
			_, got, _, err := b.do(c.method, c.path, c.body)
			if err != nil {
				t.Fatal(err)
			}
			var v any
			if err := json.Unmarshal([]byte(got), &v); err != nil {
				t.Fatalf("%v in %s", err, got)
			}
			pretty, _ := json.MarshalIndent(v, "", "  ")
			file := filepath.Join("testdata", c.name+".json")
			if *update {
				if err := os.WriteFile(file, append(pretty, '\n'), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			golden, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(golden), string(pretty)+"\n"); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTokens(t *testing.T) {
	b := serve(t, Config{Scopes: []string{"read:customers", "edit:softwarelicensing"}, Denied: []string{"edit:softwarelicensing"}})
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"sim-client"}, "client_secret": {"wrong"}, "scope": {"all"}}
	if res, _ := http.PostForm(b.url+"/auth/token?tenant=sim", form); res.StatusCode != 401 {
		t.Errorf("a wrong secret got %d", res.StatusCode)
	}
	if res, _ := http.PostForm(b.url+"/auth/token?tenant=other", form); res.StatusCode != 500 {
		t.Errorf("a wrong tenant got %d", res.StatusCode)
	}
	b.want(200, "GET", "/api/Client", "")
	b.want(200, "GET", "/api/SoftwareLicence", "") // edit includes read
	if got := b.want(401, "POST", "/api/SoftwareLicence", `[]`); got != "" {
		t.Errorf("a missing right has a body: %s", got)
	}
	b.want(401, "GET", "/api/RecurringInvoice", "") // no such scope
	b.clock.Advance(time.Hour)
	b.want(401, "GET", "/api/Client", "")
	b.login("read:customers")
	b.want(200, "GET", "/API/cLiEnT?whatever=1", "")
	b.ExpireTokens()
	b.want(401, "GET", "/api/Client", "")
}

func TestPaging(t *testing.T) {
	b := serve(t, Config{MaxPageSize: 100})
	for i := range 229 {
		b.AddLicence(Licence{Name: fmt.Sprintf("L%03d", i), ClientID: 39, IsActive: true, SnowID: "x"})
	}
	for query, want := range map[string][2]int{ // rows, record_count
		"?pageinate=true&page_size=1000&page_no=1": {100, 230},
		"?pageinate=true&page_size=1000&page_no=3": {30, 230},
		"?pageinate=true&page_size=1000&page_no=4": {0, 230},
		"?pageinate=true&page_size=70":             {50, 50}, // without page_no
		"":                                         {50, 230},
		"?count=120":                               {120, 230},
	} {
		var reply struct {
			Count int       `json:"record_count"`
			Rows  []Licence `json:"licences"`
		}
		if err := json.Unmarshal([]byte(b.want(200, "GET", "/api/SoftwareLicence"+query, "")), &reply); err != nil {
			t.Fatal(err)
		}
		if got := [2]int{len(reply.Rows), reply.Count}; got != want {
			t.Errorf("%q: rows and count %v, want %v", query, got, want)
		}
	}
	if thin := serve(t, Config{NoListMarks: true}).want(200, "GET", "/api/SoftwareLicence", ""); strings.Contains(thin, "snowid") {
		t.Error("list rows carry snowid against the option")
	}
	for option, want := range map[InvoiceLines]string{LinesWhole: "quantity_subscriptions", LinesThin: "item_shortdescription"} {
		b := serve(t, Config{InvoiceLines: option})
		b.contains(b.want(200, "GET", "/api/RecurringInvoice?includelines=true", ""), want)
	}
	if got := serve(t, Config{InvoiceLines: LinesAbsent}).want(200, "GET", "/api/RecurringInvoice?includelines=true", ""); strings.Contains(got, `"lines"`) {
		t.Error("lines against the option")
	}
}

func TestWritesMerge(t *testing.T) {
	b := serve(t, Config{})
	b.want(400, "POST", "/api/SoftwareLicence", `{"id":501,"client_id":39,"count":1}`)
	b.contains(b.want(400, "POST", "/api/SoftwareLicence", `[{"id":501,"client_id":39,"count":26.0}]`), `[0].count`)
	b.want(400, "POST", "/api/SoftwareLicence", `[{"id":501,"count":26}]`)
	b.want(404, "POST", "/api/SoftwareLicence", `[{"id":999,"client_id":39}]`)
	before := b.State().Licences[0]
	if got := b.want(201, "POST", "/api/SoftwareLicence", `[{"id":501,"client_id":39,"count":26,"new_field":{"a":1}}]`); got[0] != '{' {
		t.Errorf("one row got %s", got)
	}
	before.Count, before.Extra = 26, Extra{"new_field": json.RawMessage(`{"a":1}`)}
	if diff := cmp.Diff(before, b.State().Licences[0]); diff != "" {
		t.Error(diff)
	}
	if got := b.want(201, "POST", "/api/SoftwareLicence", `[{"client_id":39,"name":"a"},{"client_id":39,"name":"b","end_date":"1901-01-01T00:00:00"}]`); got[0] != '[' {
		t.Errorf("two rows got %s", got)
	}
	last := serve(t, Config{ReplyLast: true})
	last.contains(last.want(201, "POST", "/api/SoftwareLicence", `[{"client_id":39,"name":"a"},{"client_id":39,"name":"b"}]`), `{"id":503,`, `"name":"b"`)

	b.contains(b.want(200, "GET", "/api/SoftwareLicence/503", ""), `"end_date":"1900-01-01T00:00:00"`, `"is_active":true`)
	b.contains(b.want(200, "GET", "/api/LicenceChange?licence_id=501", ""), `"old_count":25,"new_count":26`)
	b.contains(b.want(201, "POST", "/api/Client", `[{"id":39,"customfields":[{"name":"CFNope","value":"x"},{"name":"cfgiacomcustomerid","value":"M"}]}]`), "_warning", `"value":"M"`, `"vip":true`)
	b.want(400, "DELETE", "/api/Client/39", "")
	b.want(400, "DELETE", "/api/SoftwareLicence/501", "")
	b.want(200, "DELETE", "/api/SoftwareLicence/502", "")
	b.want(404, "GET", "/api/SoftwareLicence/502", "")
	unique := serve(t, Config{UniqueClientNames: true})
	unique.want(400, "POST", "/api/Client", `[{"name":"ACME LTD"}]`)
	unique.want(201, "POST", "/api/Client", `[{"name":"Beta Ltd"}]`)
	if n := len(unique.State().Sites); n != 2 {
		t.Errorf("%d sites, want the new client's too", n)
	}
	b.want(201, "POST", "/api/ExternalLink", `[{"table_id":2,"module_id":99,"halo_id":40,"third_party_id":"MEX2"}]`)
	b.contains(b.want(200, "GET", "/api/ExternalLink?third_party_id=MEX2", ""), `"halo_id":40`)
}

// invoice reads -94 as a client would, as raw JSON.
func (b *bench) invoice() map[string]any {
	b.t.Helper()
	var inv map[string]any
	if err := json.Unmarshal([]byte(b.want(200, "GET", "/api/RecurringInvoice/-94", "")), &inv); err != nil {
		b.t.Fatal(err)
	}
	return inv
}

func TestInvoiceLines(t *testing.T) {
	b := serve(t, Config{})
	inv := b.invoice()
	lines := inv["lines"].([]any)
	post := func(status int, lines []any) {
		t.Helper()
		b.want(status, "POST", "/api/RecurringInvoice", string(raw([]any{map[string]any{"id": -94, "change_seq": b.invoice()["change_seq"], "lines": lines}})))
	}
	before := b.State()
	post(201, lines)
	after := b.State()
	before.Invoices[0].ChangeSeq++
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("an invoice written as read is not the same:\n%s", diff)
	}
	b.want(400, "POST", "/api/RecurringInvoice", `[{"id":-94,"change_seq":7,"lines":[]}]`) // stale
	lines[1].(map[string]any)["qty_order"] = 3
	post(201, append(lines, map[string]any{"item_shortdescription": "New", "recurring_invoice_quantity_type": 4,
		"quantity_subscriptions": []any{map[string]any{"kind": 4, "licence_id": 501, "pro_rata": 1}}}))
	got := b.State().Invoices[0]
	if len(got.Lines) != 3 || got.Lines[2].ID != 912 || got.Lines[2].Subscriptions[0].ID != 32 || !got.Lines[2].Quantity.Equal(Pounds("25")) {
		t.Errorf("the new line is %+v", got.Lines[2])
	}
	b.contains(b.want(200, "GET", "/api/InvoiceChange?invoice_id=-94&line_id=911", ""), `"field_name":"qty_order","old_value":"1","new_value":"3"`)
	post(201, []any{map[string]any{"id": 910}})
	if got := b.State().Invoices[0]; len(got.Lines) != 1 || got.Lines[0].Extra != nil || got.Lines[0].ItemID != 0 {
		t.Errorf("left-out lines or fields survived: %+v", got.Lines)
	}
	b.want(400, "POST", "/api/RecurringInvoice", `[{"id":-94,"lines":[{"id":910,"recurring_invoice_quantity_type":4,"quantity_subscriptions":[{"licence_id":77777}]}]}]`)
	kind := serve(t, Config{KeepMissingLines: true, MergeLines: true})
	kind.want(201, "POST", "/api/RecurringInvoice", `[{"id":-94,"lines":[{"id":910,"unit_price":20}]}]`)
	if got := kind.State().Invoices[0]; len(got.Lines) != 2 || got.Lines[0].ItemID != 77 || !got.Lines[0].UnitPrice.Equal(Pounds("20")) {
		t.Errorf("the options keep nothing: %+v", got.Lines)
	}
	kind.want(201, "POST", "/api/RecurringInvoice/updatelines", `[{"id":911,"ihid":-94,"qty_order":2}]`)
	kind.contains(kind.want(201, "POST", "/api/RecurringInvoice", `[{"client_id":39,"period":3}]`), `"id":-95`)
}

func TestQuantities(t *testing.T) {
	b := serve(t, Config{})
	quantity := func() string { return b.State().Invoices[0].Lines[0].Quantity.String() }
	set := func(change func(*QuantityRow)) {
		_ = b.EditInvoice(-94, func(i *Invoice) { change(&i.Lines[0].Subscriptions[0]) })
	}
	for _, c := range []struct {
		free, minimum int64
		want          string
	}{{0, 0, "25"}, {5, 0, "20"}, {30, 0, "0"}, {5, 22, "22"}} {
		set(func(r *QuantityRow) { r.Free, r.Minimum = c.free, c.minimum })
		if got := quantity(); got != c.want {
			t.Errorf("free %d, minimum %d: %s, want %s", c.free, c.minimum, got, c.want)
		}
	}
	set(func(r *QuantityRow) { r.Free, r.Minimum, r.Assigned = 0, 0, true })
	if got := quantity(); got != "0" {
		t.Errorf("assigned seats: %s", got)
	}
	set(func(r *QuantityRow) { r.Assigned = false })
	b.EditControl(func(c *Control) { c.InactiveLicenceLines, c.LineStatusFollows = true, true })
	for _, active := range []bool{false, true} {
		b.want(201, "POST", "/api/SoftwareLicence", fmt.Sprintf(`[{"id":501,"client_id":39,"is_active":%v}]`, active))
		if got := b.State().Invoices[0].Lines[0]; got.Inactive == active || active != got.Quantity.IsPositive() {
			t.Errorf("licence active %v, line %+v", active, got)
		}
	}
	_ = b.EditInvoice(-94, func(i *Invoice) { i.Lines[1].QuantityType = Users; i.Lines[1].Users = []QuantityRow{{Kind: 2}} })
	if got := b.State().Invoices[0].Lines[1].Quantity.String(); got != "1" {
		t.Errorf("users: %s", got)
	}
}

func TestProcess(t *testing.T) {
	b := serve(t, Config{})
	b.want(201, "POST", "/api/SoftwareLicence", `[{"id":501,"client_id":39,"count":27,"purchase_price":17}]`) // 16 of 31 days are left
	var billed []Billed
	if err := json.Unmarshal([]byte(b.want(200, "POST", "/_sim/process?date=2026-02-01", "")), &billed); err != nil {
		t.Fatal(err)
	}
	if len(billed) != 1 || len(billed[0].Lines) != 3 {
		t.Fatalf("billed %+v", billed)
	}
	line, proRata := billed[0].Lines[0], billed[0].Lines[1]
	if !line.Quantity.Equal(Pounds("27")) || !line.UnitCost.Equal(Pounds("17")) || !line.Net.Equal(Pounds("537.3")) {
		t.Errorf("line %+v", line)
	}
	if !proRata.ProRata || !proRata.Quantity.Equal(Pounds("2")) || !proRata.UnitPrice.Equal(Pounds("10.27")) {
		t.Errorf("pro rata %+v", proRata)
	}
	if !billed[0].Net.Equal(Pounds("607.84")) {
		t.Errorf("net %s", billed[0].Net)
	}
	inv := b.State().Invoices[0]
	if inv.NextCreation.Month() != time.March || inv.LastCreated.Month() != time.February || len(inv.Lines[0].ProRata) != 0 {
		t.Errorf("after the run %+v", inv)
	}
	if again := b.Process(time.Date(2026, 2, 1, 0, 0, 0, 0, time.UTC)); again != nil {
		t.Errorf("billed twice: %+v", again)
	}
	_ = b.EditInvoice(-94, func(i *Invoice) { i.Lines[0].Subscriptions[0].UsesSubsPrice = true })
	_ = b.EditLicence(501, func(l *Licence) { l.Price = Pounds("10") })
	if got := b.Process(time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)); !got[0].Net.Equal(Pounds("320")) {
		t.Errorf("with the linked price: %s", got[0].Net)
	}
}

func TestRateLimit(t *testing.T) {
	b := serve(t, Config{Limit: 3, Window: 5 * time.Minute, RetryAfter: true})
	for range 3 {
		b.want(200, "GET", "/api/Client", "")
		b.clock.Advance(time.Minute)
	}
	status, body, header, _ := b.do("GET", "/api/Client", "")
	if status != 429 || body != "Rate Limit Reached - 3 Requests per rolling 5 minute window" || header.Get("Retry-After") != "121" {
		t.Errorf("%d %q %v", status, body, header)
	}
	b.clock.Advance(2 * time.Minute)
	b.want(200, "GET", "/api/Client", "")
	b.want(429, "GET", "/api/Client", "")
	if got := b.Requests(); got["429"] != 2 || got["GET /Client"] != 6 {
		t.Errorf("%v", got)
	}
}

func TestStateIsACopy(t *testing.T) {
	b := serve(t, Config{})
	one := b.State()
	one.Invoices[0].Lines[0].Subscriptions[0].LicenceID = 1
	one.Clients[0].Name = "changed"
	two := b.State()
	if two.Invoices[0].Lines[0].Subscriptions[0].LicenceID != 501 || two.Clients[0].Name != "Acme Ltd" {
		t.Error("a copy shares memory with the simulator")
	}
	var back State
	if err := json.Unmarshal(two.JSON(), &back); err != nil {
		t.Fatal(err)
	}
	if string(back.JSON()) != string(two.JSON()) {
		t.Error("the state does not survive its JSON")
	}
	b.want(204, "PUT", "/_sim/state", string(two.JSON()))
	if diff := cmp.Diff(two, b.State()); diff != "" {
		t.Error(diff)
	}
}
