package estate

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
)

// BenchmarkInvoicePage reads 100 invoices with their lines from an estate of 100,000 subscriptions: the simulator must not
// be what a benchmark of the services measures.
func BenchmarkInvoicePage(b *testing.B) {
	h := halosim.New(halosim.Config{})
	if err := Plain(Config{Customers: 7700, Subscriptions: 100_000}, LinkedLines).Fill(giacomsim.New(giacomsim.Config{}), h); err != nil {
		b.Fatal(err)
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {"sim-client"}, "client_secret": {"sim-secret"}, "scope": {"all"}}
	req := httptest.NewRequest("POST", "/auth/token?tenant=sim", strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	h.ServeHTTP(httptest.NewRecorder(), req)
	for b.Loop() {
		r := httptest.NewRequest(http.MethodGet, "/api/RecurringInvoice?pageinate=true&page_no=40&page_size=100&includelines=true", nil)
		r.Header.Set("Authorization", "Bearer sim-token-1")
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != 200 {
			b.Fatal(w.Code)
		}
	}
}
