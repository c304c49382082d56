package web

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"seatline.dev/pkg/event"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

func TestTheTableOfMappings(t *testing.T) {
	state, events := estateOf()
	m := startMapped(t, state, events...)
	m.olga.get("/c/acme/mappings").says(t, 200, "Quite Unlike Any", "£50.00", "Zoë&#39;s &#34;Café&#34; &lt;b&gt;&amp;&lt;/b&gt; 🌱", "!<b>&", "Customers stay unmapped", "2 customers with 2 subscriptions (£62.50 ex VAT a month)",
		"Northwind Bakery Ltd?", "one of several", `href="/c/acme/mappings/generate"`, `href="/c/acme/top-level"`, ">Accept")
	m.olga.get("/c/acme/mappings?standing=unmapped&only=billing&order=monthly+desc").says(t, 200, "Quite Unlike Any", "!Harbour Dental")
	m.olga.get("/c/acme/mappings?only=open&order=monthly+desc").says(t, 200, "Quite Unlike Any", "Harbour Dental")
	m.olga.get("/c/acme/mappings?only=waiting").says(t, 200, "Quite Unlike Any", "Zoë&#39;s", "!Harbour Dental")
	m.olga.get("/c/acme/mappings?q=harbour").says(t, 200, "Harbour Dental", "!Quite Unlike")
	m.olga.get("/c/acme/mappings?q=nobody+at+all").says(t, 200, "No customer matches what you asked for.")
	m.olga.get("/c/acme/mappings?order=nonsense").says(t, 422, "nonsense")
	m.olga.get("/c/acme/mappings?q=%00").says(t, 422, "bytes that are not text")
	m.olga.get("/c/acme/mappings?q=a%ff").says(t, 200, "Nothing found")
	m.olga.get("/c/acme/mappings/%00").says(t, 422, "holds bytes that are not text")

	vera := m.enter(t, "vera", rpc.RoleViewer)
	vera.get("/c/acme/mappings").says(t, 200, "Quite Unlike Any", "!>Map …", "!>Accept<", "!Read Halo again")
	vera.get("/c/acme/mappings/X").says(t, 200, "!Ignore …", "!Map …")
	vera.get("/c/acme/mappings/X/ignore").says(t, 403)
	vera.get("/c/acme/mappings/file").says(t, 200, "Download CSV", `!type="file"`)
	if r := vera.postWith(vera.token("/c/acme/mappings"), "/c/acme/mappings/X/map", "to", "7"); r.status != 403 || m.mapping("X").GetHaloClientId() != 0 {
		t.Errorf("a viewer who maps is answered %d", r.status)
	}
	m.olga.get("/c/acme/mappings/NOBODY").says(t, 404, "does not exist")
}

func TestACustomerIsMappedChangedIgnoredCreatedAndLetGo(t *testing.T) {
	state, events := estateOf()
	m := startMapped(t, state, events...)
	picker := m.olga.get("/c/acme/mappings/X/map?q=caf").says(t, 200, "Zoë&#39;s", "!Harbour Dental<", "!Old &lt;i&gt;")
	if r := m.olga.post("/c/acme/mappings/X/map", "/c/acme/mappings/X/map", "to", "7", "etag", picker.field(t, "etag")); r.status != 303 || r.to != "/c/acme/mappings/X" {
		t.Fatalf("mapped: %d to %q\n%s", r.status, r.to, r.body)
	}
	m.olga.get("/c/acme/mappings/X").says(t, 200, "Quite Unlike Any is mapped to Harbour Dental.", "A person", "olga", m.api.URL+"/customers?clientid=7")
	if x := m.mapping("X"); x.GetHaloClientId() != 7 || x.GetWho() != "olga" || x.GetChangedBy() != "olga" {
		t.Errorf("the mapping is %v", x)
	}

	// To another one its licences move: that is asked.
	m.olga.get("/c/acme/mappings/X/map").says(t, 200, "Mapped now", `href="/c/acme/mappings/X/map?to=8"`)
	ask := m.olga.get("/c/acme/mappings/X/map?to=8").says(t, 200, "Its licences move from Harbour Dental to Northwind Bakery Ltd in Halo.")
	if r := m.olga.post("/c/acme/mappings/X/map", "/c/acme/mappings/X/map?to=8", "to", "8", "etag", ask.field(t, "etag")); r.status != 303 {
		t.Errorf("changed: %d\n%s", r.status, r.body)
	}

	m.olga.post("/c/acme/mappings/X/ignore", "/c/acme/mappings/X/ignore", "reason", " ").says(t, 422, "Say in a few words why.")
	ask = m.olga.get("/c/acme/mappings/X/ignore").says(t, 200, "that cost you £50.00 ex VAT a month")
	if r := m.olga.post("/c/acme/mappings/X/ignore", "/c/acme/mappings/X/ignore", "reason", "ours <b>", "etag", ask.field(t, "etag")); r.status != 303 {
		t.Errorf("ignored: %d\n%s", r.status, r.body)
	}
	m.olga.get("/c/acme/mappings/X").says(t, 200, "ours &lt;b&gt;", "Ignore no longer …")
	if r := m.olga.post("/c/acme/mappings/X/remove", "/c/acme/mappings/X/remove", "etag", m.mapping("X").GetEtag()); r.status != 303 || m.mapping("X").GetState() != mappingv1.State_STATE_UNMAPPED {
		t.Errorf("removed: %d, and is %v", r.status, m.mapping("X"))
	}
	if r := m.olga.post("/c/acme/mappings/X/create", "/c/acme/mappings/X/create", "etag", m.mapping("X").GetEtag()); r.status != 303 {
		t.Errorf("created: %d\n%s", r.status, r.body)
	}
	m.settle()
	if x := m.mapping("X"); x.GetState() != mappingv1.State_STATE_MAPPED || x.GetOrigin() != mappingv1.Origin_ORIGIN_CREATED {
		t.Errorf("after its creation: %v", x)
	}
}

func TestAMappingToAHaloCustomerThatIsDeleted(t *testing.T) {
	state, events := estateOf()
	m := startMapped(t, state, events...)
	at := "/c/acme/mappings/X/map"
	m.olga.post(at, at, "to", "4711", "etag", m.mapping("X").GetEtag()).says(t, 409, "Halo has no customer 4711", "Look the number up in Halo", "Find a Halo customer")
	m.olga.post(at, at, "to", "10", "etag", m.mapping("X").GetEtag()).says(t, 409, "Customer 10 of Halo (Old &lt;i&gt;one&lt;/i&gt;) is inactive", "choose another.")
	m.olga.post(at, at, "to", "seven").says(t, 422, "is no number of a Halo customer")
	if x := m.mapping("X"); x.GetHaloClientId() != 0 {
		t.Errorf("it is mapped all the same: %v", x)
	}

	// One that goes away later is shown, with what to do.
	if r := m.olga.post(at, at, "to", "7"); r.status != 303 {
		t.Fatalf("mapped: %d", r.status)
	}
	if err := m.sim.EditClient(7, func(c *halosim.Client) { c.Inactive = true }); err != nil {
		t.Fatal(err)
	}
	if r := m.olga.post("/c/acme/mappings/refresh", "/c/acme/mappings"); r.status != 303 {
		t.Fatalf("read again: %d\n%s", r.status, r.body)
	}
	m.settle()
	m.olga.get("/c/acme/mappings?standing=remap").says(t, 200, "To be remapped", "Remap …", "1 customer is mapped to a Halo customer that is gone")
	m.olga.get("/c/acme/mappings/X").says(t, 200, "To be remapped", "Map to another …")
}

func TestHaloThatIsDownIsSaid(t *testing.T) {
	state, events := estateOf()
	m := startMapped(t, state, events...)
	m.api.Close()
	began := time.Now()
	m.olga.get("/c/acme/mappings").says(t, 200, "Quite Unlike Any") // what was last read of Halo is enough
	m.olga.post("/c/acme/mappings/X/map", "/c/acme/mappings/X/map", "to", "7").says(t, 503, "Halo did not answer within 3 seconds.", "Check the connection, and look how things stand before you try again.", "Find a Halo customer")
	if took := time.Since(began); took > 4*patience {
		t.Errorf("it is said after %v", took)
	}
}

func TestTwoOperatorsAtOnceLoseNoUpdate(t *testing.T) {
	state, events := estateOf()
	m := startMapped(t, state, events...)
	otto := m.enter(t, "otto", rpc.RoleOperator)
	seen := m.mapping("X").GetEtag() // by both
	if r := otto.post("/c/acme/mappings/X/map", "/c/acme/mappings/X/map", "to", "9", "etag", seen); r.status != 303 {
		t.Fatalf("otto maps: %d\n%s", r.status, r.body)
	}
	refused := m.olga.post("/c/acme/mappings/X/ignore", "/c/acme/mappings/X/ignore", "reason", "test tenant", "etag", seen).
		says(t, 409, "Someone else changed this meanwhile", "was changed by otto", "it is mapped to customer 9 of Halo", ">test tenant</textarea>")
	m.olga.post("/c/acme/mappings/X/map", "/c/acme/mappings/X/map", "to", "7", "etag", seen).says(t, 409, "was changed by otto")
	m.olga.post("/c/acme/mappings/X/accept", "/c/acme/mappings/X", "to", "7", "etag", seen).says(t, 409, "was changed by otto")
	m.olga.post("/c/acme/mappings/X/remove", "/c/acme/mappings/X/remove", "etag", seen).says(t, 409, "was changed by otto")
	if x := m.mapping("X"); x.GetHaloClientId() != 9 {
		t.Errorf("otto's mapping is lost: %v", x)
	}
	// Having seen how it is now, she may.
	if r := m.olga.post("/c/acme/mappings/X/ignore", "/c/acme/mappings/X/ignore", "reason", "test tenant", "etag", refused.field(t, "etag")); r.status != 303 {
		t.Errorf("with the new etag: %d\n%s", r.status, r.body)
	}
}

func TestManyMappingsAreShownFirst(t *testing.T) {
	state, events := estateOf()
	m := startMapped(t, state, events...)
	preview := m.olga.get("/c/acme/mappings/generate").says(t, 200, "Map 2 customers", "Harbour Dental", "!Northwind")
	m.olga.get("/c/acme/mappings/generate?show=skipped").says(t, 200, "Halo has 2 active customers of that name.", "Northwind")
	// Something changes between the look and the button.
	m.olga.post("/c/acme/mappings/H/ignore", "/c/acme/mappings/H/ignore", "reason", "gone")
	m.olga.post("/c/acme/mappings/generate", "/c/acme/mappings", "etag", preview.field(t, "etag")).says(t, 409, "Nothing was mapped.", "Map 1 customer<")
	if m.mapping("Z").GetHaloClientId() != 0 {
		t.Error("what was not shown was done")
	}
	preview = m.olga.get("/c/acme/mappings/generate")
	if r := m.olga.post("/c/acme/mappings/generate", "/c/acme/mappings/generate", "etag", preview.field(t, "etag")); r.status != 303 {
		t.Fatalf("generated: %d\n%s", r.status, r.body)
	}
	m.olga.get("/c/acme/mappings").says(t, 200, "1 customer is mapped, with 1 subscription that cost £12.50 ex VAT a month.", "Exact name")
	m.olga.get("/c/acme/mappings/generate").says(t, 200, "Left as they are")

	// Halo's own integration knows two more.
	m.sim.EditControl(func(c *halosim.Control) {
		c.GiacomMappings = []halosim.Link{{ID: 1, TableID: 2, HaloID: 12, ThirdPartyID: "t"}, {ID: 2, TableID: 2, HaloID: 10, ThirdPartyID: "X"}}
	})
	m.olga.post("/c/acme/mappings/refresh", "/c/acme/mappings")
	preview = m.olga.get("/c/acme/mappings/take-over").says(t, 200, "Map 1 customer<", "Twin")
	if r := m.olga.post("/c/acme/mappings/take-over", "/c/acme/mappings/take-over", "etag", preview.field(t, "etag")); r.status != 303 || m.mapping("T").GetHaloClientId() != 12 {
		t.Errorf("taken over: %d, %v", r.status, m.mapping("T"))
	}
}

func TestSuggestionsAreAccepted(t *testing.T) {
	state, events := estateOf()
	state.Clients = append(state.Clients, halosim.Client{ID: 20, Name: "Quayside & Sons"}, halosim.Client{ID: 21, Name: "Smith"})
	m := startMapped(t, state, append(events, customerOf("Q", "Quayside and Sons Ltd"), customerOf("S", "Smith Limited"))...)
	page := m.olga.get("/c/acme/mappings/suggestions").says(t, 200, "Quayside &amp; Sons", "Accept all from a score …", "!Quite Unlike Any")
	m.olga.get("/c/acme/mappings/suggestions?score=95").says(t, 200, "!Quayside &amp; Sons")
	m.olga.get("/c/acme/mappings/suggestions?q=quayside").says(t, 200, "Quayside &amp; Sons", "!Smith")
	if r := m.olga.post("/c/acme/mappings/Q/accept", "/c/acme/mappings/suggestions", "to", "20", "etag", m.mapping("Q").GetEtag(), "back", "/c/acme/mappings/suggestions?q=quay"); r.status != 303 || r.to != "/c/acme/mappings/suggestions?q=quay" {
		t.Fatalf("accepted: %d to %q\n%s", r.status, r.to, r.body)
	}
	if r := m.olga.post("/c/acme/mappings/S/accept", "/c/acme/mappings/suggestions", "to", "4711"); r.status != 409 {
		t.Errorf("what is no suggestion is answered %d", r.status)
	}
	m.settle()
	preview := m.olga.get("/c/acme/mappings/suggestions/accept?score=60").says(t, 200, "Smith", "of 100", "!Quayside")
	if r := m.olga.post("/c/acme/mappings/suggestions/accept", "/c/acme/mappings/suggestions/accept?score=60", "score", "60", "etag", preview.field(t, "etag")); r.status != 303 {
		t.Fatalf("accepted all: %d\n%s", r.status, r.body)
	}
	if x := m.mapping("S"); x.GetHaloClientId() != 21 || x.GetOrigin() != mappingv1.Origin_ORIGIN_SUGGESTION {
		t.Errorf("S is %v", x)
	}
	_ = page
}

func TestMappingsGoOutAndComeInAsCSV(t *testing.T) {
	state, events := estateOf()
	m := startMapped(t, state, events...)
	at := "/c/acme/mappings/file"
	out := m.olga.get(at+"/download").says(t, 200, "mex_id,halo_client_id", "Quite Unlike Any")
	if d := out.header.Get("Content-Disposition"); !strings.Contains(d, `mappings-acme.csv`) {
		t.Errorf("sent as %q", d)
	}
	m.olga.upload(at, at, "", nil).says(t, 422, "No file was chosen.")
	m.olga.upload(at, at, "empty.csv", nil).says(t, 422, "is empty")
	m.olga.get("/c/acme/mappings?q=quite").says(t, 200, "/mappings/file/download?q=quite")
	m.olga.get(at+"/download?q=quite").says(t, 200, "Quite Unlike Any", "!Harbour")
	half := "mex_id,halo_client_id\nH,7\nX,1"
	m.olga.upload(at, at, `half "<b>.csv`, []byte(half)).says(t, 422, "Nothing was imported", "the file ends within this line: it may be cut off", "!<b>.csv")
	wrong := "mex_id,halo_client_id,ignore_reason\nH,7,\nX,4711,\nN,10,\nT,,\nZ,9\nH,8,\n"
	m.olga.upload(at, at, "wrong.csv", []byte(wrong)).says(t, 422, "has 4 lines that cannot be imported", "Halo has no customer 4711", "is inactive", "the row may be cut off", "stands in line 2 already")
	m.olga.upload(at, at, "latin.csv", []byte("mex_id\nZo\xeb\n")).says(t, 422, "not in UTF-8")
	for _, id := range []string{"H", "X", "Z"} {
		if m.mapping(id).GetHaloClientId() != 0 {
			t.Errorf("%s was imported from a file with faults", id)
		}
	}
	good := "mex_id,halo_client_name,ignore_reason\nH,Harbour Dental,\nX,,\"ours, <b>\"\n"
	m.olga.upload(at, at, "good.csv", []byte(good), "check", "1").says(t, 200, "would change 2 mappings", "Nothing was imported yet")
	if m.mapping("H").GetHaloClientId() != 0 {
		t.Error("a file that was only checked is imported")
	}
	if r := m.olga.upload(at, at, "good.csv", []byte(good)); r.status != 303 {
		t.Fatalf("imported: %d\n%s", r.status, r.body)
	}
	m.olga.get("/c/acme/mappings").says(t, 200, "2 mappings changed by &#34;good.csv&#34;", "File")
	if x := m.mapping("X"); x.GetState() != mappingv1.State_STATE_IGNORED || x.GetReason().GetText() != "ours, <b>" {
		t.Errorf("X is %v", x)
	}
	// What goes out comes in again and changes nothing.
	again := m.olga.get(at + "/download")
	if r := m.olga.upload(at, at, "again.csv", []byte(again.body)); r.status != 303 {
		t.Errorf("the same file back: %d\n%s", r.status, r.body)
	}
	m.olga.get(at).says(t, 200, "changes nothing")
}

func TestAtScaleATableOfFiveThousandCustomers(t *testing.T) {
	var events []event.Event
	var clients []halosim.Client
	for i := range 5000 {
		id := fmt.Sprintf("MEX%05d", i)
		events = append(events, customerOf(id, fmt.Sprintf("Customer %04d %s", i, hostile)))
		if i%2 == 0 {
			clients = append(clients, halosim.Client{ID: int64(i + 100), Name: fmt.Sprintf("Customer %04d %s", i, hostile)})
		}
		if i%10 == 0 {
			events = append(events, subscriptionOf("giacom/"+id, id, "3"))
		}
	}
	m := startMapped(t, halosim.State{Clients: clients}, events...)
	began := time.Now()
	page := m.olga.get("/c/acme/mappings").says(t, 200, "5,000", "Next page")
	if took := time.Since(began); took > 3*time.Second || len(page.body) > 400_000 {
		t.Errorf("the first page took %v and has %d bytes", took, len(page.body))
	}
	seen := map[string]bool{}
	row := regexp.MustCompile(`<code>(MEX\d+)</code>`)
	next := regexp.MustCompile(`href="([^"]+)" rel="next"`)
	for pages := 0; ; pages++ {
		for _, found := range row.FindAllStringSubmatch(page.body, -1) {
			seen[found[1]] = true
		}
		to := next.FindStringSubmatch(page.body)
		if to == nil || pages == 4 {
			break
		}
		page = m.olga.get(strings.ReplaceAll(to[1], "&amp;", "&"))
	}
	if len(seen) != 250 {
		t.Errorf("five pages show %d customers, want 250", len(seen))
	}
	m.olga.get("/c/acme/mappings?order=monthly+desc&only=billing").says(t, 200, "£15.00")
	m.olga.get("/c/acme/mappings?q="+url.QueryEscape("4999 zoë")).says(t, 200, "MEX04999", "!MEX04998")
	began = time.Now()
	preview := m.olga.get("/c/acme/mappings/generate").says(t, 200, "Map 2,500 customers", "1 to 50 of 2,500")
	m.olga.get("/c/acme/mappings/generate?show=skipped&page=2450").says(t, 200, "2,451 to 2,500 of 2,500", "!rel=\"next\"")
	if r := m.olga.post("/c/acme/mappings/generate", "/c/acme/mappings/file", "etag", preview.field(t, "etag")); r.status != 303 {
		t.Errorf("generated: %d\n%s", r.status, mainOf(r.body))
	}
	t.Logf("two previews and 2,500 mappings generated in %v", time.Since(began))
}
