package halo

import (
	"strconv"
	"strings"
)

// Halo documents no addresses of the pages that its people use. These shapes are guesses [G]: they lead to the right
// module at least, and whoever shows one says so.

// CustomerPage is where a customer is shown.
func CustomerPage(baseURL string, id int64) string {
	return address(baseURL, "/customers?clientid=", id)
}

// LicencePage is where a licence is shown.
func LicencePage(baseURL string, id int64) string {
	return address(baseURL, "/softwarelicences?id=", id)
}

// RecurringInvoicePage is where a recurring invoice is shown; its id is negative.
func RecurringInvoicePage(baseURL string, id int64) string {
	return address(baseURL, "/invoices?recurring=true&id=", id)
}

// address is empty where there is nothing to show.
func address(baseURL, path string, id int64) string {
	if id == 0 || !strings.HasPrefix(baseURL, "https://") && !strings.HasPrefix(baseURL, "http://") {
		return ""
	}
	return strings.TrimRight(baseURL, "/") + path + strconv.FormatInt(id, 10)
}
