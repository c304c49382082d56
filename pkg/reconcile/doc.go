// Package reconcile makes Halo hold what it should.
//
// Events and rules say what Halo should hold (desired); the engine remembers what it has put there
// (applied) and what it last saw there (observed). The difference is work. The mapper, the licence
// service and billing differ only in their rules and in how they talk to Halo, so everything between
// the two is written here once: states, claims, leases, retries, holds, the change log and the events.
//
// An item is one object of Halo: a customer, a licence, or a line of a recurring invoice. Its life:
//
//	Desire  sets what is wanted, idempotently and at database speed, in the caller's transaction
//	claim   takes work under a lease, in a transaction of its own
//	Apply   the service's function: it calls Halo, with no transaction open
//	complete records the outcomes, the change log and the outgoing events, in one transaction
//
// Changes coalesce: what is desired may move ten times before the applier comes round, and one write
// carries the last. If it moves during the call, the item stays pending.
//
// A process may die at any moment. An item whose lease ran out comes back with Unclear set, and not
// before a call of the dead process can have landed any more; the service must then look in Halo
// before it creates anything. Writes to existing objects set values and may be repeated.
//
// Some objects may have one writer only, recurring invoices among them: items with a Group are claimed
// through one row per (instance, group), and all ready items of the group come in one batch.
//
// Who may move an item out of held is the whole of modes, previews and guard rails; see [Mode] and
// the methods Release and SetMode.
package reconcile
