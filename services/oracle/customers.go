package oracle

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"seatline.dev/pkg/halo/halosim"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// customers finds, for every Giacom customer, the Halo client it is, and keeps the names that follow.
func (o *Oracle) customers() {
	settings := o.settings.Connection.GetCustomers()
	if settings == nil {
		settings = &connectionv1.Customers{}
	}
	field := settings.GetCustomField()
	if field == "" {
		field = "CFGiacomCustomerId"
	}
	ids := slices.Sorted(maps.Keys(o.names))
	for _, mexID := range ids {
		if id, ok := o.settings.Mapped[mexID]; ok {
			o.clients[mexID] = id
		}
		if _, ok := o.settings.Ignored[mexID]; ok {
			delete(o.clients, mexID)
			continue
		}
		if o.clients[mexID] == 0 {
			o.clients[mexID] = o.find(mexID, field, settings)
		}
	}
	// Near matches are looked for among what is still unmapped, so only now.
	unmapped := map[string]int{}
	for _, mexID := range ids {
		if o.clients[mexID] == 0 && !has(o.settings.Ignored, mexID) {
			unmapped[normalise(o.names[mexID])]++
		}
	}
	taken := map[string]bool{}
	for _, c := range o.state.Clients {
		if !c.Inactive {
			taken[normalise(c.Name)] = true
		}
	}
	for _, mexID := range ids {
		if o.clients[mexID] != 0 || has(o.settings.Ignored, mexID) {
			continue
		}
		n := normalise(o.names[mexID])
		switch {
		case !settings.GetCreate() && !o.settings.Create[mexID]:
			o.wait("customer", mexID, "not_mapped")
		case (taken[n] || unmapped[n] > 1) && !o.settings.Create[mexID]:
			o.wait("customer", mexID, "near_match")
		default:
			id := o.id()
			o.clients[mexID], o.created[mexID] = id, true
			o.state.Clients = append(o.state.Clients, halosim.Client{
				ID: id, Name: o.names[mexID], TopLevelID: settings.GetTopLevelId(),
				CustomFields: []halosim.CustomField{{Name: field, Value: mexID}},
			})
		}
	}
	for _, mexID := range ids {
		follow := settings.GetFollowNameOfMapped()
		if _, chosen := o.settings.Mapped[mexID]; o.created[mexID] && !chosen { // a person's choice is a customer as any other
			follow = settings.FollowNameOfCreated == nil || *settings.FollowNameOfCreated
		}
		if c := o.client(o.clients[mexID]); c != nil && follow {
			c.Name = o.names[mexID]
		}
	}
}

// find looks for the client of a customer: our mark, Halo's own record, an exact name; the last two unless switched off.
func (o *Oracle) find(mexID, field string, settings *connectionv1.Customers) int64 {
	for _, c := range o.state.Clients {
		for _, f := range c.CustomFields {
			if f.Name == field && strings.EqualFold(strings.TrimSpace(f.Value), mexID) && !c.Inactive {
				return c.ID
			}
		}
	}
	for _, l := range o.state.Control.GiacomMappings {
		if settings.MapFromNative != nil && !*settings.MapFromNative {
			break
		}
		if strings.EqualFold(strings.TrimSpace(l.ThirdPartyID), mexID) {
			if c := o.client(l.HaloID); c != nil && !c.Inactive {
				return c.ID
			}
		}
	}
	if settings.MapByName != nil && !*settings.MapByName {
		return 0
	}
	name := strings.TrimSpace(o.names[mexID])
	namesakes := 0
	for _, other := range o.names {
		if strings.TrimSpace(other) == name {
			namesakes++
		}
	}
	var found []int64
	for _, c := range o.state.Clients {
		if !c.Inactive && strings.TrimSpace(c.Name) == name {
			found = append(found, c.ID)
		}
	}
	if len(found) == 1 && namesakes == 1 {
		return found[0]
	}
	return 0
}

func (o *Oracle) client(id int64) *halosim.Client {
	for i := range o.state.Clients {
		if o.state.Clients[i].ID == id && id != 0 {
			return &o.state.Clients[i]
		}
	}
	return nil
}

// resolve gives the client that a subscription is billed to; 0 and a reason when none.
func (o *Oracle) resolve(s *subscription) (int64, string) {
	if has(o.settings.Excluded, s.key) {
		return 0, "excluded"
	}
	if id := o.settings.Assigned[s.key]; id != 0 {
		return id, ""
	}
	if has(o.settings.Ignored, s.mexID) {
		return 0, "customer_ignored"
	}
	if id := o.clients[s.mexID]; id != 0 {
		return id, ""
	}
	return 0, "customer_not_mapped"
}

// normalise folds what people write differently: case, accents, ampersands, punctuation, legal forms.
func normalise(name string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(strings.ToLower(strings.ReplaceAll(name, "&", " and "))) {
		switch {
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’', r == '.':
		case unicode.IsLetter(r), unicode.IsDigit(r):
			b.WriteRune(r)
		default:
			b.WriteByte(' ')
		}
	}
	words := strings.Fields(b.String())
	for len(words) > 1 && slices.Contains([]string{"ltd", "limited", "llp", "plc"}, words[len(words)-1]) {
		words = words[:len(words)-1]
	}
	return strings.Join(words, " ")
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// has: a decision stands also without a reason.
func has(decided map[string]string, key string) bool {
	_, ok := decided[key]
	return ok
}
