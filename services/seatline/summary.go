package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"seatline.dev/pkg/rpc"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	mappingv1 "seatline.dev/proto/seatline/mapping/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
	"seatline.dev/services/seatline/ctl"
)

// summary is what a person wants to know of a connection.
type summary struct {
	connection      string
	customers       map[mappingv1.State]int
	created         int
	subscriptions   int
	licences, lines map[itemv1.State]int
	billed          map[string]decimal.Decimal // by currency, per month ex VAT
	waiting         map[waiting]int
	took            time.Duration
	haloRequests    int
	haloRoutes      map[string]int
	commandFlag     string
}

// waiting is why something is not in Halo as Giacom has it.
type waiting struct {
	what, state, why string
}

// summarise reads it from the services.
func (s *stack) summarise(ctx context.Context, connection string) (*summary, error) {
	sum := &summary{
		connection: connection, customers: map[mappingv1.State]int{}, licences: map[itemv1.State]int{}, lines: map[itemv1.State]int{},
		billed: map[string]decimal.Decimal{}, waiting: map[waiting]int{}, commandFlag: s.flag(),
	}
	of := fmt.Sprintf("connection = %q", connection)
	mappings := mappingv1.NewMappingServiceClient(s.clients[ctl.Mapper])
	err := rpc.Pages(func(token string) (string, error) {
		page, err := mappings.ListMappings(ctx, &mappingv1.ListMappingsRequest{PageSize: 1000, PageToken: token, Filter: of})
		for _, m := range page.GetMappings() {
			sum.customers[m.GetState()]++
			if m.GetOrigin() == mappingv1.Origin_ORIGIN_CREATED {
				sum.created++
			}
		}
		return page.GetNextPageToken(), err
	})
	if err != nil {
		return nil, fmt.Errorf("count customers: %w", err)
	}
	subscriptions := subscriptionv1.NewSubscriptionServiceClient(s.clients[ctl.Mapper])
	err = rpc.Pages(func(token string) (string, error) {
		page, err := subscriptions.ListSubscriptions(ctx, &subscriptionv1.ListSubscriptionsRequest{PageSize: 1000, PageToken: token, Filter: of})
		for _, x := range page.GetSubscriptions() {
			if x.GetState() == subscriptionv1.State_STATE_REMOVED {
				continue
			}
			sum.subscriptions++
			if x.GetState() == subscriptionv1.State_STATE_UNRESOLVED {
				sum.waiting[waiting{"subscription", "parked", why(x.GetReason())}]++
			}
		}
		return page.GetNextPageToken(), err
	})
	if err != nil {
		return nil, fmt.Errorf("count subscriptions: %w", err)
	}
	if err := sum.addLines(ctx, invoicelinev1.NewLineServiceClient(s.clients[ctl.Billing]), of); err != nil {
		return nil, err
	}
	all, err := s.look(ctx, connection)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		for _, c := range p.GetItems() {
			n := int(c.GetCount())
			if p.GetService() == ctl.Licence {
				sum.licences[c.GetState()] += n
			}
			if n == 0 {
				continue
			}
			switch c.GetState() {
			case itemv1.State_STATE_PARKED, itemv1.State_STATE_HELD, itemv1.State_STATE_FAILED:
				sum.waiting[waiting{c.GetKind(), word(c.GetState().String(), "STATE_"), strings.ReplaceAll(c.GetReason(), "_", " ")}] += n
			}
		}
	}
	return sum, s.addDeadLetters(ctx, sum)
}

// addDeadLetters: what a service could not digest is missing from everything above.
func (s *stack) addDeadLetters(ctx context.Context, sum *summary) error {
	for _, service := range ctl.Services() {
		client := opsv1.NewOpsServiceClient(s.clients[service])
		err := rpc.Pages(func(token string) (string, error) {
			page, err := client.ListDeadLetters(ctx, &opsv1.ListDeadLettersRequest{PageSize: 1000, PageToken: token})
			if n := len(page.GetDeadLetters()); n > 0 {
				sum.waiting[waiting{"event", "not digested", "see dead-letters of " + service}] += n
			}
			return page.GetNextPageToken(), err
		})
		if err != nil {
			return fmt.Errorf("count dead letters of %s: %w", service, err)
		}
	}
	return nil
}

func (s *summary) addLines(ctx context.Context, client invoicelinev1.LineServiceClient, filter string) error {
	err := rpc.Pages(func(token string) (string, error) {
		page, err := client.ListLines(ctx, &invoicelinev1.ListLinesRequest{PageSize: 1000, PageToken: token, Filter: filter})
		for _, l := range page.GetLines() {
			s.lines[l.GetStatus().GetState()]++
			// What Halo bills now: what waits changes nothing yet.
			if m := l.GetMonthlyBefore(); m != nil {
				amount, err := decimal.NewFromString(m.GetAmount())
				if err != nil {
					return "", fmt.Errorf("line %s: %w", l.GetKey(), err)
				}
				s.billed[m.GetCurrency()] = s.billed[m.GetCurrency()].Add(amount)
			}
		}
		return page.GetNextPageToken(), err
	})
	if err != nil {
		return fmt.Errorf("count invoice lines: %w", err)
	}
	return nil
}

func why(r *itemv1.Reason) string {
	if r.GetText() != "" && len(r.GetText()) <= 60 {
		return r.GetText()
	}
	return strings.ReplaceAll(r.GetCode(), "_", " ")
}

func (s *summary) print(out io.Writer) {
	fmt.Fprintf(out, "\nSettled in %s.\n\n", s.took.Round(100*time.Millisecond))
	mapped := s.customers[mappingv1.State_STATE_MAPPED]
	lines := [][3]string{
		{count(sumOf(s.customers)), "customers", fmt.Sprintf("%s mapped, %s of them created by Seatline; %s not mapped", count(mapped), count(s.created), count(s.customers[mappingv1.State_STATE_UNMAPPED]))},
		{count(s.subscriptions), "subscriptions", ""},
		{count(sumOf(s.licences) - s.licences[itemv1.State_STATE_RETIRED]), "licences", fmt.Sprintf("%s exactly as they should be in Halo", count(s.licences[itemv1.State_STATE_IN_SYNC]))},
		{count(sumOf(s.lines) - s.lines[itemv1.State_STATE_RETIRED]), "invoice lines", fmt.Sprintf("%s exactly as they should be in Halo", count(s.lines[itemv1.State_STATE_IN_SYNC]))},
	}
	for _, currency := range slices.Sorted(maps.Keys(s.billed)) {
		lines = append(lines, [3]string{amount(s.billed[currency]), currency + " a month", "billed on these lines, ex VAT"})
	}
	if s.haloRequests > 0 {
		lines = append(lines, [3]string{count(s.haloRequests), "Halo requests", "spent, " + strings.Join(s.busiest(3), ", ")})
	}
	for _, l := range lines {
		fmt.Fprintf(out, "  %12s  %-14s %s\n", l[0], l[1], l[2])
	}
	s.printWaiting(out)
}

// printWaiting says what is not in Halo as Giacom has it, the most frequent first.
func (s *summary) printWaiting(out io.Writer) {
	if len(s.waiting) == 0 {
		fmt.Fprintln(out, "\nNothing is parked, held or failed.")
		return
	}
	fmt.Fprintln(out, "\nNot in Halo as Giacom has it, and why:")
	reasons := slices.SortedFunc(maps.Keys(s.waiting), func(a, b waiting) int {
		return cmp.Or(cmp.Compare(s.waiting[b], s.waiting[a]), cmp.Compare(a.what, b.what), cmp.Compare(a.why, b.why))
	})
	for i, w := range reasons {
		if i == 12 {
			fmt.Fprintf(out, "  %12s  …\n", "")
			break
		}
		fmt.Fprintf(out, "  %12s  %-14s %s: %s\n", count(s.waiting[w]), w.what, w.state, w.why)
	}
}

// busiest routes, each with its requests.
func (s *summary) busiest(n int) []string {
	routes := slices.SortedFunc(maps.Keys(s.haloRoutes), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.haloRoutes[b], s.haloRoutes[a]), cmp.Compare(a, b))
	})
	var texts []string
	for _, r := range routes[:min(n, len(routes))] {
		texts = append(texts, fmt.Sprintf("%s %s", count(s.haloRoutes[r]), r))
	}
	return texts
}

func sumOf[K comparable](counts map[K]int) (sum int) {
	for _, n := range counts {
		sum += n
	}
	return sum
}

// count with separators: 2,200.
func count(n int) string { return separate(fmt.Sprint(n)) }

// amount with two places and separators: 48,210.40.
func amount(d decimal.Decimal) string {
	whole, cents, _ := strings.Cut(d.StringFixed(2), ".")
	return separate(whole) + "." + cents
}

func separate(digits string) string {
	sign := ""
	if strings.HasPrefix(digits, "-") {
		sign, digits = "-", digits[1:]
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}
