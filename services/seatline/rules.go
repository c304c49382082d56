package main

import pricingv1 "seatline.dev/proto/seatline/pricing/v1"

// demoRules are the price rules of the demonstration: most lines keep their price, some products have
// one that follows their cost, and what is on no line is added to the customer's invoice.
func demoRules() []*pricingv1.PriceRule {
	add := &pricingv1.AddLine{}
	return []*pricingv1.PriceRule{
		{Name: "backup: cost plus 35 %", Names: []string{"Acronis*", "Dropsuite*", "Keepit*"}, Price: &pricingv1.PriceRule_CostPlusPercent{CostPlusPercent: "35"}, Rounding: "0.05", AddLine: add},
		{Name: "Copilot and cloud PCs at list price", Names: []string{"*Copilot*", "Windows 365*"}, Price: &pricingv1.PriceRule_Rrp{Rrp: true}, AddLine: add},
		{Name: "all else keeps its price", Price: &pricingv1.PriceRule_Keep{Keep: true}, AddLine: add},
	}
}
