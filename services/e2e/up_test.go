package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"seatline.dev/pkg/child"
	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/postgres/postgrestest"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/estate"
	"seatline.dev/services/oracle"
	"seatline.dev/services/seatline/ctl"
)

// upProcess is a `seatline up` that runs.
type upProcess struct {
	*testing.T
	dir   string // of its data
	cmd   *exec.Cmd
	ended chan error

	mu  sync.Mutex
	out bytes.Buffer
}

func (p *upProcess) Write(text []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.Write(text)
}

func (p *upProcess) said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// up starts one with its data in dir; env is added to this process', where an empty value takes a variable away.
func up(t *testing.T, dir string, env []string, args ...string) *upProcess {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	p := &upProcess{T: t, dir: dir, cmd: exec.Command(path, append([]string{"up", "--data", dir}, args...)...)}
	p.cmd.Env = append(append(os.Environ(), "SEATLINE_HALO_TIMEOUT=2s", "SEATLINE_APPLY_LEASE=3s", "SEATLINE_APPLY_SETTLE=3s"), env...)
	p.cmd.Stdout, p.cmd.Stderr = p, p
	if p.ended, err = child.Start(p.cmd, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // it has ended, unless the test failed
		if t.Failed() {
			log, _ := os.ReadFile(filepath.Join(dir, "seatline.log"))
			t.Logf("up in %s said:\n%s\n%s", dir, p.said(), log)
		}
	})
	return p
}

// until waits for something to be so, while the process runs.
func (p *upProcess) until(what string, so func() bool) {
	p.Helper()
	for deadline := time.Now().Add(90 * time.Second); !so(); time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-p.ended:
			p.ended <- err
			p.Fatalf("ended (%v) before %s", err, what)
		default:
		}
		if time.Now().After(deadline) {
			p.Fatalf("waited in vain for %s", what)
		}
	}
}

// endpoints of its services, once they answer.
func (p *upProcess) endpoints() (e ctl.Endpoints) {
	p.Helper()
	p.until("its services answer", func() bool {
		read, err := ctl.ReadEndpoints(p.dir)
		e = read
		return err == nil && e.PID == p.cmd.Process.Pid
	})
	return e
}

// ends waits until it has ended, after a signal unless that is 0. It must leave nothing behind: no process, no address.
func (p *upProcess) ends(signal syscall.Signal, code int, says string) {
	p.Helper()
	if signal != 0 {
		if err := p.cmd.Process.Signal(signal); err != nil {
			p.Fatal(err)
		}
	}
	select {
	case err := <-p.ended:
		p.ended <- err
	case <-time.After(90 * time.Second):
		p.Fatalf("still runs a long time after %s", signal)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code || !strings.Contains(p.said(), says) {
		p.Errorf("exit code %d, want %d and the word %q", got, code, says)
	}
	if e, err := ctl.ReadEndpoints(p.dir); err != nil || len(e.Services) > 0 {
		p.Errorf("it still tells commands where it is: %v (%v)", e.Services, err)
	}
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		left := processesOf(p.T, p.dir)
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) { // one that only tidies up has a moment
			p.Fatalf("left behind: %v", left)
		}
	}
}

// processesOf lists the command lines that name a directory.
func processesOf(t *testing.T, dir string) (lines []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil || len(all) == 0 {
		out, err := exec.Command("ps", "-A", "-o", "args=").Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, dir) {
				lines = append(lines, line)
			}
		}
		return lines
	}
	for _, path := range all {
		text, err := os.ReadFile(path)
		if line := strings.ReplaceAll(string(text), "\x00", " "); err == nil && strings.Contains(line, dir) { // else it has just ended
			lines = append(lines, line)
		}
	}
	return lines
}

// Ctrl-C in the midst of the first import, with a PostgreSQL and a NATS of its own: nothing is left running, and the next
// start goes on where this one stopped.
func TestUpIsStoppedInTheMidstAndGoesOn(t *testing.T) {
	t.Parallel()
	data := estate.Plain(estate.Config{Seed: 9, Customers: 8, Subscriptions: 64, Now: time.Now()}, estate.LinkedLines)
	for i := range data.Halo.Licences {
		data.Halo.Licences[i].SnowID = "" // adopted first, then every line costs another price than it says
		data.Giacom.Subscriptions[i].Price.Decimal = data.Giacom.Subscriptions[i].RRP.Decimal
	}
	g, h := giacomsim.New(giacomsim.Config{}), halosim.New(halosim.Config{Latency: 50 * time.Millisecond})
	giacom, halo := httptest.NewServer(g), httptest.NewServer(h)
	t.Cleanup(giacom.Close)
	t.Cleanup(halo.Close)
	if err := data.Fill(g, h); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "data")
	start := func() (*upProcess, *world.World) {
		p := up(t, dir, []string{"DATABASE_URL=", "SEATLINE_DATABASE_URL="}, "--no-demo", "--web-addr=none")
		w, err := world.Attach(p.endpoints(), g, giacom.URL+"/Billing/v1", h, halo.URL)
		if err != nil {
			t.Fatal(err)
		}
		return p, w
	}

	p, w := start()
	s := &story{T: t, ctx: t.Context(), w: w, data: data, rules: keepAndAdd, connection: w.Connection("acme")}
	s.watch()
	s.apply(func(*connectionv1.Connection) {})
	began := time.Now()
	if _, err := w.Run(s.ctx, "acme", true); err != nil {
		t.Fatal(err)
	}
	s.oracle.Observe(g.Account(), oracle.Run{Scheduled: true, Complete: true, At: began})
	p.until("the first recurring invoice is written", func() bool { return h.Requests()["POST /RecurringInvoice"] > 0 })
	p.ends(syscall.SIGINT, 0, "Stopped.")
	w.Close()
	if len(oracle.Compare(s.oracle.Expected(), h.State())) == 0 {
		t.Fatal("all was done before the process was stopped: the story shows nothing")
	}

	p, s.w = start()
	s.settle()
	s.right("after a second start in the same directory")
	s.w.Close()
	p.ends(syscall.SIGTERM, 0, "Stopped.")
}

// Two demonstrations side by side, started at once. In one somebody writes in Halo by hand, so that --once finds a
// difference. The other stays within Halo's real limit, and is stopped with Ctrl-C while its estate changes.
func TestTwoDemonstrationsSideBySide(t *testing.T) {
	t.Parallel()
	server := postgrestest.URL(t)
	env := []string{"DATABASE_URL=" + server, "SEATLINE_DATABASE_URL=" + server}
	few := []string{"--customers=1", "--subscriptions=10"}
	once := up(t, filepath.Join(t.TempDir(), "once"), env, append(few, "--once", "--seed=2")...)
	live := up(t, filepath.Join(t.TempDir(), "live"), env, append(few, "--real-limit", "--evolve=200ms")...)

	w, err := world.Attach(once.endpoints(), nil, "", nil, "")
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	var connection *connectionv1.Connection
	once.until("it has a connection", func() bool {
		connection, err = connectionv1.NewConnectionServiceClient(w.Client(ctl.Console)).GetConnection(t.Context(), &connectionv1.GetConnectionRequest{Slug: "demo"})
		return err == nil
	})
	if err := technician(connection.GetHalo()); err != nil {
		t.Fatal(err)
	}
	once.ends(0, 8, "Halo does not hold what it should")
	if said := once.said(); !strings.Contains(said, "written by hand") || strings.Contains(said, "in another terminal") {
		t.Errorf("it does not say what differs, or says where to go on:\n%s", said)
	}

	live.until("the estate changes", func() bool { return strings.Contains(live.said(), "at Giacom:") })
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	overview, err := exec.Command(path, "overview", "demo", "--data-dir", live.dir).CombinedOutput()
	if !strings.Contains(string(overview), " of 250 requests left in any 5m0s") {
		t.Errorf("overview says\n%s (%v)", overview, err)
	}
	live.ends(syscall.SIGINT, 0, "Stopped.")

	conn, err := pgx.Connect(t.Context(), server)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var left int
	if err := conn.QueryRow(t.Context(), `select count(*) from pg_database where datname like 'seatline_demo_%'`).Scan(&left); err != nil || left > 0 {
		t.Errorf("%d databases of demonstrations are left (%v)", left, err)
	}
}

// technician writes a note about a customer in Halo, by Halo's API, as people do.
func technician(halo *connectionv1.Halo) error {
	ask := func(method, address, token, contentType, body string, answer any) error {
		req, err := http.NewRequest(method, address, strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Authorization", "Bearer "+token)
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		text, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode >= 300 {
			return errors.Join(fmt.Errorf("%s %s: %s: %s", method, address, res.Status, text), err)
		}
		return json.Unmarshal(text, answer)
	}
	var token struct {
		Access string `json:"access_token"`
	}
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {halo.GetClientId()}, "client_secret": {"sim-secret"}, "scope": {"all"}}
	if err := ask("POST", halo.GetAuthUrl()+"/token?tenant="+halo.GetTenant(), "", "application/x-www-form-urlencoded", form.Encode(), &token); err != nil {
		return err
	}
	var list struct {
		Clients []struct{ ID int64 }
	}
	if err := ask("GET", halo.GetBaseUrl()+"/api/Client?count=1", token.Access, "application/json", "", &list); err != nil {
		return err
	}
	if len(list.Clients) == 0 {
		return errors.New("Halo has no customers")
	}
	var written any
	return ask("POST", halo.GetBaseUrl()+"/api/Client", token.Access, "application/json", fmt.Sprintf(`[{"id": %d, "notes": "written by hand"}]`, list.Clients[0].ID), &written)
}
