// Package halo is the client of the HaloPSA REST API as far as Seatline uses it, and the request budget that every
// process talking to one Halo instance shares.
//
// What is known of this API is second-hand; the letters in comments name how a fact is known: [V] Halo's own published
// material, [S] its swagger, [L] somebody's record of a live reply, [C] somebody's client code, [G] a guess. The quirks
// that shape this package:
//
//   - POST takes an array for create and update alike [S]; an element with an id merges the fields sent into the stored
//     object [L]. What a POST of many rows answers is not known, so nothing here reads ids from it.
//   - Lists page only when pageinate, page_no and page_size are sent together [L]. A server may cap the page size.
//   - Dates carry no zone, are UTC, and 0001, 1900 and 1901 mean "none" [S][C].
//   - A 400 comes in four shapes, a 401 may have no body and may mean missing rights rather than a bad token [L].
//   - A recurring invoice is rewritten whole, so [Invoice] and [Line] keep every field they do not understand exactly as
//     it was read, number literals included.
//
// Amounts are decimal, in the currency of the Halo instance, ex VAT.
package halo
