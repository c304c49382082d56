package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/postgres/private"
	invoicelinev1 "seatline.dev/proto/seatline/invoiceline/v1"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	runv1 "seatline.dev/proto/seatline/run/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/seatline/ctl"
)

// What may go wrong at Halo while it is read and written. Each strikes a few times and is over: how often it has struck is
// known, and nothing has to wait for luck. A stale invoice is read again and written once more, so twice would be a refusal. A service of the world waits two seconds for a reply, and three more until it
// takes for certain that a write does not land any more.
var haloTroubles = []halosim.Fault{
	{Name: "throttle", Rate: 0.5, Times: 3, RetryAfter: 1},
	{Name: "error_500", Rate: 0.5, Times: 3},
	{Name: "error_502", Rate: 0.5, Times: 2},
	{Name: "error_503", Rate: 0.5, Times: 3},
	{Name: "error_504", Rate: 0.5, Times: 2},
	{Name: "reset", Rate: 0.5, Times: 3},
	{Name: "hang", Rate: 0.5, Times: 2},
	{Name: "slow", Rate: 0.5, Times: 3, Delay: 1200 * time.Millisecond},
	{Name: "token_expired", Times: 1},
	{Name: "cut_after", Method: "POST", Rate: 0.7, Times: 2},
	{Name: "error_after", Method: "POST", Rate: 0.7, Times: 2},
	{Name: "late", Method: "POST", Rate: 0.7, Times: 2, Delay: 2500 * time.Millisecond},
	{Name: "late_504", Method: "POST", Rate: 0.7, Times: 2, Delay: 1200 * time.Millisecond},
	{Name: "empty_reply", Method: "POST", Rate: 0.7, Times: 3},
	{Name: "warning", Method: "POST", Rate: 0.5, Times: 5},
	{Name: "partial", Method: "POST", Route: "/SoftwareLicence", Rate: 0.7, Times: 2},
	{Name: "stale", Method: "POST", Route: "/RecurringInvoice", Rate: 0.7, Times: 1},
}

// And at Giacom while it is read.
var giacomTroubles = []giacomsim.Fault{
	{Name: "error_500", Times: 1}, {Name: "error_503", Times: 1}, {Name: "reset", Times: 1}, {Name: "cut", Times: 1}, {Name: "throttle", Times: 1, RetryAfter: 1},
	{Name: "html", Times: 1}, {Name: "key_bad", Times: 1}, {Name: "slow", Rate: 0.5, Delay: 400 * time.Millisecond}, {Name: "duplicate_rows"}, {Name: "no_id", Times: 1},
	{Name: "two_spellings"}, {Name: "numbers_as_text"}, {Name: "pascal_case"},
}

// Who may be killed besides the services, where the world has servers of its own.
const (
	natsServer     = "NATS"
	postgresServer = "PostgreSQL"
)

// kill ends a service or a server as kill -9 does, and starts it again.
func (s *story) kill(victim string) {
	s.Helper()
	switch victim {
	case "":
	case natsServer:
		s.must(s.w.CrashNATS())
	case postgresServer:
		s.must(s.w.CrashPostgres(s.ctx))
	default:
		s.must(s.w.Kill(s.ctx, victim, 0))
	}
}

// upset is a poll in whose middle the victim is killed. It tells whether the run was carried out; if not, nothing of it was.
func (s *story) upset(rng *rand.Rand, victim string) (run *runv1.Run, done bool) {
	s.Helper()
	began, err := s.w.Begin(s.ctx, "acme", true)
	s.must(err)
	if victim == ctl.Fetcher || rng.IntN(3) == 0 {
		time.Sleep(time.Duration(rng.IntN(60)) * time.Millisecond) // while Giacom is read
	} else { // anywhere in the middle of what follows from it: that is the point
		if _, err = s.w.Ended(s.ctx, began.GetId()); err == nil {
			time.Sleep(time.Duration(rng.IntN(400)) * time.Millisecond)
		}
		s.must(err)
	}
	s.kill(victim)
	run, err = s.w.Ended(s.ctx, began.GetId())
	s.must(err)
	return run, run.GetOutcome() == runv1.Outcome_OUTCOME_SUCCEEDED || run.GetOutcome() == runv1.Outcome_OUTCOME_INCOMPLETE
}

// mend does what people do about what Halo refused: it tries again. Who posts a row in a batch of one and hears that the row
// is bad cannot know that it is not, nor who finds an invoice changed twice running that nobody goes on changing it.
func (s *story) mend() {
	s.Helper()
	licences, lines := licencev1.NewLicenceServiceClient(s.w.Client(ctl.Licence)), invoicelinev1.NewLineServiceClient(s.w.Client(ctl.Billing))
	const failed = `connection = "acme" AND state = FAILED`
	for range 1 + len(haloTroubles) {
		refused, err := licences.ListLicences(s.ctx, &licencev1.ListLicencesRequest{PageSize: 1000, Filter: failed})
		s.must(err)
		stale, err := lines.ListLines(s.ctx, &invoicelinev1.ListLinesRequest{PageSize: 1000, Filter: failed})
		s.must(err)
		if len(refused.GetLicences())+len(stale.GetLines()) == 0 {
			return
		}
		again := func(key string, status *itemv1.Status, retry func() error) {
			if status.GetReason().GetCode() != "refused" {
				s.Fatalf("%s failed: %s", key, status.GetReason())
			}
			s.Logf("Halo refused %s: once more", key)
			s.must(retry())
		}
		for _, l := range refused.GetLicences() {
			again(l.GetKey(), l.GetStatus(), func() error {
				_, err := licences.RetryLicence(s.ctx, &licencev1.GetLicenceRequest{Connection: "acme", Key: l.GetKey()})
				return err
			})
		}
		for _, l := range stale.GetLines() {
			again(l.GetKey(), l.GetStatus(), func() error {
				_, err := lines.RetryLine(s.ctx, &invoicelinev1.GetLineRequest{Connection: "acme", Key: l.GetKey()})
				return err
			})
		}
		s.settle()
	}
}

// gossip hears what is said on the state stream, to say it again.
type gossip struct {
	heard chan *nats.Msg
	all   []*nats.Msg
}

// listen from now on.
func (s *story) listen() *gossip {
	s.Helper()
	g := &gossip{heard: make(chan *nats.Msg, 1<<16)}
	sub, err := s.w.Bus.NC.ChanSubscribe("seatline.v1.>", g.heard)
	s.must(err)
	s.Cleanup(func() { _ = sub.Unsubscribe() })
	return g
}

// repeat says again up to most of all that was ever heard, in no order: consumers hear much of it twice, and old words after
// newer ones. While things go on, what was the newest on a subject is said once more after that, unless its owner has said
// something newer meanwhile: the stream keeps one word a subject, and who has not heard the newest yet must still hear it.
// Once all is settled the old words are the last. It tells how many they were.
func (s *story) repeat(g *gossip, rng *rand.Rand, most int, settled bool) (old int) {
	s.Helper()
	var stream jetstream.Stream
	s.insist(func() (err error) { stream, err = s.w.Bus.JS.Stream(s.ctx, bus.StateStream); return err }) // the server may have crashed a moment ago
	for len(g.heard) > 0 {
		g.all = append(g.all, <-g.heard)
	}
	all := slices.Clone(g.all)
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	newest, last := map[string]*jetstream.RawStreamMsg{}, map[string]uint64{}
	say := func(subject string, header nats.Header, data []byte) bool {
		m := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
		for name, values := range header {
			if !strings.HasPrefix(name, "Nats-") { // what a batch left behind
				m.Header[name] = values
			}
		}
		ack, err := s.w.Bus.JS.PublishMsg(s.ctx, m, jetstream.WithExpectLastSequencePerSubject(last[subject]))
		var refused *jetstream.APIError
		if errors.As(err, &refused) && refused.ErrorCode == jetstream.JSErrCodeStreamWrongLastSequence {
			delete(newest, subject)
			return false
		}
		s.must(err)
		last[subject] = ack.Sequence
		return true
	}
	for _, m := range all[:min(most, len(all))] {
		if newest[m.Subject] == nil {
			now, err := stream.GetLastMsgForSubject(s.ctx, m.Subject)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			s.must(err)
			newest[m.Subject], last[m.Subject] = now, now.Sequence
		}
		if say(m.Subject, m.Header, m.Data) {
			old++
		}
	}
	if settled {
		return old
	}
	time.Sleep(20 * time.Millisecond) // that they are heard
	for subject, m := range maps.Clone(newest) {
		say(subject, m.Header, m.Data)
	}
	return old
}

// rewind takes the durable of a consumer away, so that it hears the whole stream again from its beginning. It tells which.
func (s *story) rewind(rng *rand.Rand) string {
	s.Helper()
	gone := ""
	s.insist(func() error { // the server may have crashed a moment ago
		stream, err := s.w.Bus.JS.Stream(s.ctx, bus.StateStream)
		if err != nil {
			return err
		}
		var durables []string
		names := stream.ConsumerNames(s.ctx)
		for name := range names.Name() {
			if service, _, _ := strings.Cut(name, "-"); slices.Contains(ctl.Services(), service) { // others are looking only
				durables = append(durables, name)
			}
		}
		if err := names.Err(); err != nil {
			return err
		}
		gone = durables[rng.IntN(len(durables))]
		return stream.DeleteConsumer(s.ctx, gone)
	})
	return gone
}

// servers are a NATS and a PostgreSQL of the world's own, which may crash, and lose nothing by it: they run as they are shipped.
func servers(t *testing.T) world.Options {
	t.Helper()
	dir, err := os.MkdirTemp("", "seatline-e2e-postgres-") // not below t.TempDir: the server's user must be able to enter
	if err != nil {
		t.Fatal(err)
	}
	server, err := private.Start(t.Context(), private.Config{Dir: dir, Durable: true, Temporary: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Stop)
	return world.Options{Server: server.URL(), ServeNATS: func(dir string, port int) *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), natsDir+"="+dir, natsPort+"="+strconv.Itoa(port))
		return cmd
	}}
}

const natsDir, natsPort = "SEATLINE_STORY_NATS_DIR", "SEATLINE_STORY_NATS_PORT"

// beNATS makes this process a NATS server for a story, if it was started for that.
func beNATS() {
	dir := os.Getenv(natsDir)
	if dir == "" {
		return
	}
	port, err := strconv.Atoi(os.Getenv(natsPort))
	if err == nil {
		var server *bus.Embedded
		if server, err = bus.StartEmbedded(bus.EmbeddedConfig{Dir: dir, Port: port}); err == nil {
			fmt.Println(server.URL())
			<-context.Background().Done() // until it is killed
		}
	}
	fmt.Println(err)
	os.Exit(1)
}
