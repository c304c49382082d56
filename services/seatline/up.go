package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/alecthomas/kong"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	"seatline.dev/services/console"
)

// upSettings are what only `seatline up` needs.
type upSettings struct {
	Data      string        `name:"data" aliases:"data-dir" env:"SEATLINE_DATA_DIR" type:"path" placeholder:"DIR" help:"Data directory. Default: ${data_dir}, or the next free one beside it when another 'up' runs there."`
	Demo      bool          `name:"demo" env:"SEATLINE_DEMO" default:"true" negatable:"" help:"Start both simulators with a made-up estate and bill it, beginning anew each time. --no-demo is for real use: it keeps what it has, and imports what your connections say."`
	Once      bool          `name:"once" env:"SEATLINE_ONCE" help:"Exit when all is settled: 0 only if the simulated Halo holds exactly what it should, compared field by field."`
	RealLimit bool          `name:"real-limit" env:"SEATLINE_REAL_LIMIT" help:"Let the simulated Halo allow no more requests than a real one: 250 in 5 minutes."`
	Evolve    time.Duration `name:"evolve" env:"SEATLINE_EVOLVE" default:"20s" help:"How often the simulated estate changes once it is settled; 0 for never."`
	estateSettings
}

// upCommand runs everything in one process. Exit codes beside those of package ctl: 8 when --once finds
// that the simulated Halo does not hold what it should.
type upCommand struct {
	settings
	upSettings
}

// demoDir is what a demonstration removes and makes anew, below the data directory.
const demoDir = "demo"

func (c upCommand) Run(ctx context.Context, k *kong.Kong) (err error) {
	chassis.SpareGC()
	out := k.Stdout
	if c.Once && !c.Demo {
		return &rpc.Exit{Code: rpc.ExitUsage, Err: errors.New("--once compares with simulators, so it goes with the demonstration only: leave out --no-demo")}
	}
	dir, skipped, err := openData(c.Data)
	if err != nil {
		return err
	}
	defer dir.close()
	if skipped != "" {
		fmt.Fprintf(out, "Another seatline up is running in %s, so this one uses %s.\n", skipped, dir.path)
	}
	log, err := os.OpenFile(dir.sub("seatline.log"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("log: %w", err)
	}
	defer log.Close()
	tel, err := telemetry.Setup(ctx, telemetry.Config{Service: "seatline", Version: version, Level: c.LogLevel, Output: log})
	if err != nil {
		return err
	}
	defer tel.Shutdown(ctx)
	provide(tel)
	defer func() {
		if err != nil {
			tel.Log.Error("up ends", "err", err)
			err = elaborate(err, dir.sub("seatline.log"))
		}
	}()
	return c.run(ctx, out, dir, tel)
}

// elaborate says where more can be found of an error that is about our own parts.
func elaborate(err error, log string) error {
	var exit *rpc.Exit
	if errors.As(err, &exit) || errors.Is(err, errQuiet) {
		return err
	}
	return fmt.Errorf("%w\n→ %s says more", err, log)
}

func (c upCommand) run(ctx context.Context, out io.Writer, dir *dataDir, tel *telemetry.Telemetry) (err error) {
	began := time.Now()
	if err := c.complete(dir); err != nil {
		return err
	}
	if c.Demo {
		if err := os.RemoveAll(dir.sub(demoDir)); err != nil {
			return fmt.Errorf("begin the demonstration anew: %w", err)
		}
		if err := os.Mkdir(dir.sub(demoDir), 0o711); err != nil { // the database's user must get through
			return fmt.Errorf("begin the demonstration anew: %w", err)
		}
		if c.NATSURL != "" {
			fmt.Fprintln(out, "The demonstration brings its own NATS; --nats-url is for --no-demo.")
			c.NATSURL = ""
		}
	}
	s := &stack{settings: c.settings, dir: dir, demo: c.Demo, log: tel.Log, tel: tel}
	defer func() {
		closing := s.close()
		if ctx.Err() != nil { // whatever broke off did so because of it
			fmt.Fprintln(out, "Stopped.")
			if err = nil; c.Once {
				err = &rpc.Exit{Code: rpc.ExitFailed, Err: errors.New("stopped before all was settled")}
			}
		}
		if err == nil { // otherwise it is the same, or follows from it
			err = closing
		}
	}()
	fmt.Fprintln(out, "Starting NATS, PostgreSQL and the services …")
	if err := s.start(ctx); err != nil {
		return err
	}
	fmt.Fprintf(out, "Started in %s.\n", time.Since(began).Round(100*time.Millisecond))
	if !c.Demo {
		welcome(out, s, s.signIn(ctx))
		return s.follow(ctx, out)
	}
	d, err := newDemo(ctx, c.upSettings, s)
	if err != nil {
		return err
	}
	defer d.close()
	if err := d.first(ctx, out); err != nil {
		return err
	}
	if c.Once {
		return d.verdict(ctx, out)
	}
	return d.live(ctx, out)
}

// complete makes what a stack in one process needs and was not given: tokens, and a keyset.
func (c *upCommand) complete(dir *dataDir) error {
	for _, token := range []*telemetry.Secret{&c.ServiceToken, &c.OperatorToken} {
		if *token == "" {
			*token = telemetry.Secret(rand.Text())
		}
	}
	if c.Keyset == "" && c.KeysetFile == "" {
		c.KeysetFile = dir.sub("keyset.json")
		if err := console.EnsureKeyset(c.KeysetFile); err != nil {
			return err
		}
	}
	return nil
}

// welcome says where things are and what to do first.
func welcome(out io.Writer, s *stack, signIn string) {
	fmt.Fprintf(out, "\nNothing is imported until a connection says from where and to where:\n\n"+
		"  %[1]s connections apply -f connection.yaml%[2]s\n  %[1]s connections validate NAME%[2]s\n  %[1]s runs start NAME --watch%[2]s\n\n"+
		"%[5]sMetrics and health are at http://%[3]s, the log is %[4]s.\n\n", program(), s.flag(), s.web, s.dir.sub("seatline.log"), signIn)
}

// program is what a person types to run this binary.
func program() string {
	if strings.ContainsRune(os.Args[0], os.PathSeparator) {
		return os.Args[0]
	}
	return "seatline"
}

// flag is what operator commands need to find this stack.
func (s *stack) flag() string {
	if s.dir.isDefault() {
		return ""
	}
	return " --data-dir " + s.dir.path
}
