package billing

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	intyv1 "seatline.dev/proto/seatline/inty/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
)

// intyEstate is n customers that came from Inty: each has a licence of Inty's (id 700+n, 7 seats) on a
// line, one of Giacom's (id 500+n, 5 seats) on none, and a line that counts users.
func intyEstate(n int) halosim.State {
	st := estate(n)
	st.Control = halosim.Control{IntyURL: "https://inty.example", IntyUserName: "msp", IntyIntegrator: true}
	for i := 1; i <= n; i++ {
		st.Licences = append(st.Licences, halosim.Licence{
			ID: int64(700 + i), Type: 1, Name: fmt.Sprintf("Product %d (Active)", i), ClientID: int64(i), Count: 7, IsActive: true, PurchasePrice: halosim.Pounds("9"), Distributor: "Inty",
		})
		inv := &st.Invoices[i-1]
		inv.Lines[0].Subscriptions[0].LicenceID = int64(700 + i)
		inv.Lines[0].Subscriptions[0].Extra = halosim.Extra{"criteria": []byte(`[{"a":1.50}]`)}
		inv.Lines[0].UnitCost = halosim.Pounds("9")
		inv.Lines = append(inv.Lines, halosim.Line{ID: int64(8000 + i), Name: "Support per user", QuantityType: 2, UnitPrice: halosim.Pounds("10"), Users: []halosim.QuantityRow{{ID: int64(8000 + i), Kind: 2}}})
		inv.NextCreation, inv.LastCreated = halosim.On(time.Now().AddDate(0, 0, 15)), halosim.On(time.Now().AddDate(0, 0, -15))
		st.Control.IntyMappings = append(st.Control.IntyMappings, halosim.Link{ID: int64(i), TableID: 2, HaloID: int64(i), ThirdPartyID: fmt.Sprintf("INTY-%d", i), Text: fmt.Sprintf("Client %d Ltd", i), HaloText: fmt.Sprintf("Client %d", i)})
		st.Sites = append(st.Sites, halosim.Site{ID: int64(i), ClientID: int64(i), Name: "Main", Extra: halosim.Extra{"country_code": []byte(`"GB"`)}})
	}
	return st
}

// migrant is a bench with customers from Inty and an operator's client.
type migrant struct {
	*bench
	intyv1.MigrationServiceClient
}

func aMigrant(t *testing.T, n int, sim halosim.Config, change func(*halosim.State)) *migrant {
	st := intyEstate(n)
	if change != nil {
		change(&st)
	}
	b := newBench(t, sim, st)
	b.start()
	b.connection(connectionv1.Mode_MODE_AUTO)
	for i := 1; i <= n; i++ {
		b.licence(aLicenceEvent(i, int64(i), 5, "10"))
		b.mapped(i, int64(i))
	}
	b.settled()
	return &migrant{b, intyv1.NewMigrationServiceClient(b.rpc)}
}

func (b *bench) mapped(n int, client int64) {
	m := &mappingv1.Mapping{Connection: "acme", MexId: fmt.Sprintf("MEX%d", n), GiacomName: fmt.Sprintf("Client %d", n), State: mappingv1.State_STATE_UNMAPPED}
	if client != 0 {
		m.State, m.HaloClientId = mappingv1.State_STATE_MAPPED, client
	}
	b.send("customer", "mapped", m.MexId, m, "mapping")
}

var (
	acme     = &intyv1.MigrationRequest{Connection: "acme"}
	acmeUndo = &intyv1.UndoMigrationRequest{Connection: "acme"}
)

// noted saves the old mappings, clears the module as a person would, and has Halo read.
func (m *migrant) noted() {
	m.Helper()
	_, err := m.SaveMappings(m.Context(), &intyv1.SaveMappingsRequest{Connection: "acme"})
	m.must(err)
	m.sim.EditControl(func(c *halosim.Control) {
		c.IntyMappings, c.IntyURL, c.IntyUserName, c.IntyIntegrator = nil, "", "", false
	})
	_, err = m.CheckModule(m.Context(), acme)
	m.must(err)
	_, err = m.RefreshMigration(m.Context(), acme)
	m.must(err)
	m.settled()
}

func (m *migrant) must(err error) {
	m.Helper()
	if err != nil {
		m.Fatal(err)
	}
}

func (m *migrant) apply(clients ...int64) *intyv1.Preview {
	m.Helper()
	p, err := m.GetPreview(m.Context(), &intyv1.PreviewRequest{Connection: "acme", ClientIds: clients})
	m.must(err)
	_, err = m.ApplyMigration(m.Context(), &intyv1.ApplyMigrationRequest{Connection: "acme", ClientIds: clients, Etag: p.GetEtag(), Deactivate: true})
	m.must(err)
	m.settled()
	return p
}

// pairs in words: licence, state, states of its lines.
func (m *migrant) pairs() []string {
	m.Helper()
	resp, err := m.ListPairs(m.Context(), &intyv1.ListPairsRequest{Connection: "acme"})
	m.must(err)
	var out []string
	for _, p := range resp.GetPairs() {
		s := fmt.Sprint(p.GetInty().GetHaloId(), " ", strings.ToLower(strings.TrimPrefix(p.GetState().String(), "PAIR_STATE_")))
		for _, l := range p.GetLines() {
			s += " " + strings.ToLower(strings.TrimPrefix(l.GetState().String(), "LINE_STATE_"))
		}
		out = append(out, s)
	}
	return out
}

func (m *migrant) want(what string, want ...string) {
	m.Helper()
	if diff := cmp.Diff(want, m.pairs()); diff != "" {
		m.Errorf("%s: pairs (-want +got):\n%s", what, diff)
	}
}

func (m *migrant) steps() string {
	m.Helper()
	x, err := m.GetMigration(m.Context(), acme)
	m.must(err)
	var s []string
	for _, step := range x.GetSteps() {
		s = append(s, strings.ToLower(strings.TrimPrefix(step.GetState().String(), "STEP_STATE_")))
		if (step.GetState() == intyv1.StepState_STEP_STATE_DONE) != (step.GetHow() == "") || step.GetText() == "" {
			m.Errorf("step %v", step)
		}
	}
	return strings.Join(s, " ")
}

// jsonOf is an invoice as Halo would send it, without what every write of it moves on.
func jsonOf(t testing.TB, inv halosim.Invoice) string {
	t.Helper()
	inv.ChangeSeq = 0
	b, err := json.MarshalIndent(inv, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
