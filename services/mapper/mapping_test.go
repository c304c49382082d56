package mapper

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
	"seatline.dev/services/businessname"
)

func halos(clients ...client) picture {
	p := picture{read: true, clients: map[int64]client{}, marks: map[string][]int64{}, native: map[string][]int64{}}
	for _, c := range clients {
		p.clients[c.ID] = c
	}
	return p
}

const (
	mapped   = mappingv1.State_STATE_MAPPED
	creating = mappingv1.State_STATE_CREATING
	unmapped = mappingv1.State_STATE_UNMAPPED
	ignored  = mappingv1.State_STATE_IGNORED
)

// short is what matters of a mapping, in one line of a table.
type short struct {
	State  mappingv1.State
	Client int64
	Origin mappingv1.Origin
	Code   string
}

func TestDecide(t *testing.T) {
	t.Parallel()
	acme := client{ID: 7, Name: "Acme Ltd"}
	for name, c := range map[string]struct {
		customers []customer
		halo      picture
		settings  settings
		want      map[string]short
	}{
		"an exact name maps, spaces at its ends aside": {
			customers: []customer{{MexID: "A", Name: " Acme Ltd "}}, halo: halos(acme),
			want: map[string]short{"A": {mapped, 7, mappingv1.Origin_ORIGIN_NAME, ""}},
		},
		"a name in another case is no exact one": {
			customers: []customer{{MexID: "A", Name: "ACME Ltd"}}, halo: halos(acme),
			want: map[string]short{"A": {State: unmapped, Code: reasonNotMapped}},
		},
		"a name that Halo has twice does not map": {
			customers: []customer{{MexID: "A", Name: "Acme Ltd"}}, halo: halos(acme, client{ID: 8, Name: "Acme Ltd"}),
			want: map[string]short{"A": {State: unmapped, Code: reasonNotMapped}},
		},
		"of two with the name in Halo the active one maps": {
			customers: []customer{{MexID: "A", Name: "Acme Ltd"}}, halo: halos(acme, client{ID: 8, Name: "Acme Ltd", Inactive: true}),
			want: map[string]short{"A": {mapped, 7, mappingv1.Origin_ORIGIN_NAME, ""}},
		},
		"a name that Giacom has twice maps neither": {
			customers: []customer{{MexID: "A", Name: "Acme Ltd"}, {MexID: "B", Name: "Acme Ltd"}}, halo: halos(acme),
			want: map[string]short{"A": {State: unmapped, Code: reasonNotMapped}, "B": {State: unmapped, Code: reasonNotMapped}},
		},
		"our mark wins over the name": {
			customers: []customer{{MexID: "A", Name: "Acme Ltd"}},
			halo: func() picture {
				p := halos(acme, client{ID: 9, Name: "Renamed"})
				p.marks["A"] = []int64{9}
				p.native["A"] = []int64{7}
				return p
			}(),
			want: map[string]short{"A": {mapped, 9, mappingv1.Origin_ORIGIN_MARK, ""}},
		},
		"Halo's own record wins over the name": {
			customers: []customer{{MexID: "A", Name: "Acme Ltd"}},
			halo:      func() picture { p := halos(acme, client{ID: 9, Name: "X"}); p.native["A"] = []int64{9}; return p }(),
			want:      map[string]short{"A": {mapped, 9, mappingv1.Origin_ORIGIN_NATIVE, ""}},
		},
		"a record of an inactive or missing client counts for nothing": {
			customers: []customer{{MexID: "A", Name: "Acme Ltd"}, {MexID: "B", Name: "B"}},
			halo: func() picture {
				p := halos(acme, client{ID: 9, Name: "X", Inactive: true})
				p.marks["A"], p.native["B"] = []int64{9}, []int64{404}
				return p
			}(),
			want: map[string]short{"A": {mapped, 7, mappingv1.Origin_ORIGIN_NAME, ""}, "B": {State: unmapped, Code: reasonNotMapped}},
		},
		"nothing near: created": {
			customers: []customer{{MexID: "A", Name: "Börse & Co"}}, halo: halos(acme), settings: settings{Create: true},
			want: map[string]short{"A": {State: creating, Origin: mappingv1.Origin_ORIGIN_CREATED}},
		},
		"near an active one: held": {
			customers: []customer{{MexID: "A", Name: "ACMÉ Limited"}}, halo: halos(acme), settings: settings{Create: true},
			want: map[string]short{"A": {State: unmapped, Code: reasonNear}},
		},
		"near an inactive one only: created": {
			customers: []customer{{MexID: "A", Name: "Acme Limited"}}, halo: halos(client{ID: 7, Name: "Acme Ltd", Inactive: true}), settings: settings{Create: true},
			want: map[string]short{"A": {State: creating, Origin: mappingv1.Origin_ORIGIN_CREATED}},
		},
		"near another unmapped one: both held": {
			customers: []customer{{MexID: "A", Name: "Smith & Sons"}, {MexID: "B", Name: "Smith and Sons Ltd"}}, halo: halos(), settings: settings{Create: true},
			want: map[string]short{"A": {State: unmapped, Code: reasonNear}, "B": {State: unmapped, Code: reasonNear}},
		},
		"near another that is mapped elsewhere: created": {
			customers: []customer{{MexID: "A", Name: "Smith"}, {MexID: "B", Name: "Smith Ltd", Now: mapping{State: mapped, ClientID: 7}}},
			halo:      halos(acme), settings: settings{Create: true},
			want: map[string]short{"A": {State: creating, Origin: mappingv1.Origin_ORIGIN_CREATED}, "B": {State: mapped, Client: 7}},
		},
		"a person wants it created in spite of the near match": {
			customers: []customer{{MexID: "A", Name: "Acme Limited", Decision: decision{State: creating}}}, halo: halos(acme),
			want: map[string]short{"A": {State: creating, Origin: mappingv1.Origin_ORIGIN_CREATED}},
		},
		"while it is being created nothing else is decided": {
			customers: []customer{{MexID: "A", Name: "Acme Ltd", InFlight: true, Now: mapping{State: creating, Origin: mappingv1.Origin_ORIGIN_CREATED}}},
			halo:      halos(acme), settings: settings{Create: true},
			want: map[string]short{"A": {State: creating, Origin: mappingv1.Origin_ORIGIN_CREATED}},
		},
		"a person's mapping wins over everything": {
			customers: []customer{{MexID: "A", Name: "Acme Ltd", Now: mapping{State: mapped, ClientID: 7},
				Decision: decision{State: mapped, ClientID: 3, Origin: mappingv1.Origin_ORIGIN_FILE}}},
			halo: halos(acme, client{ID: 3, Name: "C"}),
			want: map[string]short{"A": {mapped, 3, mappingv1.Origin_ORIGIN_FILE, ""}},
		},
		"an ignored customer is left alone": {
			customers: []customer{{MexID: "A", Name: "Acme Ltd", Decision: decision{State: ignored, Origin: mappingv1.Origin_ORIGIN_OPERATOR, Reason: "internal"}}},
			halo:      halos(acme),
			want:      map[string]short{"A": {State: ignored, Origin: mappingv1.Origin_ORIGIN_OPERATOR, Code: reasonIgnored}},
		},
		"once mapped it stays, whatever it is called now": {
			customers: []customer{{MexID: "A", Name: "New Name", Now: mapping{State: mapped, ClientID: 7, Origin: mappingv1.Origin_ORIGIN_NAME}}},
			halo:      halos(acme),
			want:      map[string]short{"A": {mapped, 7, mappingv1.Origin_ORIGIN_NAME, ""}},
		},
		"without a look at Halo nothing is decided for new ones": {
			customers: []customer{{MexID: "A", Name: "Acme Ltd"}}, settings: settings{Create: true},
			want: map[string]short{"A": {State: unmapped, Code: reasonUnread}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := map[string]short{}
			for id, m := range decide(c.customers, c.halo, c.settings) {
				got[id] = short{m.State, m.ClientID, m.Origin, m.Code}
				if (m.State == unmapped) != (m.Text != "" && m.State != ignored) {
					t.Errorf("%s: state %s with text %q", id, m.State, m.Text)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// Whatever the estate: nobody is mapped to two kinds of thing at once, nobody to an inactive client
// by name, two customers never to one client by name, and the decision is stable.
func TestDecideHoldsItsPromises(t *testing.T) {
	t.Parallel()
	name := rapid.SampledFrom([]string{"Acme", "Acme Ltd", "acme", "Böhm", "Bohm", "Smith & Co", "Smith and Co", "X"})
	rapid.Check(t, func(t *rapid.T) {
		p := halos()
		for id := range rapid.Int64Range(0, 6).Draw(t, "clients") {
			p.clients[id+1] = client{ID: id + 1, Name: name.Draw(t, "client"), Inactive: rapid.Bool().Draw(t, "inactive")}
		}
		var customers []customer
		for i := range rapid.IntRange(1, 6).Draw(t, "customers") {
			customers = append(customers, customer{MexID: string(rune('A' + i)), Name: name.Draw(t, "customer")})
		}
		s := settings{Create: rapid.Bool().Draw(t, "create")}
		out := decide(customers, p, s)
		owner, created := map[int64]string{}, map[string]string{}
		for i, c := range customers {
			m := out[c.MexID]
			switch m.State {
			case mapped:
				if p.clients[m.ClientID].Inactive || owner[m.ClientID] != "" {
					t.Fatalf("%s is mapped to client %d, inactive or of %s", c.MexID, m.ClientID, owner[m.ClientID])
				}
				owner[m.ClientID] = c.MexID
			case creating:
				if n := businessname.Fold(c.Name); !s.Create || created[n] != "" {
					t.Fatalf("%s (%s) is created beside %q", c.MexID, c.Name, created[n])
				} else {
					created[n] = c.MexID
				}
			}
			customers[i].Now = m
		}
		if diff := cmp.Diff(out, decide(customers, p, s)); diff != "" {
			t.Fatalf("decided again (-first +second):\n%s", diff)
		}
	})
}

func TestResolve(t *testing.T) {
	t.Parallel()
	to7 := mapping{State: mapped, ClientID: 7, ClientName: "Acme"}
	for name, c := range map[string]struct {
		choice  choice
		mapping mapping
		removed bool
		want    resolution
	}{
		"mapped":   {mapping: to7, want: resolution{subscriptionv1.State_STATE_RESOLVED, 7, "Acme", "", ""}},
		"removed":  {mapping: to7, removed: true, want: resolution{subscriptionv1.State_STATE_REMOVED, 7, "Acme", "", ""}},
		"excluded": {choice: choice{State: subscriptionv1.State_STATE_UNRESOLVED, Reason: "free"}, mapping: to7, want: resolution{subscriptionv1.State_STATE_UNRESOLVED, 0, "", "excluded", "excluded: free"}},
		"assigned": {choice: choice{State: subscriptionv1.State_STATE_RESOLVED, ClientID: 3, ClientName: "Other"}, mapping: mapping{State: unmapped}, want: resolution{subscriptionv1.State_STATE_RESOLVED, 3, "Other", "", ""}},
		"pending":  {mapping: mapping{State: creating}, want: resolution{subscriptionv1.State_STATE_CLIENT_PENDING, 0, "", "client_pending", "Its customer is to be created in Halo first."}},
		"ignored":  {mapping: mapping{State: ignored, Text: "internal"}, want: resolution{subscriptionv1.State_STATE_UNRESOLVED, 0, "", reasonIgnored, "Its customer is ignored: internal"}},
		"unmapped": {mapping: mapping{State: unmapped, Text: "Why."}, want: resolution{subscriptionv1.State_STATE_UNRESOLVED, 0, "", reasonNotMapped, "Its customer is not mapped to one of Halo. Why."}},
	} {
		if diff := cmp.Diff(c.want, resolve(c.choice, c.mapping, c.removed)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
