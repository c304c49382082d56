package halo

import "testing"

func TestPages(t *testing.T) {
	for want, got := range map[string]string{
		"https://acme.halopsa.com/customers?clientid=7":          CustomerPage("https://acme.halopsa.com/", 7),
		"https://acme.halopsa.com/softwarelicences?id=8":         LicencePage("https://acme.halopsa.com", 8),
		"https://acme.halopsa.com/invoices?recurring=true&id=-9": RecurringInvoicePage("https://acme.halopsa.com", -9),
		"": LicencePage("https://acme.halopsa.com", 0) + CustomerPage("javascript:alert(1)//", 7),
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
