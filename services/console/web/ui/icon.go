package ui

import "html/template"

// paths of the icons, on a grid of 24, drawn as lines.
var paths = map[string]string{
	"menu": "M4 7h16M4 12h16M4 17h16", "out": "M9 6H6v12h12v-3M13 5h6v6M19 5l-8 8",
	"sun":    "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM12 3v2M12 19v2M3 12h2M19 12h2M5.6 5.6 7 7M17 17l1.4 1.4M18.4 5.6 17 7M7 17l-1.4 1.4",
	"moon":   "M20 14.5A8 8 0 0 1 9.5 4 8 8 0 1 0 20 14.5Z",
	"system": "M4 5h16v11H4ZM9 20h6M12 16v4",
	"empty":  "M4 13l3-8h10l3 8v6H4ZM4 13h5l1 2h4l1-2h5",

	"overview": "M4 13h6V4H4ZM14 20h6v-9h-6ZM4 20h6v-4H4ZM14 8h6V4h-6Z",
	"parity":   "M12 4v16M6 8h12M6 8l-3 6h6ZM18 8l-3 6h6ZM8 20h8",
	"mappings": "M4 7h6v4H4ZM14 13h6v4h-6ZM10 9h3v6h1",
	"imports":  "M12 4v10M8 10l4 4 4-4M4 18h16",
	"licences": "M4 6h16v12H4ZM8 10h8M8 14h4",
	"lines":    "M6 3h12v18l-3-2-3 2-3-2-3 2ZM9 8h6M9 12h6",
	"plan":     "M5 6l1.5 1.5L9 5M5 12l1.5 1.5L9 11M5 18l1.5 1.5L9 17M13 6h7M13 12h7M13 18h7",
	"changes":  "M4 12a8 8 0 1 1 2.5 5.8M4 12l-1.5-2.5M4 12l2.7-1.3M12 8v4l3 2",
	"runs":     "M20 12a8 8 0 1 1-2.3-5.6M20 4v4h-4",
	"rules":    "M4 7h9M17 7h3M4 17h3M11 17h9M15 5v4M9 15v4",
	"schedule": "M5 6h14v14H5ZM5 10h14M9 3v5M15 3v5",
	"inty":     "M4 8h13M13 4l4 4-4 4M20 16H7M11 12l-4 4 4 4",
	"plug":     "M9 3v5M15 3v5M6 8h12v3a6 6 0 0 1-12 0ZM12 17v4",
	"customer": "M12 4a4 4 0 1 0 0 8 4 4 0 0 0 0-8ZM4 20c1-4 4-6 8-6s7 2 8 6",

	"tone-":     "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 11v5M12 8v.01",
	"tone-info": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 11v5M12 8v.01",
	"tone-good": "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM8 12l3 3 5-6",
	"tone-warn": "M12 4 3 20h18ZM12 10v5M12 17.5v.01",
	"tone-bad":  "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18ZM12 7v6M12 16v.01",
}

// icon is decoration: what it means always stands beside it in words.
func icon(name string) template.HTML {
	path, ok := paths[name]
	if !ok {
		return ""
	}
	return template.HTML(`<svg class="icon" viewBox="0 0 24 24" aria-hidden="true" focusable="false"><path d="` + path + `"/></svg>`) //nolint:gosec // our own paths
}
