package web

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/console/web/ui"
)

// The fields of the two secrets.
const (
	giacomKey  = "giacom.api_key"
	haloSecret = "halo.client_secret"
)

// whereKey is where people make a key, in Giacom's own words.
const whereKey = "Make one in the Giacom portal: My Account & Settings > Settings > API."

// warningV2 is what Halo's guide says of it.
const warningV2 = "v2 of the Giacom API is not available for production accounts yet: please use v1. Seatline takes v2 for Giacom’s test systems only, and refuses it at a production address."

var (
	methodChoices = []string{
		"IMPORT_METHOD_SUBSCRIPTIONS", "subscriptions: all products",
		"IMPORT_METHOD_REPORT", "subscriptionsmanagementreport: Microsoft only",
		"IMPORT_METHOD_BOTH", "both: the report for Microsoft, the other feed for the rest",
	}
	feedChoices  = []string{"ALL_PRODUCTS_FEED_SUBSCRIPTIONS", "Subscriptions", "ALL_PRODUCTS_FEED_ACCOUNT_TOTALS", "AccountTotals"}
	basisChoices = []string{"", "Not known yet: hold such subscriptions", "BASIS_PER_SEAT_PER_MONTH", "A seat for a month", "BASIS_PER_SEAT_PER_TERM", "A seat for the whole term"}
)

// joinedSettings: the account of Giacom, and the Halo that it is joined to.
func joinedSettings(create bool) []settings {
	name := settings{title: "Connection", all: []setting{
		{Field: ui.Field{Name: "display_name", Label: "Name", Placeholder: "Acme IT", Help: "What people see."}},
	}}
	method := setting{Field: ui.Field{Name: "giacom.method", Label: "Import method", Kind: "radio", Help: "It can be changed later: then it is shown first what becomes of the licences that are there."}, choices: methodChoices, explain: map[string]string{
		"IMPORT_METHOD_SUBSCRIPTIONS": "Quantity, price, start and billing cycle; no end date, term or status.",
		"IMPORT_METHOD_REPORT":        "Also end date, term and status; what is not Microsoft’s is not imported.",
		"IMPORT_METHOD_BOTH":          "Everything that Giacom tells of every product.",
	}}
	giacom := settings{title: "Giacom", help: "Where subscriptions and customers come from.", all: []setting{
		{Field: ui.Field{Name: giacomKey, Label: "API key", Kind: "password", Autocomplete: "off", Required: true, Help: whereKey, Wide: true}},
		{Field: ui.Field{Name: "giacom.version", Label: "Giacom API version", Kind: "radio"}, choices: []string{"GIACOM_VERSION_V1", "v1", "GIACOM_VERSION_V2", "v2"}, explain: map[string]string{"GIACOM_VERSION_V2": warningV2}},
		{Field: ui.Field{Name: "giacom.base_url", Label: "Address of the API", Kind: "url", Wide: true, Placeholder: "https://cloudmarket-services.azure-api.net/Billing/v1", Help: "Leave it empty for Giacom’s own."}},
		method,
		{Field: ui.Field{Name: "giacom.all_products_feed", Label: "Feed of all products", Kind: "select", Help: "Which of Giacom’s lists serves the products that are not in the report."}, choices: feedChoices},
		{Field: ui.Field{Name: "giacom.customers_from", Label: "Customers come from", Kind: "select", Help: "Derived ones are those that have a subscription."}, choices: []string{"CUSTOMERS_FROM_ENDPOINT", "Giacom’s list of customers", "CUSTOMERS_FROM_DERIVED", "The subscriptions (derived)"}},
		{Field: ui.Field{Name: "giacom.currency", Label: "Currency", Placeholder: "GBP", Help: "Of Giacom’s prices, by ISO 4217."}},
		{Field: ui.Field{Name: "giacom.annual_price_basis", Label: "Price of annual and longer terms", Kind: "select", Help: "What Giacom’s price buys. Compare one with an invoice of Giacom’s."}, choices: basisChoices},
	}}
	halo := settings{title: "Halo", help: "Where licences and invoices are. In Halo make an API application under Configuration > Integrations > Halo PSA API, with the method client id and secret.", all: []setting{
		{Field: ui.Field{Name: "halo.base_url", Label: "Address of Halo", Kind: "url", Required: true, Placeholder: "https://example.halopsa.com", Help: "Of the instance itself, without /api or /auth."}},
		{Field: ui.Field{Name: "halo.tenant", Label: "Tenant", Help: "Halo shows it beside the API details; empty for a Halo of your own."}},
		{Field: ui.Field{Name: "halo.client_id", Label: "Client id", Required: true, Autocomplete: "off"}},
		{Field: ui.Field{Name: haloSecret, Label: "Client secret", Kind: "password", Required: true, Autocomplete: "off", Help: "Halo shows it once, when the application is made."}},
	}}
	if create {
		name.all = append(name.all,
			setting{Field: ui.Field{Name: "slug", Label: "Short name", Required: true, Placeholder: "acme", Help: "1 to 40 of a-z, 0-9 and -, for addresses and commands. It stays for good."}},
			setting{Field: ui.Field{Name: "enabled", Label: "Enable it", Kind: "checkbox", Wide: true, Help: "It begins by observing: everything is shown, and nothing is written to Halo until you say so."}})
		account := setting{Field: ui.Field{Name: "giacom.account", Label: "Name of the account", Required: true, Placeholder: "acme", Wide: true, Help: "Yours to choose, for good: licences in Halo are marked with it."}}
		giacom.all = append([]setting{account}, giacom.all...)
		return []settings{name, giacom, halo}
	}
	giacom.all = append(giacom.all[:3:3], giacom.all[5:]...) // the method and its feed have a page of their own
	return []settings{name, giacom, halo}
}

// ruleSettings say what becomes of customers, licences and lines. The top level has a page of its own.
func ruleSettings() []settings {
	check := func(name, brief, label, help string) setting {
		return setting{Field: ui.Field{Name: name, Label: label, Kind: "checkbox", Help: help, Wide: true}, brief: brief}
	}
	byName, native := check("customers.map_by_name", "Map exactly equal names", "Map customers of exactly the same name by themselves", "Only where exactly one of each has it; a name that two have is never guessed."),
		check("customers.map_from_native", "Follow Halo’s own mappings", "Follow the mappings of Halo’s own Giacom integration", "")
	byName.absentIsOn, native.absentIsOn = true, true
	created := check("customers.follow_name_of_created", "Rename created ones", "Customers that Seatline created follow their name in Giacom", "")
	created.absentIsOn = true
	across := check("licences.adopt_across_methods", "Take over across methods", "Take licences over when another import method names their subscription differently", "Otherwise each is held until somebody says adopt or create.")
	across.absentIsOn = true
	return []settings{
		{title: "Customers", all: []setting{
			check("customers.create", "Create in Halo", "Create customers in Halo", "For Giacom customers that have none and nearly match none. Otherwise they wait, unbilled, until you map them."),
			{Field: ui.Field{Name: "customers.unmapped_alert_after", Label: "Alarm when one with subscriptions stays unmapped for", Kind: "number", Min: "0", After: "hours", Placeholder: "24"}, brief: "Alarm when unmapped for", unit: time.Hour},
			byName, native, created,
			check("customers.follow_name_of_mapped", "Rename mapped ones", "Customers that were mapped follow their name in Giacom", "Seatline then renames customers that you made yourself."),
			{Field: ui.Field{Name: "customers.custom_field", Label: "Custom field of Halo for our mark", Placeholder: "CFGiacomCustomerId"}, brief: "Custom field"},
		}},
		{title: "Licences", all: []setting{
			check("licences.deactivate_removed", "Deactivate deleted ones", "Deactivate licences in Halo when they are deleted from Giacom", "On scheduled runs, and only once they are proven gone."), across,
		}},
		{title: "Billing", all: []setting{
			{Field: ui.Field{Name: "billing.pro_rata", Label: "Pro rata of links that Seatline makes", Kind: "select", Help: "How Halo bills seats that come or go within a period. Not said: a link is held where the line has none to copy."}, brief: "Pro rata of new links",
				choices: []string{"", "Not said yet", "0", "None", "1", "From the date of change", "2", "Exclude", "3", "Invoice at once", "4", "Ready for invoicing"}},
			{Field: ui.Field{Name: "billing.quiet_before_run", Label: "Leave an invoice alone before its run for", Kind: "number", Min: "0", After: "hours", Placeholder: "2"}, brief: "Quiet before a run", unit: time.Hour},
			{Field: ui.Field{Name: "billing.refresh_interval", Label: "Read invoices again every", Kind: "number", Min: "0", After: "hours", Placeholder: "6", Help: "To see what people edited in Halo by hand."}, brief: "Invoices read every", unit: time.Hour},
		}},
		{title: "Guards", help: "A subscription that Giacom does not list is not believed gone at once; and a run that finds too many gone waits for a person.", all: []setting{
			{Field: ui.Field{Name: "guards.removal_confirmations", Label: "Pulls that must miss it", Kind: "number", Min: "1", Placeholder: "2"}},
			{Field: ui.Field{Name: "guards.removal_interval", Label: "At least this long apart", Kind: "number", Min: "0", After: "minutes", Placeholder: "60"}, unit: time.Minute},
			{Field: ui.Field{Name: "guards.max_removals", Label: "Hold a run with more removals than", Kind: "number", Min: "0", Placeholder: "3"}},
			{Field: ui.Field{Name: "guards.max_removal_percent", Label: "And more than", Kind: "number", Min: "0", Max: "100", Step: "any", After: "% of all", Placeholder: "2"}},
			check("guards.allow_customer_removal", "Let whole customers go", "Do not hold a run because a whole customer vanishes", ""),
		}},
	}
}

// technicalSettings, which few people need.
func technicalSettings() []settings {
	text := func(name, label, help string) setting {
		return setting{Field: ui.Field{Name: name, Label: label, Help: help}}
	}
	again := func(name, label string) setting {
		return setting{Field: ui.Field{Name: name, Label: label, Kind: "password", Autocomplete: "off", Help: "Needed only where the address is at another host than before."}}
	}
	return []settings{
		{title: "Giacom’s API", help: "Empty means what Seatline knows of it.", all: []setting{
			text("giacom.key_header", "Header of the key", ""), text("giacom.customers_path", "Path of customers", ""),
			text("giacom.subscriptions_path", "Path of subscriptions", ""), text("giacom.report_path", "Path of the report", ""),
			text("giacom.account_totals_path", "Path of account totals", ""), text("giacom.page_size_argument", "Argument of the page size", ""),
			text("giacom.page_number_argument", "Argument of the page number", ""),
			{Field: ui.Field{Name: "giacom.page_size", Label: "Page size", Kind: "number", Min: "0", Help: "0 for the default."}},
			text("giacom.auth_url", "Token address of v2", "With it the API key is the client secret."), text("giacom.client_id", "Client id of v2", ""),
			again(giacomKey, "API key"),
		}},
		{title: "Halo’s API", all: []setting{
			{Field: ui.Field{Name: "halo.auth_url", Label: "Authorisation server", Kind: "url", Help: "Empty for the instance’s own, at /auth."}}, again(haloSecret, "Client secret"),
			{Field: ui.Field{Name: "halo.budget_requests", Label: "Requests allowed", Kind: "number", Min: "10", Placeholder: "250"}},
			{Field: ui.Field{Name: "halo.budget_window", Label: "Within", Kind: "number", Min: "0", After: "minutes", Placeholder: "5"}, unit: time.Minute},
		}},
	}
}

// editors of a connection, by the tab they are.
var editParts = []struct{ path, title string }{
	{"/connection/edit", "Giacom and Halo"}, {"/connection/edit/rules", "Customers, licences and billing"}, {"/connection/edit/technical", "Technical"},
}

func connectionEditor(part int, groups func(*visit) []settings) editor {
	return editor{
		path: editParts[part].path, back: "/connection", groups: groups,
		header: func(v *visit) ui.Header {
			return ui.Header{Title: "Edit " + connectionName(v.connection), Crumbs: v.connectionCrumbs()}
		},
		saved: "Saved. When an address or a key changed, validate the connection.",
		above: func(v *visit) []ui.Block {
			var tabs ui.Tabs
			for i, p := range editParts {
				tabs = append(tabs, ui.Tab{Title: p.title, Href: v.at(p.path), Current: i == part})
			}
			return []ui.Block{tabs}
		},
	}
}

func connectionEditors() []editor {
	return []editor{
		connectionEditor(0, func(*visit) []settings { return joinedSettings(false) }),
		connectionEditor(1, func(*visit) []settings { return ruleSettings() }),
		connectionEditor(2, func(*visit) []settings { return technicalSettings() }),
	}
}

// connectionCrumbs lead back to the connection, and to all.
func (v *visit) connectionCrumbs() []ui.Link {
	return []ui.Link{{Text: "Connections", Href: "/connections"}, {Text: connectionName(v.connection), Href: v.at("/connection")}}
}

func newConnection(v *visit) error {
	c := &connectionv1.Connection{
		Enabled: true,
		Giacom: &connectionv1.Giacom{
			Version: connectionv1.GiacomVersion_GIACOM_VERSION_V1, Method: connectionv1.ImportMethod_IMPORT_METHOD_SUBSCRIPTIONS, Currency: "GBP",
			AllProductsFeed: connectionv1.AllProductsFeed_ALL_PRODUCTS_FEED_SUBSCRIPTIONS, CustomersFrom: connectionv1.CustomersFrom_CUSTOMERS_FROM_ENDPOINT,
		},
	}
	return v.drawNewConnection(http.StatusOK, readSettings(c, joinedSettings(true)), nil)
}

func (v *visit) drawNewConnection(status int, d draft, err error) error {
	form := ui.Form{Action: "/connections/new", Cancel: "/connections", Submit: "Add the connection", Groups: d.fields(joinedSettings(true))}
	for _, g := range form.Groups {
		for i, f := range g.Fields {
			if f.Kind == "password" {
				tellSecret(&g.Fields[i], nil, v.form(f.Name) != "")
			}
		}
	}
	var blocks []ui.Block
	if err != nil {
		var notice *ui.Notice
		if form, notice = form.Wrong(err); notice != nil {
			blocks = append(blocks, *notice)
		}
	}
	header := ui.Header{Title: "Add a connection", Lead: "It joins one Giacom account to one Halo instance. Nothing is written to Halo until you say so.", Crumbs: []ui.Link{{Text: "Connections", Href: "/connections"}}}
	return v.showAs(status, header, append(blocks, ui.Section{Blocks: []ui.Block{form}})...)
}

func addConnection(v *visit) error {
	groups := joinedSettings(true)
	d := postedSettings(v, groups)
	c := &connectionv1.Connection{}
	if wrong := d.put(c, groups); len(wrong) > 0 {
		return v.drawNewConnection(http.StatusUnprocessableEntity, d, wrongSettings(wrong))
	}
	stored, err := v.Connections().ApplyConnection(v.ctx(), &connectionv1.ApplyConnectionRequest{
		Connection: c, GiacomApiKey: v.form(giacomKey), HaloClientSecret: v.form(haloSecret),
	})
	switch rpc.Reason(err) {
	case "ETAG_MISSING":
		err = wrongSettings([]rpc.Violation{{Field: "slug", Description: fmt.Sprintf("There is a connection %q already: choose another short name, or edit that one.", c.GetSlug())}})
	case "CONNECTION_DELETED":
		err = wrongSettings([]rpc.Violation{{Field: "slug", Description: fmt.Sprintf("%q was a connection that is deleted, and its name is never used again: choose another.", c.GetSlug())}})
	}
	if err != nil {
		return v.drawNewConnection(statusOf(err), d, err)
	}
	v.connection = stored
	to := v.at("/connection")
	if stored.GetEnabled() {
		to = v.at("/validate")
	}
	return v.done(to, said("The connection "+strings.TrimSpace(connectionName(stored))+" is added. It observes: nothing is written to Halo."))
}
