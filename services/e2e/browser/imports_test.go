package browser

import (
	"fmt"
	"strings"
	"testing"

	"seatline.dev/pkg/halo/halosim"
	accessv1 "seatline.dev/proto/seatline/access/v1"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/estate"
)

// TestImportCustomers is the guide's button: everybody that Halo lacks is created, and who may be there is asked about.
func TestImportCustomers(t *testing.T) {
	t.Parallel()
	data := strangers()
	s := tell(t, data, accessv1.Role_ROLE_OPERATOR)
	s.connect(byHand)
	s.pull()
	had := len(s.w.Halo.State().Clients)
	s.open("/c/acme/imports", "Import customers", "Import subscriptions", "No imports yet")
	s.must(s.Look("imports-none"))
	s.must(s.Press("Import customers"))
	s.shows("Would be created", "Link or create?", "Brand New Ventures", "Halo has a customer of exactly this name")
	s.must(s.Look("import-customers"))
	s.must(s.Choose("Northwind Bakery Limited", fmt.Sprintf("link:%d", data.Halo.Clients[2].ID)))
	s.must(s.Choose("Quayside and Sons", "create"))
	s.must(s.Press("Show what that would do"))
	s.shows("What your answers do")
	s.must(s.Look("import-customers-answered"))
	s.must(s.Press("Import 4 customers"))
	s.shows("The import has ended") // the page gets there by itself
	s.must(s.Look("import-customers-report"))
	s.shows("Created", "Quayside and Sons", "Download CSV")
	names := map[string]int{}
	for _, c := range s.w.Halo.State().Clients {
		names[c.Name]++
	}
	if names["Brand New Ventures"] != 1 || names["Quayside and Sons"] != 1 || names["Northwind Bakery Limited"] != 0 || names[oddName] != 1 {
		t.Errorf("Halo had %d customers and has %v", had, names)
	}
	s.open("/c/acme/imports", "Zoë O’Neill")
	s.must(s.Look("imports"))
}

// TestImportSubscriptions imports with each of the guide's methods, and looks in Halo at the fields that each brings.
func TestImportSubscriptions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		method   connectionv1.ImportMethod
		says     string
		licences int
		ends     bool // Microsoft's have an end date and a term
	}{
		{"report", connectionv1.ImportMethod_IMPORT_METHOD_REPORT, "Microsoft subscriptions only", 8, true},
		{"subscriptions", connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS, "without end date, term and status", 16, false},
		{"both", connectionv1.ImportMethod_IMPORT_METHOD_BOTH, "Both methods are used", 16, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			data := alike()
			s := tell(t, data, accessv1.Role_ROLE_OPERATOR)
			s.connect(func(x *connectionv1.Connection) { x.Giacom.Method, x.Customers.Create = c.method, false })
			// Customers first, as the guide has it: those of equal names are mapped by that.
			s.open("/c/acme/imports/customers")
			s.must(s.Press("Read Giacom’s customers now"))
			s.shows("Succeeded")
			s.must(s.w.Settle(t.Context(), "acme"))

			s.open("/c/acme/imports/subscriptions", c.says, "Purchase price")
			s.must(s.Look("import-subscriptions-" + c.name))
			s.must(s.Press("Show what it would do"))
			s.shows("Would be created", "Import now")
			if c.name == "both" {
				s.must(s.Look("import-subscriptions-preview"))
			}
			if n := len(s.w.Halo.State().Licences); n != 0 {
				t.Fatalf("the preview made %d licences", n)
			}
			s.must(s.Press("Import now"))
			s.shows("Import of subscriptions", "Everything that could happen by itself has happened.", "Licence")
			if c.name == "both" {
				s.must(s.Look("import-subscriptions-report"))
			}
			s.must(s.w.Settle(t.Context(), "acme"))
			licences := s.w.Halo.State().Licences
			if len(licences) != c.licences {
				t.Errorf("Halo has %d licences, want %d", len(licences), c.licences)
			}
			for _, l := range licences {
				checkImported(t, l, c.ends && strings.HasPrefix(l.Name, "Microsoft"))
			}
			s.open("/c/acme/imports", "Zoë O’Neill", "Succeeded")
			s.open("/c/acme/imports/subscriptions/preview?wait=1", "Nothing changes")
		})
	}
}

// alike is an estate in which everybody is called the same here and there.
func alike() estate.Data {
	data := strangers()
	for i := range data.Giacom.Customers {
		name := fmt.Sprintf("%s %d", data.Giacom.Customers[i].Name, i)
		data.Giacom.Customers[i].Name, data.Halo.Clients[i].Name = name, name
	}
	data.Halo.Control.GiacomMappings = nil
	return data
}

// checkImported looks for the fields that the guide lists.
func checkImported(t *testing.T, l halosim.Licence, ends bool) {
	t.Helper()
	if l.Count == 0 || l.PurchasePrice.IsZero() || l.StartDate.IsZero() || l.BillingCycle == "" && ends {
		t.Errorf("%s lacks what every method brings: %+v", l.Name, l)
	}
	if got := !l.EndDate.IsZero(); got != ends {
		t.Errorf("%s has an end date: %v, want %v", l.Name, got, ends)
	}
	if got := l.TermDuration != ""; got != ends {
		t.Errorf("%s has a term: %q, want one: %v", l.Name, l.TermDuration, ends)
	}
}
