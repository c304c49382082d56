package main

import (
	"net"
	"strings"
	"testing"

	"golang.org/x/sync/errgroup"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/rpc"
)

// An address that somebody else listens on: it says which, and which flag names another.
func TestAnAddressThatIsTaken(t *testing.T) {
	clear(t)
	other, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	taken := other.Addr().String()
	nats, err := bus.StartEmbedded(bus.EmbeddedConfig{Dir: t.TempDir(), Volatile: true})
	if err != nil {
		t.Fatal(err)
	}
	defer nats.Stop()
	service := []string{"serve", "fetcher", "--nats-url=" + nats.URL(), "--database-url=" + postgrestest.URL(t), "--service-token=ssssssssssssssss"}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"Giacom":  {[]string{"simulate", "--customers=1", "--subscriptions=1", "--giacom-addr=" + taken}, "--giacom-addr"},
		"Halo":    {[]string{"simulate", "--customers=1", "--subscriptions=1", "--giacom-addr=127.0.0.1:0", "--halo-addr=" + taken}, "--halo-addr"},
		"metrics": {append(service, "--http-addr="+taken), "--http-addr"},
		"gRPC":    {append(service, "--grpc-addr="+taken), "--grpc-addr"},
	} {
		code, _, errs := call(t, c.args...)
		if code != rpc.ExitRefused || !strings.Contains(errs, taken) || !strings.Contains(errs, "stop it, or choose another address with "+c.says) {
			t.Errorf("%s: exit code %d, says %q", name, code, errs)
		}
	}
	// Nobody asked for these ports: any free one does, and is not given up between looking and listening.
	port := other.Addr().(*net.TCPAddr).Port
	var group errgroup.Group
	for range 20 {
		group.Go(func() error {
			l, err := preferred(port)
			if err == nil {
				defer l.Close()
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

// The health check of the simulators' container.
func TestSimulatorsAreAskedWhetherTheyAnswer(t *testing.T) {
	clear(t)
	sims, err := startSimulators(t.Context(), estateSettings{Seed: 1, Customers: 1, Subscriptions: 1}.generate(), 0, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ask := []string{"simulate", "--check", "--giacom-addr=" + strings.TrimPrefix(sims.giacomURL, "http://"), "--halo-addr=" + strings.TrimPrefix(sims.haloURL, "http://")}
	if code, _, errs := call(t, ask...); code != 0 {
		t.Errorf("exit code %d: %s", code, errs)
	}
	sims.stop()
	if code, _, errs := call(t, ask...); code != rpc.ExitUnavailable || !strings.Contains(errs, "does not answer") {
		t.Errorf("exit code %d of simulators that ended: %s", code, errs)
	}
}
