package world

import (
	"context"
	"fmt"
	"os/exec"
	"slices"

	"github.com/google/go-cmp/cmp"
	"github.com/shopspring/decimal"

	"seatline.dev/pkg/halo/halosim"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
	"seatline.dev/services/overview"
	"seatline.dev/services/seatline/ctl"
)

// Build builds the binary that a world runs, as it is shipped; flags are those of go build.
func Build(path string, flags ...string) error {
	args := append([]string{"build", "-ldflags", "-s -w", "-o", path}, flags...)
	if out, err := exec.Command("go", append(args, "seatline.dev/services/seatline")...).CombinedOutput(); err != nil {
		return fmt.Errorf("build seatline: %w\n%s", err, out)
	}
	return nil
}

// KeepAndAdd are rules that keep prices and add lines for what is on none.
func KeepAndAdd() []*pricingv1.PriceRule {
	return []*pricingv1.PriceRule{{Name: "keep, and add what is missing", Price: &pricingv1.PriceRule_Keep{Keep: true}, AddLine: &pricingv1.AddLine{}}}
}

// Services are clients of all services, with an operator's token.
func (w *World) Services() overview.Services {
	return overview.Services{Console: w.Client(ctl.Console), Fetcher: w.Client(ctl.Fetcher), Mapper: w.Client(ctl.Mapper), Licence: w.Client(ctl.Licence), Billing: w.Client(ctl.Billing)}
}

// Monthly is what all lines of ours should bill a month.
func (w *World) Monthly(ctx context.Context) (decimal.Decimal, error) {
	page, err := w.Services().Lines().ListLines(ctx, &invoicelinev1.ListLinesRequest{PageSize: 1000})
	sum := decimal.Zero
	for _, l := range page.GetLines() {
		if m := l.GetMonthlyAfter(); m != nil {
			amount, err := decimal.NewFromString(m.GetAmount())
			if err != nil {
				return sum, fmt.Errorf("line %s: %w", l.GetKey(), err)
			}
			sum = sum.Add(amount)
		}
	}
	return sum, err
}

// Links are the ids of Halo's licences, and which of them each line links.
func Links(state halosim.State) (licences []int64, links map[int64][]int64) {
	links = map[int64][]int64{}
	for _, l := range state.Licences {
		licences = append(licences, l.ID)
	}
	slices.Sort(licences)
	for _, i := range state.Invoices {
		for _, line := range i.Lines {
			for _, row := range line.Subscriptions {
				links[line.ID] = append(links[line.ID], row.LicenceID)
			}
		}
	}
	return licences, links
}

// Touched is by customer of Halo how many licences and invoices are others than before, or new.
func Touched(was, is halosim.State) map[int64]int {
	touched := map[int64]int{}
	for i, l := range is.Licences {
		if i >= len(was.Licences) || !cmp.Equal(l, was.Licences[i]) {
			touched[l.ClientID]++
		}
	}
	for i, inv := range is.Invoices {
		if i >= len(was.Invoices) || !cmp.Equal(inv, was.Invoices[i]) {
			touched[inv.ClientID]++
		}
	}
	return touched
}
