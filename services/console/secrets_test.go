package console

import (
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"seatline.dev/pkg/bus"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

func TestSecretsAreWriteOnlyAndForServices(t *testing.T) {
	r := start(t)
	c := r.apply(t, acme("acme"))
	for name, client := range map[string]connectionv1.ConnectionServiceClient{"operator": r.operator, "viewer": r.viewer} {
		if _, err := client.GetSecrets(t.Context(), slug("acme")); status.Code(err) != codes.PermissionDenied {
			t.Errorf("%s got %v, want PermissionDenied", name, err)
		}
	}
	secrets := func() [4]string {
		t.Helper()
		s, err := r.service.GetSecrets(t.Context(), slug("acme"))
		if err != nil {
			t.Fatal(err)
		}
		return [4]string{s.GetGiacomApiKey(), s.GetHaloClientSecret(), fmt.Sprint(s.GetGiacomApiKeyVersion()), fmt.Sprint(s.GetHaloClientSecretVersion())}
	}
	if got := secrets(); got != [4]string{"canary-giacom-key-0001", "canary-halo-secret-0002", "1", "1"} {
		t.Errorf("got %v", got)
	}
	// An edit without secrets leaves them; one secret changes alone.
	req := edit(c, func(c *connectionv1.Connection) { c.Giacom.ApiKey = nil; c.DisplayName = "Acme" })
	c = r.apply(t, req)
	req = edit(c, func(*connectionv1.Connection) {})
	req.GiacomApiKey = "canary-giacom-key-0003"
	c = r.apply(t, req)
	if got := secrets(); got != [4]string{"canary-giacom-key-0003", "canary-halo-secret-0002", "2", "1"} {
		t.Errorf("after the change: %v", got)
	}
	if ref := c.GetGiacom().GetApiKey(); ref.GetVersion() != 2 || ref.GetLastFour() != "0003" {
		t.Errorf("shown as %v", ref)
	}
	// A caller cannot make up a reference.
	req = edit(c, func(c *connectionv1.Connection) { c.Giacom.ApiKey.Version = 9; c.DisplayName = "Acme Ltd" })
	if got := r.apply(t, req).GetGiacom().GetApiKey().GetVersion(); got != 2 {
		t.Errorf("version %d, want 2", got)
	}
	r.onBus(t, "acme", "the new version is on the bus", func(c *connectionv1.Connection, _ string) bool {
		return c.GetGiacom().GetApiKey().GetVersion() == 2 && c.GetGiacom().GetApiKey().GetLastFour() == ""
	})
}

// Who may change addresses may not read secrets, so a stored one goes to no other host unless it is known.
func TestAStoredSecretFollowsNoChangeOfAddress(t *testing.T) {
	r := start(t)
	c := r.apply(t, acme("acme"))
	for name, x := range map[string]struct {
		field  string
		change func(*connectionv1.Connection)
	}{
		"Halo":                {"halo.client_secret", func(c *connectionv1.Connection) { c.Halo.BaseUrl = "https://mine.example" }},
		"Halo's token":        {"halo.client_secret", func(c *connectionv1.Connection) { c.Halo.AuthUrl = "https://mine.example/auth" }},
		"another port":        {"halo.client_secret", func(c *connectionv1.Connection) { c.Halo.AuthUrl = "https://acme.halopsa.com:8443/auth" }},
		"Giacom":              {"giacom.api_key", func(c *connectionv1.Connection) { c.Giacom.BaseUrl = "https://mine.example/Billing/v1" }},
		"Giacom's token":      {"giacom.api_key", func(c *connectionv1.Connection) { c.Giacom.AuthUrl = "https://mine.example/token" }},
		"in spite of a force": {"giacom.api_key", func(c *connectionv1.Connection) { c.Etag, c.Giacom.BaseUrl = "", "https://mine.example/v1" }},
	} {
		req := edit(c, x.change)
		req.Force = req.GetConnection().GetEtag() == ""
		_, err := r.operator.ApplyConnection(t.Context(), req)
		if e, ok := rpc.ErrorFrom(err); !ok || len(e.Violations) != 1 || e.Violations[0].Field != x.field || !strings.Contains(e.Violations[0].Description, "enter it again") {
			t.Errorf("%s: %v", name, err)
		}
	}
	moved := r.apply(t, withSecrets(edit(c, func(c *connectionv1.Connection) { c.Halo.BaseUrl = "https://halo.acme.example" })))
	if moved.GetHalo().GetClientSecret().GetVersion() != 1 {
		t.Error("saying the same secret again made it another one")
	}
	r.apply(t, edit(moved, func(c *connectionv1.Connection) { c.Giacom.BaseUrl += "x" })) // the same host
}

// Whatever is done, and whatever goes wrong, no secret shows in a row, a message, a log line or an error.
func TestSecretsShowNowhere(t *testing.T) {
	r := start(t)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
	}))
	t.Cleanup(refusing.Close)
	var said []string
	note := func(err error) {
		if err != nil {
			said = append(said, rpc.Describe(err), fmt.Sprintf("%+v", err), fmt.Sprint(status.Convert(err).Proto()))
		}
	}
	req := acme("acme")
	req.Connection.Giacom.BaseUrl, req.Connection.Halo.BaseUrl = refusing.URL, refusing.URL
	req.GiacomApiKey, req.HaloClientSecret = "canary-giacom-key-QKXW", "canary-halo-secret-WXKQ"
	c := r.apply(t, req)
	said = append(said, c.String())
	answer, err := r.operator.ValidateConnection(t.Context(), slug("acme"))
	note(err)
	said = append(said, answer.String())
	change := func(edit func(*connectionv1.ApplyConnectionRequest)) {
		req := acme("acme")
		req.Connection.Etag = c.GetEtag()
		edit(req)
		_, err := r.operator.ApplyConnection(t.Context(), req)
		if err == nil {
			t.Fatalf("%v was not refused", req.GetConnection())
		}
		note(err)
	}
	change(func(req *connectionv1.ApplyConnectionRequest) { req.Connection.Etag = "stale" })
	change(func(req *connectionv1.ApplyConnectionRequest) { req.GiacomApiKey = "canary-giacom-key\n-0004 " })
	change(func(req *connectionv1.ApplyConnectionRequest) {
		req.Connection.Halo.BaseUrl = "https://user:canary-password@acme.halopsa.com"
		req.Connection.Giacom.BaseUrl = "https://giacom.example/?key=canary-query"
	})
	change(func(req *connectionv1.ApplyConnectionRequest) { req.HaloClientSecret = strings.Repeat("canary", 1000) })
	_, err = r.operator.GetSecrets(t.Context(), slug("acme"))
	note(err)
	_, err = r.operator.DisableConnection(t.Context(), slug("acme"))
	note(err)
	eventtest.Settle(t, r.pool, r.bus)

	if len(said) < 10 {
		t.Fatalf("only %d things were said: the test looks at too little", len(said))
	}
	for _, text := range said {
		mustNotShow(t, "an answer", text)
	}
	if !strings.Contains(r.log.String(), "connection created") {
		t.Error("the log holds nothing: the test looks at too little")
	}
	mustNotShow(t, "the log", r.log.String())
	rows, messages := r.everyRow(t), r.everyMessage(t)
	if len(rows) < 5 || len(messages) == 0 {
		t.Fatalf("%d rows and %d messages: the test looks at too little", len(rows), len(messages))
	}
	for _, row := range rows {
		mustNotShow(t, "a row", row)
	}
	for _, m := range messages {
		mustNotShow(t, "a message", m)
		if strings.Contains(m, "QKXW") || strings.Contains(m, "WXKQ") {
			t.Errorf("the end of a secret is on the bus: %q", m)
		}
	}
}

func mustNotShow(t *testing.T, where, text string) {
	t.Helper()
	if strings.Contains(text, "canary") {
		t.Errorf("%s shows a secret: %q", where, text)
	}
}

// everyRow is every row of every table, bytes as they are.
func (r *running) everyRow(t *testing.T) (all []string) {
	t.Helper()
	rows, err := r.pool.Query(t.Context(), `select table_name from information_schema.tables where table_schema = current_schema()`)
	if err != nil {
		t.Fatal(err)
	}
	tables, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		rows, err := r.pool.Query(t.Context(), "select * from "+pgx.Identifier{table}.Sanitize())
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, err := rows.Values()
			if err != nil {
				t.Fatal(err)
			}
			text := table
			for _, v := range values {
				if b, ok := v.([]byte); ok {
					v = string(b)
				}
				text += fmt.Sprintf("|%v", v)
			}
			all = append(all, text)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func (r *running) everyMessage(t *testing.T) (all []string) {
	t.Helper()
	for _, stream := range []string{bus.StateStream, bus.LogStream} {
		s, err := r.bus.JS.Stream(t.Context(), stream)
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= s.CachedInfo().State.LastSeq; seq++ {
			m, err := s.GetMsg(t.Context(), seq)
			if err == jetstream.ErrMsgNotFound {
				continue // superseded
			}
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, fmt.Sprintf("%s %v %s", m.Subject, m.Header, m.Data))
		}
	}
	return all
}

func TestAnotherKeysetOpensNothingAndIsMended(t *testing.T) {
	r := start(t)
	c := r.apply(t, acme("acme"))
	// The row of one connection copied to another does not open there either.
	other := r.apply(t, acme("other"))
	if _, err := r.pool.Exec(t.Context(), `update secrets set sealed = (select sealed from secrets where slug = 'other' and field = 'giacom_api_key')
		where slug = 'acme' and field = 'giacom_api_key'`); err != nil {
		t.Fatal(err)
	}
	_, err := r.service.GetSecrets(t.Context(), slug("acme"))
	if rpc.Reason(err) != "SECRET_UNREADABLE" || !strings.Contains(err.Error(), "giacom_api_key") {
		t.Fatalf("got %v", err)
	}
	if _, err := r.service.GetSecrets(t.Context(), slug(other.GetSlug())); err != nil {
		t.Errorf("the other connection suffers: %v", err)
	}
	again := acme("acme")
	again.Connection.Etag = c.GetEtag()
	if got := r.apply(t, again).GetGiacom().GetApiKey().GetVersion(); got != 2 {
		t.Errorf("entered again it has version %d, want 2", got)
	}
	if s, err := r.service.GetSecrets(t.Context(), slug("acme")); err != nil || s.GetGiacomApiKey() != "canary-giacom-key-0001" {
		t.Errorf("after it was entered again: %v", err)
	}
}

func TestSealerBindsSecretToItsPlace(t *testing.T) {
	s := newSealer(t, filepath.Join(t.TempDir(), "keyset"))
	box, err := s.seal("acme", fieldKey, "canary")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.open("acme", fieldKey, box); err != nil || got.Reveal() != "canary" {
		t.Errorf("got %v, %v", got, err)
	}
	for _, place := range [][2]string{{"other", fieldKey}, {"acme", fieldSecret}} {
		if _, err := s.open(place[0], place[1], box); err == nil {
			t.Errorf("opened as %v", place)
		}
	}
	if _, err := newSealer(t, filepath.Join(t.TempDir(), "another")).open("acme", fieldKey, box); err == nil {
		t.Error("another keyset opened it")
	}
}

func newSealer(t *testing.T, path string) *Sealer {
	t.Helper()
	if err := EnsureKeyset(path); err != nil {
		t.Fatal(err)
	}
	s, err := OpenSealer(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeysetFileIsMadeOnceAndPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	path := filepath.Join(dir, "keyset.json")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := EnsureKeyset(path); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	newSealer(t, path)
	if after, err := os.ReadFile(path); err != nil || string(after) != string(before) {
		t.Errorf("the keyset was replaced (%v)", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != fs.FileMode(0o600) {
		t.Errorf("mode %v, %v; want 0600", info.Mode(), err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("left behind: %v, %v", files, err)
	}
	if _, err := OpenSealer(filepath.Join(dir, "none")); err == nil {
		t.Error("a keyset that is not there was opened")
	}
	if _, err := NewSealer(telemetry.Secret(`{"primaryKeyId":1,"key":"canary"`)); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("got %v, want an error without the key", err)
	}
}

func TestLastFourOfAShortSecretIsNotShown(t *testing.T) {
	for secret, want := range map[telemetry.Secret]string{
		"0123456789ab": "89ab", "0123456789a": "", "": "", "0123456789aé": "",
	} {
		if got := lastFour(secret); got != want {
			t.Errorf("of %d bytes: %q, want %q", len(secret.Reveal()), got, want)
		}
	}
}
