package access

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/argon2"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
)

// Account of the console itself.
type Account struct {
	Person
	Updated time.Time
}

// Lengths of a password, in characters and in bytes.
const (
	minPassword = 12
	maxPassword = 512
)

var accountName = regexp.MustCompile(`^[a-z0-9._@-]{1,64}$`)

// Cost of a hash: RFC 9106's choice for memory that is not plentiful, 64 MiB in three passes.
const (
	hashTime, hashMemory, hashThreads = 3, 64 << 10, 2
	saltLength, keyLength             = 16, 32
)

// hashing lets two passwords be hashed at a time, so that a flood of attempts cannot take all memory.
var hashing = make(chan struct{}, 2)

func hash(password telemetry.Secret) (string, error) {
	salt := make([]byte, saltLength)
	rand.Read(salt) // never fails
	key := argon2.IDKey([]byte(password.Reveal()), salt, hashTime, hashMemory, hashThreads, keyLength)
	encode := base64.RawStdEncoding.EncodeToString
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, hashMemory, hashTime, hashThreads, encode(salt), encode(key)), nil
}

// matches compares in constant time. A hash that cannot be read matches nothing.
func matches(ctx context.Context, password telemetry.Secret, stored string) bool {
	select {
	case hashing <- struct{}{}:
		defer func() { <-hashing }()
	case <-ctx.Done():
		return false
	}
	parts := strings.Split(stored, "$")
	if len(parts) != 6 || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return false
	}
	var memory, passes uint32
	var threads uint8
	if _, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &memory, &passes, &threads); err != nil || passes == 0 || threads == 0 {
		return false
	}
	salt, err1 := base64.RawStdEncoding.DecodeString(parts[4])
	want, err2 := base64.RawStdEncoding.DecodeString(parts[5])
	if err1 != nil || err2 != nil || len(want) == 0 {
		return false
	}
	got := argon2.IDKey([]byte(password.Reveal()), salt, passes, memory, threads, uint32(len(want)))
	return subtle.ConstantTimeCompare(got, want) == 1
}

// SetPassword makes an account, or changes it; its sessions end, and what was counted against it.
func (s *Store) SetPassword(ctx context.Context, p Person, password telemetry.Secret) (Account, error) {
	switch n := utf8.RuneCountInString(password.Reveal()); {
	case !accountName.MatchString(p.Name):
		return Account{}, rpc.InvalidArgument("name", "%q is not a name of 1 to 64 of a-z, 0-9, '.', '_', '-' and '@'", p.Name)
	case p.Role != rpc.RoleViewer && p.Role != rpc.RoleOperator:
		return Account{}, rpc.InvalidArgument("role", "%q is neither viewer nor operator", p.Role)
	case n < minPassword || len(password) > maxPassword:
		return Account{}, rpc.InvalidArgument("password", "it has %d characters; %d or more are needed, and at most %d bytes", n, minPassword, maxPassword).
			Do("choose a longer one: a few words in a row are easy to remember")
	}
	hashed, err := hash(password)
	if err != nil {
		return Account{}, err
	}
	account := Account{p, s.Clock.Now()}
	err = postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		for _, step := range []struct {
			sql  string
			args []any
		}{
			{`insert into web_accounts (name, role, hash, update_time) values ($1, $2, $3, $4)
				on conflict (name) do update set role = excluded.role, hash = excluded.hash, update_time = excluded.update_time`,
				[]any{p.Name, string(p.Role), hashed, account.Updated}},
			{`delete from web_sessions where name = $1 and method = 'password'`, []any{p.Name}},
			{`delete from web_attempts where key = $1`, []any{accountKey(p.Name)}},
		} {
			if _, err := tx.Exec(ctx, step.sql, step.args...); err != nil {
				return fmt.Errorf("set the password of %s: %w", p.Name, err)
			}
		}
		return nil
	})
	return account, err
}

// DeleteAccount removes an account and its sessions; one that is not there is no error.
func (s *Store) DeleteAccount(ctx context.Context, name string) error {
	return postgres.InTx(ctx, s.Pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `delete from web_accounts where name = $1`, name)
		if err == nil {
			_, err = tx.Exec(ctx, `delete from web_sessions where name = $1 and method = 'password'`, name)
		}
		if err != nil {
			return fmt.Errorf("delete account %s: %w", name, err)
		}
		return nil
	})
}

// Accounts by name.
func (s *Store) Accounts(ctx context.Context) ([]Account, error) {
	rows, err := s.Pool.Query(ctx, `select name, role, update_time from web_accounts order by name`)
	if err != nil {
		return nil, fmt.Errorf("list accounts: %w", err)
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (x Account, err error) { return x, r.Scan(&x.Name, &x.Role, &x.Updated) })
}

// ErrWrong is the answer to a wrong name and to a wrong password alike.
var ErrWrong = errors.New("the name or the password is wrong")

// nobody's hash costs as much to compare with as anybody's, so that time does not tell which names exist.
const nobody = "$argon2id$v=19$m=65536,t=3,p=2$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"

// SignIn checks a password. The error is ErrWrong, a *TooMany, or something of our own.
func (s *Store) SignIn(ctx context.Context, name string, password telemetry.Secret, address string) (Person, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	if !accountName.MatchString(name) || len(password) > maxPassword { // no account is called that
		return Person{}, ErrWrong
	}
	counted, err := s.attempt(ctx, name, address)
	if err != nil {
		return Person{}, err
	}
	stored, p := nobody, Person{Name: name}
	err = s.Pool.QueryRow(ctx, `select hash, role from web_accounts where name = $1`, name).Scan(&stored, &p.Role)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return Person{}, fmt.Errorf("read account %s: %w", name, err)
	}
	if !matches(ctx, password, stored) || p.Role == "" {
		return Person{}, ErrWrong
	}
	return p, s.forgive(ctx, name, counted)
}
