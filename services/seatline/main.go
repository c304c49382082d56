// Command seatline turns the seats an MSP buys from Giacom into the lines it bills from HaloPSA.
//
//	seatline up                    everything in one process, with simulators or for real
//	seatline serve SERVICE         one service, against NATS and PostgreSQL that are there
//	seatline simulate              both simulators alone
//	seatline config                what is in force, and where each value came from
//
// Everything else is a client of the services; see the exit codes in package ctl.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	_ "golang.org/x/crypto/x509roots/fallback" // for images that hold nothing but this binary

	"github.com/alecthomas/kong"

	"seatline.dev/pkg/rpc"
	"seatline.dev/services/seatline/ctl"
)

// version is set by the linker.
var version = "dev"

type commands struct {
	File string `name:"config" env:"SEATLINE_CONFIG" placeholder:"FILE" help:"YAML file with values of flags, by their names. Flags win over the environment, the environment over the file."`

	Up       upCommand       `cmd:"" group:"run" help:"Run everything in one process: with simulators as a demonstration, or for real with --no-demo."`
	Serve    serveCommand    `cmd:"" group:"run" help:"Run one service."`
	Simulate simulateCommand `cmd:"" group:"run" help:"Run the simulators of Giacom and Halo on loopback."`
	Config   configCommand   `cmd:"" group:"run" help:"Print the configuration in force, with the source of each value; secrets are redacted."`
	Keyset   keysetCommand   `cmd:"" group:"run" help:"Make the keyset file that seals secrets at rest, unless it exists; rotate its keys."`
	Version  versionCommand  `cmd:"" group:"run" help:"Print the version."`

	ctl.Commands
}

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

func run(args []string, stdout, stderr io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the next one ends the process at once.
	context.AfterFunc(ctx, stop)

	file, err := readFile(args, os.LookupEnv)
	if err != nil {
		fmt.Fprintln(stderr, "seatline:", err)
		return rpc.ExitUsage
	}
	parser, err := grammar(ctx, file, stdout, stderr)
	if err != nil {
		fmt.Fprintln(stderr, "seatline:", err) // a defect of the tags above
		return rpc.ExitInternal
	}
	command, err := parser.Parse(args)
	if err != nil {
		fmt.Fprintf(stderr, "seatline: %v\nseatline --help, and --help after any command, say more.\n", err)
		return rpc.ExitUsage
	}
	err = command.Run()
	if err != nil && !errors.Is(err, errQuiet) {
		fmt.Fprintf(stderr, "seatline: %s\n", rpc.Describe(err))
	}
	return rpc.ExitCode(err)
}

// grammar is what may stand on the command line.
func grammar(ctx context.Context, f *file, stdout, stderr io.Writer) (*kong.Kong, error) {
	return kong.New(&commands{},
		kong.Name("seatline"),
		kong.Description("Turns the seats an MSP buys from Giacom into the lines it bills from HaloPSA."),
		kong.Writers(stdout, stderr),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.ExplicitGroups([]kong.Group{{Key: "run", Title: "Run:"}, {Key: "operate", Title: "Operate (clients of running services):", Description: ctl.ExitCodes}}),
		kong.Vars{"data_dir": ctl.DefaultDataDir, "version": version},
		kong.Resolvers(f),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(f),
	)
}

// errQuiet is the outcome of a command that has said itself what is wrong.
var errQuiet = errors.New("said already")

type versionCommand struct{}

func (versionCommand) Run(k *kong.Kong) error {
	_, err := fmt.Fprintln(k.Stdout, "seatline", version)
	return err
}
