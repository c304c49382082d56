package console

import (
	"fmt"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	moneyv1 "seatline.dev/proto/seatline/money/v1"
	pricingv1 "seatline.dev/proto/seatline/pricing/v1"
)

// proRata are Halo's words for its pro rata modes [C].
var proRata = []string{"none", "from the date of change", "exclude", "invoice at once", "ready for invoicing"}

// questions are those that cannot be guessed, with what the connection and its price rules answer now.
func questions(c *connectionv1.Connection, rules *pricingv1.PriceRules) []*connectionv1.Question {
	return []*connectionv1.Question{sellPrice(rules), addLines(rules), proRataOf(c), priceBasis(c), createCustomers(c), deactivate(c)}
}

func sellPrice(rules *pricingv1.PriceRules) *connectionv1.Question {
	q := &connectionv1.Question{
		Code: "sell_price", Setting: "price_rules", Question: "What does the customer pay?",
		Answer:      "No price rule: every line keeps its price.",
		Consequence: "Costs follow Giacom, prices stay: when Giacom raises a price, your margin shrinks.",
		Choices: []*connectionv1.Choice{
			{Value: "keep", Text: "Keep each line's price"}, {Value: "cost_plus_percent", Text: "Giacom's price plus a percentage"},
			{Value: "rrp", Text: "Giacom's recommended retail price"}, {Value: "fixed", Text: "A price of its own"},
		},
	}
	if n := len(rules.GetRules()); n > 0 {
		q.Answered, q.Answer = true, count(int64(n), "1 price rule; the first that matches decides.", "%d price rules; the first that matches decides.")
		q.Consequence = "Lines that no rule matches keep their price."
	}
	return q
}

func addLines(rules *pricingv1.PriceRules) *connectionv1.Question {
	q := &connectionv1.Question{
		Code: "add_lines", Setting: "price_rules", Question: "What becomes of a licence that is on no invoice line?", Answered: len(rules.GetRules()) > 0,
		Answer:      "It is shown as not billed, and nothing is added.",
		Consequence: "New subscriptions are billed only once you add a line in Halo.",
		Choices: []*connectionv1.Choice{
			{Value: "show", Text: "Show it as not billed"}, {Value: "add_line", Text: "Add a line to the customer's recurring invoice"},
		},
	}
	var adding int64
	for _, r := range rules.GetRules() {
		if r.GetAddLine() != nil {
			adding++
		}
	}
	if adding > 0 {
		q.Answered = true
		q.Answer = count(adding, "1 price rule adds a line to the customer's recurring invoice.", "%d price rules add a line to the customer's recurring invoice.")
		q.Consequence = "A line is added where the customer has exactly one invoice of the fitting period and Halo has an item for the product; else it is held."
	}
	return q
}

func proRataOf(c *connectionv1.Connection) *connectionv1.Question {
	q := &connectionv1.Question{
		Code: "pro_rata", Setting: "billing.pro_rata", Question: "How does Halo bill seats that come or go within a period, on lines that Seatline links?",
		Answer: "Not answered.", Consequence: "A link is held where the line has no pro rata mode to copy.",
	}
	for i, text := range proRata {
		q.Choices = append(q.Choices, &connectionv1.Choice{Value: fmt.Sprint(i), Text: text})
	}
	if n := c.GetBilling().ProRata; n != nil {
		q.Answered, q.Answer, q.Consequence = true, fmt.Sprintf("%d: %s.", *n, proRata[*n]), "Lines that are linked already keep their own mode."
	}
	return q
}

func priceBasis(c *connectionv1.Connection) *connectionv1.Question {
	q := &connectionv1.Question{
		Code: "price_basis", Setting: "giacom.annual_price_basis", Question: "What does Giacom's price of an annual or longer term buy?",
		Answer: "Not answered.", Consequence: "Subscriptions with such a term are held.",
		Choices: []*connectionv1.Choice{
			{Value: "PER_SEAT_PER_MONTH", Text: "A seat for a month"}, {Value: "PER_SEAT_PER_TERM", Text: "A seat for the whole term"},
		},
	}
	switch c.GetGiacom().GetAnnualPriceBasis() {
	case moneyv1.Basis_BASIS_PER_SEAT_PER_MONTH:
		q.Answered, q.Answer, q.Consequence = true, "A seat for a month.", "Licences that are billed yearly cost twelve times as much."
	case moneyv1.Basis_BASIS_PER_SEAT_PER_TERM:
		q.Answered, q.Answer, q.Consequence = true, "A seat for the whole term.", "Licences that are billed monthly cost a twelfth of it a month, or a thirty-sixth."
	}
	return q
}

func createCustomers(c *connectionv1.Connection) *connectionv1.Question {
	q := yesOrNo("create_customers", "customers.create", "May Seatline create customers in Halo?", c.GetCustomers().GetCreate())
	q.Consequence = "Giacom customers without a Halo customer wait, unbilled, until you map them."
	if c.GetCustomers().GetCreate() {
		q.Consequence = "A customer is created for each that has none and no near match; a near match is asked about."
	}
	return q
}

func deactivate(c *connectionv1.Connection) *connectionv1.Question {
	q := yesOrNo("deactivate", "licences.deactivate_removed", "May Seatline deactivate licences that are deleted from Giacom?", c.GetLicences().GetDeactivateRemoved())
	q.Consequence = "They go on to be billed, and are shown with their money until you deactivate them in Halo."
	if c.GetLicences().GetDeactivateRemoved() {
		q.Consequence = "A scheduled run makes them inactive once they are proven gone; a run that would take away too many is held."
	}
	return q
}

func yesOrNo(code, setting, question string, yes bool) *connectionv1.Question {
	q := &connectionv1.Question{
		Code: code, Setting: setting, Question: question, Answered: true, Answer: "No.",
		Choices: []*connectionv1.Choice{{Value: "true", Text: "Yes"}, {Value: "false", Text: "No"}},
	}
	if yes {
		q.Answer = "Yes."
	}
	return q
}

// count is a sentence with a number in it.
func count(n int64, one, many string) string {
	if n == 1 {
		return one
	}
	return fmt.Sprintf(many, n)
}
