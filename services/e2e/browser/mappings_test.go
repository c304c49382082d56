package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"seatline.dev/pkg/halo/halosim"
	accessv1 "seatline.dev/proto/seatline/access/v1"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/estate"
	"seatline.dev/services/seatline/ctl"
)

// oddName is a customer's name that a careless page would make something of.
const oddName = `Zoë's "Café" <b>&</b> 🌱`

// strangers is an estate in which hardly anybody has the same name here and there: by their place, 0 and 1 do, 2 and 3
// nearly do, 4 has two namesakes in Halo, 5 and 6 are unknown there, 7 is called otherwise and tied by Halo's own
// integration. Each has a Microsoft subscription, and one that is not Microsoft's.
func strangers() estate.Data {
	data := estate.Plain(estate.Config{Seed: 3, Customers: 8, Subscriptions: 16, Now: time.Now()}, estate.NoLines)
	giacom := []string{"Harbour Dental Ltd", oddName, "Northwind Bakery Limited", "Quayside and Sons", "Twin", "Brand New Ventures", "Our own test tenant", "Tall Ship Tours"}
	halo := []string{"Harbour Dental Ltd", oddName, "Northwind Bakery Ltd", "Quayside & Sons", "Twin", "Twin", "Somebody else altogether", "TST Holdings"}
	for i := range giacom {
		data.Giacom.Customers[i].Name, data.Halo.Clients[i].Name = giacom[i], halo[i]
	}
	for i := range data.Giacom.Subscriptions {
		s := &data.Giacom.Subscriptions[i]
		s.CustomerName = ""
		if i%2 == 1 {
			s.GUID, s.OfferID, s.ProductID, s.NCE = "", "", "62-a", false
			s.Name, s.Reference, s.Service = "Exclaimer Signatures", "", "Signatures"
		}
	}
	data.Halo.Control.GiacomMappings = []halosim.Link{{ID: 1, TableID: 2, HaloID: data.Halo.Clients[7].ID, ThirdPartyID: data.Giacom.Customers[7].MexID}}
	return data
}

// byHand is a connection that maps and creates nobody by itself.
func byHand(c *connectionv1.Connection) {
	off := false
	c.Customers.Create, c.Customers.TopLevelId, c.Customers.MapByName, c.Customers.MapFromNative = false, 0, &off, &off
	c.Customers.UnmappedAlertAfter = durationpb.New(time.Millisecond)
}

// pull imports the estate, and waits for what comes of it.
func (s *story) pull() *runv1.Run {
	s.Helper()
	r, err := s.w.Run(s.Context(), "acme", false)
	s.must(err)
	s.must(s.w.Settle(s.Context(), "acme"))
	return r
}

// shows fails unless the page shows all of it.
func (s *story) shows(texts ...string) {
	s.Helper()
	for _, text := range texts {
		s.must(s.Await(text))
	}
}

// open a page and wait for its words.
func (s *story) open(path string, texts ...string) {
	s.Helper()
	s.must(s.Go(path))
	s.shows(texts...)
}

func (s *story) mapping(id string) *mappingv1.Mapping {
	s.Helper()
	m, err := mappingv1.NewMappingServiceClient(s.w.Client(ctl.Mapper)).GetMapping(s.Context(), &mappingv1.GetMappingRequest{Connection: "acme", MexId: id})
	s.must(err)
	return m
}

// TestMappings is the guide's "Importing Customers" up to the import: generate mappings, add others by hand, and all that
// goes beyond it.
func TestMappings(t *testing.T) {
	t.Parallel()
	data := strangers()
	s := tell(t, data, accessv1.Role_ROLE_OPERATOR)
	s.connect(byHand)
	s.pull()
	mex := func(i int) string { return data.Giacom.Customers[i].MexID }
	client := func(i int) int64 { return data.Halo.Clients[i].ID }
	of := func(i int, rest string) string { return "/c/acme/mappings/" + mex(i) + rest }

	s.open("/c/acme/mappings", "Customers stay unmapped", "Brand New Ventures", oddName, "Northwind Bakery Ltd?")
	s.must(s.Look("mappings-unmapped"))

	// Exact names are mapped with one button, after a look; the twins are not guessed.
	s.must(s.Press("Generate mappings"))
	s.shows("Map 2 customers", oddName)
	s.must(s.Look("mappings-generate"))
	s.must(s.Click(`a[href="/c/acme/mappings/generate?show=skipped"]`))
	s.shows("Halo has 2 active customers of that name.")
	s.must(s.Press("Map 2 customers"))
	s.shows("2 customers are mapped, with 4 subscriptions")

	// What Halo's own integration knows is taken over.
	s.must(s.Press("Take over from Halo"))
	s.shows("TST Holdings")
	s.must(s.Look("mappings-take-over"))
	s.must(s.Press("Map 1 customer"))
	s.shows("1 customer is mapped")

	// Suggestions: one by one, then all above a score.
	s.open("/c/acme/mappings/suggestions", "Quayside & Sons", "Northwind Bakery Ltd")
	s.must(s.Look("mappings-suggestions"))
	s.must(s.Click(`form[action="` + of(3, "/accept") + `"] button`))
	s.shows("Quayside and Sons is mapped to Quayside & Sons.")
	s.must(s.w.Settle(t.Context(), "acme"))
	s.must(s.Press("Accept all from a score …"))
	s.shows("Where several Halo customers might be meant")
	s.must(s.Choose("With a score of at least", "60"))
	s.shows("Northwind Bakery Limited")
	s.must(s.Look("mappings-accept"))
	s.must(s.Press("Map 1 customer"))
	s.shows("1 customer is mapped")

	// By hand, with a picker.
	s.open(of(4, ""), "Who it may be in Halo")
	s.must(s.Look("mapping"))
	s.must(s.Press("Map …"))
	s.shows("Several Giacom customers may be one Halo customer.")
	s.must(s.Fill("Find a Halo customer", "somebody"))
	s.must(s.Press("Show"))
	s.shows("Somebody else altogether")
	s.must(s.Look("mapping-picker"))
	s.must(s.Click(`form[action="` + of(4, "/map") + `"]:has(input[name="to"][value="` + fmt.Sprint(client(6)) + `"]) button`))
	s.shows("Twin is mapped to Somebody else altogether.")
	s.must(s.Press("Map to another …"))
	s.must(s.Click(`a[href="` + of(4, "/map?to="+fmt.Sprint(client(4))) + `"]`))
	s.shows("Its licences move from Somebody else altogether to Twin in Halo.")
	s.must(s.Look("mapping-remap-asked"))
	s.must(s.Press("Map it to Twin"))
	s.shows("Twin is mapped to Twin.")

	// A customer that is not to be billed, with a reason; without one it is asked for.
	s.Expect("422")
	s.must(s.Go(of(6, "")))
	s.must(s.Press("Ignore …"))
	s.shows("Ignore this customer?")
	s.must(s.Press("Ignore it"))
	s.shows("Say in a few words why.")
	s.must(s.Look("mapping-ignore"))
	s.must(s.Fill("Why", "our own"))
	s.must(s.Press("Ignore it"))
	s.shows("Our own test tenant is ignored.")
	s.must(s.Press("Ignore no longer …"))
	s.shows("Remove this mapping?")
	s.must(s.Press("Remove it"))
	s.shows("is left to the rules again.")

	// Somebody else is faster.
	s.Expect("409")
	s.must(s.Press("Ignore …"))
	s.shows("Ignore this customer?")
	_, err := mappingv1.NewMappingServiceClient(s.w.Client(ctl.Mapper)).SetMapping(t.Context(), &mappingv1.SetMappingRequest{Connection: "acme", MexId: mex(6), HaloClientId: client(6)})
	s.must(err)
	s.must(s.Fill("Why", "test tenant"))
	s.must(s.Press("Ignore it"))
	s.shows("Someone else changed this meanwhile", "it is mapped to customer")
	s.must(s.Look("mapping-changed-meanwhile"))
	if m := s.mapping(mex(6)); m.GetHaloClientId() != client(6) {
		t.Errorf("the other's mapping is lost: %v", m)
	}

	// The last one is new to Halo.
	s.must(s.Go(of(5, "")))
	s.must(s.Press("Create in Halo …"))
	s.shows("Create it in Halo?")
	s.must(s.Press("Create it"))
	s.shows("is going to be created in Halo.")
	s.must(s.w.Settle(t.Context(), "acme"))
	if m := s.mapping(mex(5)); m.GetOrigin() != mappingv1.Origin_ORIGIN_CREATED || m.GetHaloClientId() == 0 {
		t.Errorf("created as %v", m)
	}

	// Half a file changes nothing and says where it ends; a whole one is imported.
	file := filepath.Join(t.TempDir(), "half.csv")
	s.must(os.WriteFile(file, []byte("mex_id,halo_client_id\n"+mex(6)+",4711\n"+mex(0)+",1"), 0o600))
	s.open("/c/acme/mappings/file", "From a file")
	s.must(s.Look("mappings-file"))
	s.must(s.Upload("file", file))
	s.must(s.Press("Import"))
	s.shows("Nothing was imported", "it may be cut off")
	s.must(os.WriteFile(file, []byte("mex_id,halo_client_id,ignore_reason\n"+mex(6)+",4711,\n"+mex(0)+",,ours\n"+mex(1)+",9\n"), 0o600))
	s.must(s.Upload("file", file))
	s.must(s.Press("Import"))
	s.shows("has 2 lines that cannot be imported", "Halo has no customer 4711")
	s.must(s.Look("mappings-file-faults"))
	s.must(os.WriteFile(file, []byte("mex_id,ignore_reason\n"+mex(6)+",\"ours, <b>really</b>\"\n"), 0o600))
	s.must(s.Upload("file", file))
	s.must(s.Press("Import"))
	s.shows("1 mapping changed by")

	// One is renamed in Giacom, and Halo's customer of another goes away.
	s.w.Giacom.Rename(mex(0), "Harbour Dental Group")
	s.must(s.w.Halo.EditClient(client(3), func(c *halosim.Client) { c.Inactive = true }))
	s.pull()
	s.open("/c/acme/mappings")
	s.must(s.Press("Read Halo again"))
	s.shows("Halo’s customers were read")
	s.must(s.w.Settle(t.Context(), "acme"))
	s.open("/c/acme/mappings", "To be remapped", "was “Harbour Dental Ltd”", "Remap …")
	s.must(s.Look("mappings"))
	s.open(of(3, ""), "To be remapped", "Map to another …")
	s.must(s.Look("mapping-to-be-remapped"))
	s.open("/c/acme/mappings?standing=remap", "Quayside and Sons")
	if text, err := s.Text(); err != nil || strings.Contains(text, "Twin") {
		t.Errorf("the list of what is to be remapped (%v):\n%s", err, text)
	}
}

// TestTopLevel is the guide's "Top Level for New Customers".
func TestTopLevel(t *testing.T) {
	t.Parallel()
	data := strangers()
	s := tell(t, data, accessv1.Role_ROLE_OPERATOR)
	s.connect(byHand)
	s.pull()
	before := s.w.Halo.State().Clients
	wanted := data.Halo.TopLevels[len(data.Halo.TopLevels)-1]
	s.open("/c/acme/top-level", "Top level for new customers", "Halo’s default", "Customers that are mapped or updated stay where they are.")
	s.must(s.Choose("Top level", fmt.Sprint(wanted.ID)))
	s.must(s.Press("Save"))
	s.shows("Customers are created under the chosen top level from now on.", wanted.Name)
	s.must(s.Look("top-level"))
	s.must(s.w.Settle(t.Context(), "acme"))

	// One is created, one is mapped: the level is for the first.
	s.must(s.Go("/c/acme/mappings/" + data.Giacom.Customers[5].MexID + "/create"))
	s.must(s.Press("Create it"))
	s.shows("is going to be created in Halo.")
	s.must(s.Go("/c/acme/mappings/generate"))
	s.must(s.Press("Map 2 customers"))
	s.shows("2 customers are mapped")
	s.must(s.w.Settle(t.Context(), "acme"))
	for _, c := range s.w.Halo.State().Clients {
		was := slices.IndexFunc(before, func(x halosim.Client) bool { return x.ID == c.ID })
		switch {
		case was < 0 && (c.Name != "Brand New Ventures" || c.TopLevelID != wanted.ID):
			t.Errorf("created as %+v", c)
		case was >= 0 && c.TopLevelID != before[was].TopLevelID:
			t.Errorf("%s was moved from top level %d to %d", c.Name, before[was].TopLevelID, c.TopLevelID)
		}
	}
}
