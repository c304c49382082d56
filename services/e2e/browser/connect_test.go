package browser

import (
	"strings"
	"testing"
	"time"

	accessv1 "seatline.dev/proto/seatline/access/v1"
	"seatline.dev/services/console/web/webtest"
	"seatline.dev/services/estate"
)

const strangeName = `Müller & Söhne <b>"O'Neill"</b> 🌱`

// another person, with a browser of their own.
func (s *story) beside(name string, role accessv1.Role) *webtest.Person {
	s.Helper()
	browser, err := chromium()
	s.must(err)
	p, err := browser.Open(s.w.WebURL, screens(), webtest.Desktop)
	s.must(err)
	s.Cleanup(func() {
		for _, problem := range p.Problems() {
			s.Errorf("%s's browser complains: %s", name, problem)
		}
		p.Close()
	})
	link, err := s.w.SignInLink(s.Context(), name, role)
	s.must(err)
	s.must(p.Go(link))
	return p
}

// noSecrets: the page at hand shows none, not even in its source.
func (s *story) noSecrets(p *webtest.Person) {
	s.Helper()
	for _, secret := range []string{"sim-key", "sim-secret", "a-wrong-key"} {
		if shown, err := p.Truth(`document.documentElement.outerHTML.includes("` + secret + `")`); err != nil || shown {
			at, _ := p.Location()
			s.Errorf("%s holds the secret %q (%v)", at, secret, err)
		}
	}
}

// The guide's "Connecting Halo to Giacom": enable, choose the version, enter the key, validate. On the way a person
// gets things wrong, and is told each time what to do.
func TestConnectAndValidate(t *testing.T) {
	t.Parallel()
	s := tell(t, estate.Plain(estate.Config{Seed: 5, Customers: 4, Subscriptions: 12, Now: time.Now()}, estate.LinkedLines), accessv1.Role_ROLE_OPERATOR)
	s.Expect("422") // which the browser says aloud
	s.Expect("409")
	s.must(s.Await("No connection yet"))
	s.must(s.Press("Add a connection"))
	s.must(s.Await("My Account & Settings > Settings > API"))
	s.must(s.Await("v2 of the Giacom API is not available for production accounts yet"))
	s.must(s.Look("connection-new"))

	s.must(s.Fill("Name", strangeName))
	s.must(s.Fill("Short name", "acme"))
	s.must(s.Fill("Name of the account", "acme"))
	s.must(s.Fill("API key", "a-wrong-key"))
	s.must(s.Click(`input[value="GIACOM_VERSION_V2"]`))
	s.must(s.Fill("Address of the API", "https://cloudmarket-services.azure-api.net/Billing/v2"))
	s.must(s.Fill("Address of Halo", s.w.HaloURL))
	s.must(s.Fill("Tenant", "sim"))
	s.must(s.Fill("Client id", "sim-client"))
	s.must(s.Fill("Client secret", "sim-secret"))
	s.must(s.Press("Add the connection"))
	s.must(s.Await("v2 is not available for production accounts, so it is refused at cloudmarket-services.azure-api.net"))
	s.must(s.Await("Enter it again: what is secret is not sent back to this page."))
	s.noSecrets(s.Person)
	s.must(s.Look("connection-refused"))

	s.must(s.Click(`input[value="GIACOM_VERSION_V1"]`))
	s.must(s.Fill("Address of the API", s.w.GiacomURL))
	s.must(s.Fill("API key", "a-wrong-key"))
	s.must(s.Fill("Client secret", "sim-secret"))
	s.must(s.Press("Add the connection"))
	if at, err := s.Location(); err != nil || at != "/c/acme/validate" {
		t.Fatalf("after adding one is at %q (%v)", at, err)
	}
	s.must(s.Await("check failed")) // the checks come in by themselves
	s.must(s.Await("Enter another key"))
	s.must(s.Look("validate-wrong-key"))

	s.must(s.Press("Enter another key"))
	s.must(s.Fill("New Giacom API key", "a-wrong-key-too"))
	s.must(s.Press("Try and store"))
	s.must(s.Await("the old one stays"))
	s.must(s.Look("keys-refused"))
	s.noSecrets(s.Person)
	s.must(s.Fill("New Giacom API key", "sim-key"))
	s.must(s.Press("Try and store"))
	s.must(s.Await("Tried and stored."))
	s.must(s.Await("One is set"))
	s.must(s.Await(strangeName))
	s.must(s.Look("connection"))
	s.noSecrets(s.Person)

	s.must(s.Press("Validate"))
	s.must(s.Await("It works, with "))
	s.must(s.Look("validate"))

	// Another operator changes the same connection meanwhile.
	s.must(s.Go("/c/acme/connection/edit"))
	mary := s.beside("Mary <i>", accessv1.Role_ROLE_OPERATOR)
	s.must(mary.Go("/c/acme/connection/edit"))
	s.must(mary.Fill("Currency", "EUR"))
	s.must(mary.Fill("Name", "Mary’s"))
	s.must(mary.Press("Save"))
	s.must(mary.Await("Saved."))
	s.must(s.Fill("Tenant", "nobody"))
	s.must(s.Fill("Name", "Acme IT"))
	s.must(s.Press("Save"))
	s.must(s.Await("Mary <i> changed this connection meanwhile"))
	s.must(s.Await("Meanwhile this became"))
	s.must(s.Look("connection-stale"))
	s.must(s.Press("Save"))
	s.must(s.Await("Saved."))
	if text, err := s.Text(); err != nil || !strings.Contains(text, "EUR") || !strings.Contains(text, "Acme IT") {
		t.Errorf("not both changes (%v):\n%s", err, text)
	}

	// The tenant is wrong now.
	s.must(s.Press("Validate"))
	s.must(s.Await("check failed"))
	s.must(s.Await("Needs a token first."))
	if text, err := s.Text(); err != nil || !strings.Contains(text, "tenant") {
		t.Errorf("of the tenant nothing is said (%v):\n%s", err, text)
	}

	s.must(s.Go("/c/acme/connection"))
	s.must(s.Press("Disable …"))
	s.must(s.Look("connection-disable"))
	s.must(s.Press("Disable it"))
	s.must(s.Await("nothing is imported or written"))
	s.must(s.Press("Delete …"))
	s.must(s.Await("2 secrets are dropped for good."))
	s.must(s.Look("connection-delete"))
	s.must(s.Fill("Short name of the connection", "acme"))
	s.must(s.Press("Delete it for good"))
	s.must(s.Await("is deleted. What is in Halo stays as it is."))
	s.must(s.Go("/connections?state=deleted"))
	s.must(s.Look("connections"))

	s.must(s.Go("/you"))
	s.must(s.Await("This one"))
	s.must(s.Look("you"))
	s.must(s.Press("Sign out everywhere …"))
	s.must(s.Press("Sign out everywhere"))
	s.must(s.Await("Sign in"))
}
