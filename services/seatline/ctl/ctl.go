// Package ctl holds the operator's commands. They are clients of the services' gRPC and, for the
// tail of events, of NATS; they know no database.
//
// Every command prints a table, or with -o json what protobuf's JSON mapping makes of the answer
// (lists as an array, streams as one document per line). What their exit codes mean is in ExitCodes.
package ctl

// ExitCodes for people, as the help shows them; the constants are those of package rpc.
const ExitCodes = `Exit codes:
  0  done
  1  something broke that the caller cannot mend; a log says more
  2  the command or a value in it is wrong
  3  what was named does not exist
  4  the state of things forbids it
  5  no token, a wrong one, or one whose role may not
  6  no answer, or too slow a one: try again
  7  done as far as possible; something waits for a person (a held run)
  8  carried out without success (a failed run or check, rows of a file refused)`

// Commands is what the binary's command line embeds. Its main binds a context.Context for Run.
type Commands struct {
	Connections   Connections   `cmd:"" group:"operate" help:"Connections: one Giacom account joined to one Halo instance."`
	Runs          Runs          `cmd:"" group:"operate" help:"Runs: polls of a Giacom account."`
	Integrator    Integrator    `cmd:"" group:"operate" help:"The integrator: scheduled imports, what they did, and what one would do now."`
	Mappings      Mappings      `cmd:"" group:"operate" help:"Which Halo customer a Giacom customer is."`
	Customers     Customers     `cmd:"" group:"operate" help:"Create and update Halo's customers by hand, and what came of it."`
	TopLevels     TopLevels     `cmd:"" group:"operate" help:"The Halo groups that customers may be created under."`
	Subscriptions Subscriptions `cmd:"" group:"operate" help:"Subscriptions with the Halo customer each is billed to."`
	Licences      Licences      `cmd:"" group:"operate" help:"Licences in Halo: what they should hold, and what they hold."`
	Lines         Lines         `cmd:"" group:"operate" help:"Lines of Halo's recurring invoices."`
	Margins       Margins       `cmd:"" group:"operate" help:"Margin by customer: what our lines bill now, less what Giacom charges for the seats that Halo counts now."`
	Rules         Rules         `cmd:"" group:"operate" help:"Price rules of a connection."`
	Inty          Inty          `cmd:"" group:"operate" help:"Move from Halo's Inty integration to Giacom's licences, in the order of Halo's guide."`
	Overview      Overview      `cmd:"" group:"operate" help:"Is everything in step, and what is not: the last poll, the next invoice runs, what waits, margins, the Halo budget."`
	Parity        Parity        `cmd:"" group:"operate" help:"How Giacom's subscriptions stand against Halo, whether or not anything was written yet; each number is a list."`
	Show          Show          `cmd:"" group:"operate" help:"Everything about one licence, line or customer."`
	Plan          Plan          `cmd:"" group:"operate" help:"Everything that differs between what Halo should hold and what it holds, in the order it must happen, with its money."`
	Changes       Changes       `cmd:"" group:"operate" help:"The change log: what was written to Halo, or decided, and why."`
	DeadLetters   DeadLetters   `cmd:"" group:"operate" help:"Messages that a service could not digest."`
	Events        Events        `cmd:"" group:"operate" help:"Events on the bus."`
	Republish     Republish     `cmd:"" group:"operate" help:"Have services publish the present state of everything they own once more."`
	Console       ConsoleAccess `cmd:"" group:"operate" help:"Who may enter the web console: links that sign in, local accounts, sessions."`
	Status        Status        `cmd:"" group:"operate" help:"Is every service there, and how far is it?"`
	Health        Health        `cmd:"" group:"operate" help:"Ask one gRPC server whether it is healthy (for containers, which have no shell)."`
}
