package inty

import (
	"fmt"
	"slices"
	"strings"
)

// Region says where a customer is, as far as the guide's exclusion of Inty's US customers asks.
type Region int

const (
	Asked Region = iota
	UnitedStates
	Elsewhere
)

// Evidence of where a customer is.
type Evidence struct {
	Answer     *bool // a person's: true for the United States
	Who        string
	Countries  []string // names or codes, from wherever one stands
	Currencies []string // ISO codes
}

var american = []string{"us", "usa", "u.s.", "u.s.a.", "united states", "united states of america"}

// Locate decides by what a person said, else by country, else by currency. Where country and currency
// contradict each other, or neither is known, a person is asked.
func Locate(e Evidence) (Region, string) {
	if e.Answer != nil {
		who := e.Who
		if who == "" {
			who = "an operator"
		}
		if *e.Answer {
			return UnitedStates, who + " says that the customer is in the United States"
		}
		return Elsewhere, who + " says that the customer is not in the United States"
	}
	us, other := "", ""
	for _, c := range e.Countries {
		switch c = strings.TrimSpace(c); {
		case c == "":
		case slices.Contains(american, strings.ToLower(c)):
			us = "country " + c
		default:
			other = "country " + c
		}
	}
	dollars := ""
	for _, c := range e.Currencies {
		switch c = strings.TrimSpace(c); {
		case c == "":
		case strings.EqualFold(c, "USD"):
			dollars = "currency " + strings.ToUpper(c)
		case other == "":
			other = "currency " + strings.ToUpper(c)
		}
	}
	switch {
	case us != "" && other != "":
		return Asked, fmt.Sprintf("%s, but %s", us, other)
	case us != "":
		return UnitedStates, us
	case dollars != "" && other != "":
		return Asked, fmt.Sprintf("%s, but %s", other, dollars)
	case dollars != "":
		return UnitedStates, dollars
	case other != "":
		return Elsewhere, other
	}
	return Asked, "neither country nor currency is known"
}
