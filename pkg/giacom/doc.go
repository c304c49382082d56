// Package giacom is the client of Giacom's cloud market API: the customers and subscriptions of one partner account,
// streamed row by row, with an honest answer to whether everything was seen.
//
// Very little of this API is public. The letters in comments say how a fact is known:
//
//   - [F] published by Giacom, Microsoft or Halo;
//   - [F-1] read off one third party's code, which runs against the live API;
//   - [G] a guess of ours: a stand-in until somebody with an account can look. Everything marked so is configuration.
//
// What shapes this package:
//
//   - v1 is an Azure API Management gateway [F-1]. Its key goes into the header Ocp-Apim-Subscription-Key.
//   - SubscriptionsManagementReport [F-1] lists Microsoft subscriptions inside customer blocks, with term, status and
//     renewal date. AccountTotals [F-1] lists billing lines of all products without an id, and neither status nor term.
//     Customers and Subscriptions are [G].
//   - Only pageSize is known as a paging argument [F-1]. Page number, totals and the largest page are unknown, so a pull
//     says whether it is complete, and only a complete one proves that something is gone.
//   - Casing and types of the answers are not certain, so rows are read leniently: any casing, data wrapped or bare,
//     numbers as text, dates in several forms. A bad row is counted and never fails a pull.
//   - v2 is not available for production [F]; what is here is a plausible shape [G] that works against the simulator.
//
// Money is exact decimal, per seat, ex VAT, in the currency of the row or else of the account. What period an annual
// subscription's price covers is not known; this package does not interpret it.
package giacom
