package access

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jonboulle/clockwork"

	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
)

// stores are two replicas on one database.
func stores(t *testing.T) (*Store, *Store, *clockwork.FakeClock) {
	t.Helper()
	pool, clock := postgrestest.New(t, Migrations()), clockwork.NewFakeClockAt(time.Date(2026, 11, 23, 14, 5, 0, 0, time.UTC))
	one := Store{Pool: pool, Clock: clock, Idle: 2 * time.Hour, Max: 12 * time.Hour}
	two := one
	return &one, &two, clock
}

var olga = Person{"olga", rpc.RoleOperator}

const good, bad = telemetry.Secret("correct horse battery"), telemetry.Secret("incorrect horse")

func (s *Store) open(t *testing.T, id string, used bool) bool {
	t.Helper()
	_, ok, err := s.Session(t.Context(), id, used)
	if err != nil {
		t.Fatal(err)
	}
	return ok
}

func TestSessionsEndWhenIdleAndInAnyCaseAfterAWhile(t *testing.T) {
	s, other, clock := stores(t)
	id, err := s.Begin(t.Context(), olga, ByPassword, "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	got, ok, err := other.Session(t.Context(), id, true)
	if err != nil || !ok || got.Person != olga || got.Address != "192.0.2.1" || got.Method != ByPassword {
		t.Fatalf("another replica sees %+v, %v, %v", got, ok, err)
	}
	for range 5 { // in use all the time
		clock.Advance(119 * time.Minute)
		if !s.open(t, id, true) {
			t.Fatal("ended although it was used")
		}
	}
	clock.Advance(119 * time.Minute)
	if !s.open(t, id, true) {
		t.Fatal("ended before its time")
	}
	clock.Advance(7 * time.Minute)
	if s.open(t, id, true) {
		t.Error("goes on after 12 hours")
	}

	idle, err := s.Begin(t.Context(), olga, ByPassword, "")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 { // a page that asks by itself is nobody's use
		clock.Advance(45 * time.Minute)
		s.open(t, idle, false)
	}
	if s.open(t, idle, false) {
		t.Error("is not idle after 2 hours")
	}
}

func TestTheDatabaseLetsNobodyIn(t *testing.T) {
	s, _, _ := stores(t)
	if _, err := s.SetPassword(t.Context(), olga, good); err != nil {
		t.Fatal(err)
	}
	id, err := s.Begin(t.Context(), olga, ByPassword, "")
	if err != nil {
		t.Fatal(err)
	}
	link, _, err := s.NewLink(t.Context(), olga)
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"web_sessions", "web_links", "web_accounts"} {
		var text string
		if err := s.Pool.QueryRow(t.Context(), `select string_agg(x::text, ' ') from `+table+` x`).Scan(&text); err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{id, link, good.Reveal()} {
			if strings.Contains(text, secret) {
				t.Errorf("%s holds a secret in clear", table)
			}
		}
	}
}

func TestSignOut(t *testing.T) {
	s, _, _ := stores(t)
	begin := func(p Person) string {
		id, err := s.Begin(t.Context(), p, ByPassword, "")
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	a, b, c := begin(olga), begin(olga), begin(Person{"vera", rpc.RoleViewer})
	if err := s.End(t.Context(), a); err != nil || s.open(t, a, true) || !s.open(t, b, true) {
		t.Errorf("one session of two ended: %v", err)
	}
	if n, err := s.EndOf(t.Context(), "olga"); err != nil || n != 1 || s.open(t, b, true) || !s.open(t, c, true) {
		t.Errorf("all of one person ended: %d, %v", n, err)
	}
	if n, err := s.EndOf(t.Context(), ""); err != nil || n != 1 || s.open(t, c, true) {
		t.Errorf("everybody's ended: %d, %v", n, err)
	}
}

func TestPasswords(t *testing.T) {
	s, _, _ := stores(t)
	for name, c := range map[string]struct {
		p        Person
		password telemetry.Secret
	}{
		"short":        {olga, "elevenchars"},
		"long":         {olga, telemetry.Secret(strings.Repeat("x", 513))},
		"name":         {Person{"Olga Smith", rpc.RoleOperator}, good},
		"service role": {Person{"olga", rpc.RoleService}, good},
	} {
		if _, err := s.SetPassword(t.Context(), c.p, c.password); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := s.SetPassword(t.Context(), olga, good); err != nil {
		t.Fatal(err)
	}
	if p, err := s.SignIn(t.Context(), " Olga ", good, "a"); err != nil || p != olga {
		t.Errorf("got %v, %v", p, err)
	}
	for _, c := range [][2]string{{"olga", bad.Reveal()}, {"olga", ""}, {"nobody", good.Reveal()}, {"", ""}} {
		if _, err := s.SignIn(t.Context(), c[0], telemetry.Secret(c[1]), "a"); !errors.Is(err, ErrWrong) {
			t.Errorf("%q signed in with %q: %v", c[0], c[1], err)
		}
	}
	session, err := s.Begin(t.Context(), olga, ByPassword, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.SetPassword(t.Context(), Person{"olga", rpc.RoleViewer}, "another long one"); err != nil {
		t.Fatal(err)
	}
	if s.open(t, session, true) {
		t.Error("a session goes on under a new password")
	}
	if p, err := s.SignIn(t.Context(), "olga", "another long one", "a"); err != nil || p.Role != rpc.RoleViewer {
		t.Errorf("got %v, %v", p, err)
	}
	if err := s.DeleteAccount(t.Context(), "olga"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SignIn(t.Context(), "olga", "another long one", "a"); !errors.Is(err, ErrWrong) {
		t.Errorf("a deleted account: %v", err)
	}
}

func TestAttemptsAreCountedByAllReplicasTogether(t *testing.T) {
	s, other, clock := stores(t)
	if _, err := s.SetPassword(t.Context(), olga, good); err != nil {
		t.Fatal(err)
	}
	// All at once, through both: no more than five get to try.
	var mu sync.Mutex
	tried, refused := 0, 0
	var wait sync.WaitGroup
	for i := range 12 {
		wait.Go(func() {
			_, err := []*Store{s, other}[i%2].SignIn(t.Context(), "olga", bad, "192.0.2.1")
			var tooMany *TooMany
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.As(err, &tooMany):
				refused++
				if tooMany.Wait <= 0 || tooMany.Wait > attemptWindow {
					t.Errorf("told to wait %s", tooMany.Wait)
				}
			case errors.Is(err, ErrWrong):
				tried++
			default:
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if tried != attemptsPerAccount || refused != 12-attemptsPerAccount {
		t.Errorf("%d tried and %d refused", tried, refused)
	}
	var tooMany *TooMany
	if _, err := other.SignIn(t.Context(), "olga", good, "198.51.100.7"); !errors.As(err, &tooMany) {
		t.Errorf("the right password from elsewhere meanwhile: %v", err)
	}
	clock.Advance(attemptWindow + time.Second)
	if _, err := other.SignIn(t.Context(), "olga", good, "192.0.2.1"); err != nil {
		t.Errorf("after the wait: %v", err)
	}
}

func TestAnAddressGetsFewAttemptsOverAllAccounts(t *testing.T) {
	s, other, _ := stores(t)
	var tooMany *TooMany
	for i := range attemptsPerAddress {
		counted, err := s.attempt(t.Context(), "olga", "a") // whose password is right each time
		if err != nil {
			t.Fatalf("olga before attempt %d: %v", i, err)
		}
		if err := s.forgive(t.Context(), "olga", counted); err != nil {
			t.Fatal(err)
		}
		if _, err := other.attempt(t.Context(), "user"+string(rune('a'+i)), "a"); err != nil {
			t.Fatalf("attempt %d: %v", i, err)
		}
	}
	for i := range attemptsPerAddress { // each from another address of one network
		if _, err := s.attempt(t.Context(), "six"+string(rune('a'+i)), fmt.Sprintf("2001:db8:0:1::%x", i)); err != nil {
			t.Fatalf("attempt %d by IPv6: %v", i, err)
		}
	}
	if _, err := s.attempt(t.Context(), "sixth", "2001:db8:0:1:ffff::1"); !errors.As(err, &tooMany) {
		t.Errorf("a network of addresses guesses without end: %v", err)
	}
	if _, err := s.attempt(t.Context(), "sixth", "2001:db8:0:2::1"); err != nil {
		t.Errorf("from another network: %v", err)
	}
	if _, err := s.SignIn(t.Context(), "ol\x00ga", bad, "c"); !errors.Is(err, ErrWrong) {
		t.Errorf("a name that no database takes: %v", err)
	}
	// One's own account gave no more guesses at others'.
	if _, err := s.attempt(t.Context(), "olga", "a"); !errors.As(err, &tooMany) {
		t.Errorf("got %v", err)
	}
	if _, err := s.attempt(t.Context(), "olga", "b"); err != nil {
		t.Errorf("from another address: %v", err)
	}
}

func TestALinkSignsInOnce(t *testing.T) {
	s, other, clock := stores(t)
	link, until, err := s.NewLink(t.Context(), olga)
	if err != nil || until.Sub(clock.Now()) != linkLife {
		t.Fatalf("until %s, %v", until, err)
	}
	wins := make(chan bool, 8)
	var wait sync.WaitGroup
	for i := range 8 {
		wait.Go(func() {
			p, ok, err := []*Store{s, other}[i%2].UseLink(t.Context(), link)
			if err != nil || ok && p != olga {
				t.Errorf("%v, %v", p, err)
			}
			wins <- ok
		})
	}
	wait.Wait()
	close(wins)
	n := 0
	for ok := range wins {
		if ok {
			n++
		}
	}
	if n != 1 {
		t.Errorf("it signed in %d times", n)
	}
	late, _, err := s.NewLink(t.Context(), olga)
	if err != nil {
		t.Fatal(err)
	}
	clock.Advance(linkLife + time.Second)
	if _, ok, err := s.UseLink(t.Context(), late); ok || err != nil {
		t.Errorf("after its time: %v, %v", ok, err)
	}
}

func TestFlashIsTakenOnce(t *testing.T) {
	s, _, _ := stores(t)
	id, err := s.Begin(t.Context(), olga, ByLink, "")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	if ok, err := s.TakeFlash(t.Context(), id, &got); ok || err != nil {
		t.Errorf("before: %v, %v", ok, err)
	}
	if err := s.PutFlash(t.Context(), id, []string{"saved <b>"}); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.TakeFlash(t.Context(), id, &got); !ok || err != nil || len(got) != 1 || got[0] != "saved <b>" {
		t.Errorf("%v, %v, %v", got, ok, err)
	}
	if ok, _ := s.TakeFlash(t.Context(), id, &got); ok {
		t.Error("taken twice")
	}
}

func TestWhoMayEnterByOpenID(t *testing.T) {
	o := &OpenID{GroupsClaim: "groups", Operators: []string{"zoe@example.com", "group:Billing"}, Viewers: []string{"@example.com"}}
	claims := func(pairs ...any) map[string]any {
		m := map[string]any{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i].(string)] = pairs[i+1]
		}
		return m
	}
	for name, c := range map[string]struct {
		claims map[string]any
		want   rpc.Role
		called string
	}{
		"operator by address": {claims("sub", "1", "name", "Zoë", "email", "Zoe@Example.com", "email_verified", true), rpc.RoleOperator, "Zoë <zoe@example.com>"},
		"viewer by domain":    {claims("sub", "1", "email", "ann@example.com", "email_verified", "true"), rpc.RoleViewer, "ann@example.com"},
		"not verified":        {claims("sub", "1", "email", "zoe@example.com"), "", ""},
		"said to be false":    {claims("sub", "1", "email", "zoe@example.com", "email_verified", false), "", ""},
		"operator by group":   {claims("sub", "1", "preferred_username", "bob", "groups", []any{"Sales", "Billing"}), rpc.RoleOperator, "bob"},
		"group as one text":   {claims("sub", "1", "groups", "Billing"), rpc.RoleOperator, "1"},
		"other domain":        {claims("sub", "1", "email", "ann@example.com.evil.test", "email_verified", true), "", ""},
		"domain in the name":  {claims("sub", "1", "email", "x@example.com@evil.test", "email_verified", true), "", ""},
		"nobody":              {claims("sub", "1"), "", ""},
	} {
		p, err := o.person(c.claims)
		switch {
		case c.want == "" && !errors.Is(err, ErrOutside):
			t.Errorf("%s: let in as %v (%v)", name, p, err)
		case c.want != "" && (err != nil || p.Role != c.want || p.Name != c.called):
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	if p, err := o.person(claims("sub", strings.Repeat("é", 150), "groups", "Billing")); err != nil || len(p.Name) != 200 {
		t.Errorf("a name that no change log takes: %d bytes, %v", len(p.Name), err)
	}
	o.TrustEmail = true
	if p, err := o.person(claims("sub", "1", "email", "zoe@example.com")); err != nil || p.Role != rpc.RoleOperator {
		t.Errorf("trusted: %v, %v", p, err)
	}
}
