package halosim

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func BenchmarkPost50(b *testing.B) {
	s, h := large(100_000)
	var rows []string
	for i := range 50 {
		rows = append(rows, fmt.Sprintf(`{"id":%d,"client_id":39,"count":%d,"purchase_price":16.6,"start_date":"2026-01-01T00:00:00","billing_cycle":"Monthly","is_active":true}`, 1000+i, i))
	}
	body := "[" + strings.Join(rows, ",") + "]"
	for b.Loop() {
		if res := h("POST", "/api/SoftwareLicence", body); res.Code != 201 {
			b.Fatal(res.Code, s)
		}
	}
}

func BenchmarkPage1000(b *testing.B) {
	_, h := large(100_000)
	for b.Loop() {
		if res := h("GET", "/api/SoftwareLicence?includeinactive=true&pageinate=true&page_size=1000&page_no=50", ""); res.Code != 200 {
			b.Fatal(res.Code)
		}
	}
}

func large(n int) (*Sim, func(method, path, body string) *httptest.ResponseRecorder) {
	s := New(Config{})
	state := sample()
	for i := range n {
		state.Licences = append(state.Licences, Licence{Name: fmt.Sprint("Licence ", i), ClientID: 39, Count: 5, IsActive: true, SnowID: fmt.Sprint("giacom:demo:microsoft/", i)})
	}
	s.Set(state)
	s.tokens["t"] = token{until: time.Now().Add(time.Hour), scopes: []string{"all"}}
	return s, func(method, path, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Authorization", "Bearer t")
		w := httptest.NewRecorder()
		s.ServeHTTP(w, r)
		return w
	}
}
