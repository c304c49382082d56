package web

import (
	"net/http"

	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	"seatline.dev/services/console/web/ui"
)

// mappingDecision is one about one Giacom customer that is asked about on a page of its own.
type mappingDecision struct {
	path, title, submit, said string
	danger                    bool
	// why: a reason has to be given.
	why          bool
	text         func(m *mappingv1.Mapping) string
	consequences func(m *mappingv1.Mapping) []string
	call         func(v *visit, id, etag, why string) (*mappingv1.Mapping, error)
}

var createCustomer = mappingDecision{
	path: "/create", title: "Create it in Halo?", submit: "Create it", said: "is going to be created in Halo.",
	text: func(m *mappingv1.Mapping) string {
		return "A customer called “" + calledOrID(m) + "” is created in Halo, also where one of nearly that name exists."
	},
	consequences: func(*mappingv1.Mapping) []string {
		return []string{"It is created under the connection’s top level for new customers.", "Its subscriptions become licences of it.", "While the connection observes, nothing is written: it is created when that ends."}
	},
	call: func(v *visit, id, etag, _ string) (*mappingv1.Mapping, error) {
		return v.Mappings().CreateCustomer(v.ctx(), &mappingv1.GetMappingRequest{Connection: v.connection.GetSlug(), MexId: id, Etag: etag})
	},
}

var ignoreCustomer = mappingDecision{
	path: "/ignore", title: "Ignore this customer?", submit: "Ignore it", said: "is ignored.", why: true, danger: true,
	text: func(m *mappingv1.Mapping) string {
		text := calledOrID(m) + " has " + ui.Plural(int64(m.GetSubscriptions()), "subscription", "subscriptions")
		if cost := inWords(m.GetMonthly()); cost != "" {
			text += " that cost you " + cost
		}
		return text + "."
	},
	consequences: func(m *mappingv1.Mapping) []string {
		points := []string{"Its subscriptions are not imported: Seatline bills them to nobody.", "It raises no alarm for being unmapped."}
		if m.GetHaloClientId() != 0 {
			points = append(points, "Licences that are in Halo already stay as they are, and are followed no longer.")
		}
		return points
	},
	call: func(v *visit, id, etag, why string) (*mappingv1.Mapping, error) {
		return v.Mappings().IgnoreCustomer(v.ctx(), &mappingv1.IgnoreCustomerRequest{Connection: v.connection.GetSlug(), MexId: id, Etag: etag, Reason: why})
	},
}

var removeMapping = mappingDecision{
	path: "/remove", title: "Remove this mapping?", submit: "Remove it", said: "is left to the rules again.", danger: true,
	text: func(m *mappingv1.Mapping) string {
		switch m.GetState() {
		case mappingv1.State_STATE_MAPPED:
			return calledOrID(m) + " is mapped to " + m.GetHaloClientName() + " now."
		case mappingv1.State_STATE_IGNORED:
			return calledOrID(m) + " is ignored now: " + m.GetReason().GetText()
		}
		return calledOrID(m) + " is left to the rules."
	},
	consequences: func(*mappingv1.Mapping) []string {
		return []string{"What a person decided is forgotten, and the rules decide at once: Seatline’s mark in Halo, Halo’s own integration, an exactly equal name.", "Where none of them says who it is, it is unmapped: its licences stay as they are, and new subscriptions wait."}
	},
	call: func(v *visit, id, etag, _ string) (*mappingv1.Mapping, error) {
		return v.Mappings().RemoveMapping(v.ctx(), &mappingv1.GetMappingRequest{Connection: v.connection.GetSlug(), MexId: id, Etag: etag})
	},
}

func (d mappingDecision) ask(v *visit) error {
	m, err := v.readMapping()
	if err != nil {
		return err
	}
	return d.show(v, http.StatusOK, m, ui.Field{}, nil)
}

func (d mappingDecision) show(v *visit, status int, m *mappingv1.Mapping, why ui.Field, notice *ui.Notice) error {
	at := v.ofCustomer(m.GetMexId(), "")
	fields := []ui.Field{{Name: "etag", Kind: "hidden", Value: m.GetEtag()}}
	if d.why {
		why.Name, why.Label, why.Kind, why.Required, why.Wide, why.Rows = "reason", "Why", "textarea", true, true, 3
		why.Help = "Whoever finds the customer unbilled will want to know."
		fields = append(fields, why)
	}
	c := ui.Confirm{Text: d.text(m), Consequences: d.consequences(m), Form: ui.Form{Action: at + d.path, Cancel: at, Submit: d.submit, Danger: d.danger, Groups: ui.Fields(fields...)}}
	blocks := []ui.Block{c}
	if notice != nil {
		blocks = []ui.Block{*notice, c}
	}
	return v.showAs(status, v.mapHeader(m, d.title, nil), blocks...)
}

func (d mappingDecision) decide(v *visit) error {
	why := v.form("reason")
	if d.why && why == "" {
		m, err := v.readMapping()
		if err != nil {
			return err
		}
		m.Etag = v.form("etag") // what was seen when the decision was made
		return d.show(v, http.StatusUnprocessableEntity, m, ui.Field{Error: "Say in a few words why."}, nil)
	}
	m, err := d.call(v, v.param("mex"), v.form("etag"), why)
	if err != nil {
		return v.mappingRefused(err, func(status int, m *mappingv1.Mapping, notice *ui.Notice) error {
			return d.show(v, status, m, ui.Field{Value: why}, notice)
		})
	}
	return v.done(v.ofCustomer(m.GetMexId(), ""), said(calledOrID(m)+" "+d.said))
}
