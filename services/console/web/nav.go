package web

import (
	"strings"

	"seatline.dev/services/console/web/ui"
)

// Entries of the navigation. One is shown when a page belongs to it.
const (
	navOverview    = "Overview"
	navParity      = "Parity"
	navMappings    = "Mappings"
	navLicences    = "Licences"
	navLines       = "Invoice lines"
	navRules       = "Price rules"
	navPlan        = "Plan"
	navChanges     = "Changes"
	navRuns        = "Runs"
	navDeadLetters = "Dead letters"
	navImports     = "Imports"
	navIntegrator  = "Integrator"
	navInty        = "Inty migration"
	navConnections = "Connections"
)

var navGroups = []struct {
	title   string
	entries []struct{ name, icon string }
}{
	{"", []struct{ name, icon string }{{navOverview, "overview"}, {navParity, "parity"}}},
	{"Estate", []struct{ name, icon string }{{navMappings, "mappings"}, {navLicences, "licences"}, {navLines, "lines"}, {navRules, "rules"}}},
	{"Activity", []struct{ name, icon string }{{navPlan, "plan"}, {navChanges, "changes"}, {navRuns, "runs"}, {navDeadLetters, "empty"}}},
	{"Set-up", []struct{ name, icon string }{{navImports, "imports"}, {navIntegrator, "schedule"}, {navInty, "inty"}, {navConnections, "plug"}}},
}

// navigation knows where each entry leads.
type navigation map[string]string

func newNavigation(all []page) navigation {
	n := navigation{}
	for _, p := range all {
		if p.nav == "" || p.method != "GET" {
			continue
		}
		if old, ok := n[p.nav]; !ok || len(p.path) < len(old) {
			n[p.nav] = p.path
		}
	}
	return n
}

// groups of the navigation for a connection; "" when there is none yet, and then only what needs none.
func (n navigation) groups(slug, current string) []ui.NavGroup {
	var out []ui.NavGroup
	for _, g := range navGroups {
		group := ui.NavGroup{Title: g.title}
		for _, e := range g.entries {
			path, ok := n[e.name]
			if !ok || (slug == "" && strings.HasPrefix(path, ofConnection)) {
				continue
			}
			group.Items = append(group.Items, ui.NavItem{
				Title: e.name, Icon: e.icon, Href: strings.Replace(path, "{connection}", slug, 1), Current: e.name == current,
			})
		}
		out = append(out, group)
	}
	return out
}
