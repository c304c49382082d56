package ctl

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"seatline.dev/pkg/rpc"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
)

func (s *everything) ListMargins(_ context.Context, req *invoicelinev1.ListMarginsRequest) (*invoicelinev1.ListMarginsResponse, error) {
	s.asked = append(s.asked, req)
	if strings.HasPrefix(req.GetFilter(), "profit") {
		return nil, rpc.InvalidArgument("filter", "there is no field %q", "profit").Do("use client_name, margin or percent")
	}
	from := 0
	if req.GetPageToken() != "" {
		fmt.Sscan(req.GetPageToken(), &from)
	}
	to := min(from+int(min(req.GetPageSize(), 2)), len(s.margins))
	answer := &invoicelinev1.ListMarginsResponse{Margins: s.margins[from:to], Totals: []*invoicelinev1.Margin{
		{Lines: 3, Price: pounds("1000"), Cost: pounds("900.5"), Margin: pounds("99.5"), Percent: "10.0"},
	}}
	if to < len(s.margins) {
		answer.NextPageToken = fmt.Sprint(to)
	}
	return answer, nil
}

func pounds(amount string) *moneyv1.Money { return &moneyv1.Money{Amount: amount, Currency: "GBP"} }

func TestMarginsByCustomer(t *testing.T) {
	s := &everything{margins: []*invoicelinev1.Margin{
		{ClientId: 12, ClientName: "Line\nbreak\x1b[31m", Lines: 1, Price: pounds("80"), Cost: pounds("100"), Margin: pounds("-20"), Percent: "-25.0"},
		{ClientId: 13, ClientName: "Harbour Dental", Lines: 2, Price: pounds("0"), Cost: pounds("5"), Margin: pounds("-5")},
		{ClientId: 14, ClientName: "Quayside & Sons", Lines: 2, Price: pounds("920"), Cost: pounds("795.5"), Margin: pounds("124.5"), Percent: "13.5"},
	}}
	dir := start(t, s)
	out, code, message := seatline(t, dir, "margins", "acme", "-f", "margin < 0")
	if code != 0 {
		t.Fatal(message)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 5 || strings.Contains(out, "\x1b") {
		t.Fatalf("a head, three customers and the totals; got:\n%q", out)
	}
	for i, want := range map[int][]string{1: {"12", "£80.00", "£100.00", "−£20.00", "-25.0"}, 2: {"Harbour Dental", "−£5.00", "–"}, 4: {"bill £1,000.00 a month ex VAT", "costs £900.50", "margin £99.50 (10.0 %)"}} {
		for _, part := range want {
			if !strings.Contains(lines[i], part) {
				t.Errorf("line %d does not say %q: %s", i, part, lines[i])
			}
		}
	}
	if first := s.asked[0]; first.GetConnection() != "acme" || first.GetFilter() != "margin < 0" || first.GetOrderBy() != "margin" || len(s.asked) != 2 {
		t.Errorf("asked %v", s.asked)
	}
	var rows []struct {
		ClientID string `json:"clientId"`
		Margin   struct{ Amount string }
	}
	out, _, message = seatline(t, dir, "margins", "acme", "-o", "json", "-n", "1", "--order-by", "price desc")
	if err := json.Unmarshal([]byte(out), &rows); err != nil || len(rows) != 1 || rows[0].ClientID != "12" || rows[0].Margin.Amount != "-20" || s.asked[2].GetOrderBy() != "price desc" || s.asked[2].GetPageSize() != 1 {
		t.Errorf("%v %s\n%s", err, message, out)
	}
	if out, _, _ := seatline(t, dir, "margins", "acme", "-n", "2"); !strings.Contains(out, "and more") {
		t.Errorf("that there are more is not said in:\n%s", out)
	}
	if _, code, message := seatline(t, dir, "margins", "acme", "-f", "profit < 0"); code != rpc.ExitUsage || !strings.Contains(message, "→ use client_name") {
		t.Errorf("%d %s", code, message)
	}
}
