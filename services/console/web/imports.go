package web

import (
	"net/http"

	"seatline.dev/pkg/rpc"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/console/web/ui"
)

func importsPages() []page {
	all := ofConnection + "/imports"
	customers, subscriptions := all+"/customers", all+"/subscriptions"
	return []page{
		{path: all, title: "Imports", nav: navImports, handle: showImports},
		{path: customers, title: "Import customers", nav: navImports, handle: showCustomerImport},
		{path: customers, method: http.MethodPost, title: "Import customers", nav: navImports, handle: startCustomerImport},
		{path: customers + "/past", title: "Imports of customers", nav: navImports, handle: showCustomerImports},
		{path: customers + "/{import}", title: "Import of customers", nav: navImports, handle: showCustomerReport},
		{path: customers + "/{import}/live", title: "Import of customers", nav: navImports, handle: streamCustomerReport},
		{path: customers + "/{import}/file", title: "Import of customers", nav: navImports, handle: downloadCustomerReport},
		{path: subscriptions, title: "Import subscriptions", nav: navImports, handle: showSubscriptionImport},
		{path: subscriptions + "/preview", title: "Import subscriptions", nav: navImports, role: rpc.RoleOperator, handle: showSubscriptionPreview},
		{path: subscriptions + "/preview/live", title: "Import subscriptions", nav: navImports, role: rpc.RoleOperator, handle: streamSubscriptionPreview},
		{path: subscriptions, method: http.MethodPost, title: "Import subscriptions", nav: navImports, handle: startSubscriptionImport},
		{path: subscriptions + "/{run}", title: "Import of subscriptions", nav: navImports, handle: showSubscriptionReport},
		{path: subscriptions + "/{run}/live", title: "Import of subscriptions", nav: navImports, handle: streamSubscriptionReport},
		{path: subscriptions + "/{run}/file", title: "Import of subscriptions", nav: navImports, handle: downloadSubscriptionReport},
	}
}

// lately is how many past imports stand on the first page.
const lately = 5

// showImports leads to both imports, and to the reports of those that were.
func showImports(v *visit) error {
	of := "connection = " + quote(v.connection.GetSlug())
	customers, err := v.Mappings().ListCustomerImports(v.ctx(), &mappingv1.ListCustomerImportsRequest{PageSize: lately, Filter: of})
	if err != nil {
		return err
	}
	runs, err := v.Runs().ListRuns(v.ctx(), &runv1.ListRunsRequest{PageSize: lately, Filter: of + ` AND trigger = "manual"`, OrderBy: "start_time desc"})
	if err != nil {
		return err
	}
	past := v.customerImportsTable(customers.GetImports())
	if customers.GetNextPageToken() != "" {
		past.Pager.Next = v.at("/imports/customers/past")
	}
	pulls := v.subscriptionImportsTable(runs.GetRuns())
	if runs.GetNextPageToken() != "" {
		pulls.Pager.Next = v.at("/runs?trigger=manual")
	}
	open := func(path, label string) []ui.Button {
		return []ui.Button{{Label: label, Href: v.at(path), Kind: "primary", Icon: "imports"}}
	}
	return v.show(ui.Header{Title: "Imports", Lead: "Import by hand: each import shows first what it would do, and leaves a report. The integrator does the same on a schedule."},
		ui.Section{Title: "Customers", Lead: "Creates the customers that Halo lacks, and gives mapped ones the name they have in Giacom where names follow.", Actions: open("/imports/customers", "Import customers"), Blocks: []ui.Block{past}},
		ui.Section{Title: "Subscriptions", Lead: "Reads subscriptions from Giacom. Those of mapped customers become licences in Halo, and invoice lines follow.", Actions: open("/imports/subscriptions", "Import subscriptions"), Blocks: []ui.Block{pulls}})
}
