package console

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/postgres"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// rememberWriters replaces what is known of who else writes to an instance.
func (s *server) rememberWriters(ctx context.Context, instance string, found []finding) error {
	codes := []string{}
	for _, f := range found {
		codes = append(codes, f.Code)
	}
	return postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `insert into looks (instance, time) values ($1, $2) on conflict (instance) do update set time = excluded.time`, instance, s.clock.Now())
		if err != nil {
			return fmt.Errorf("keep when %s was looked at: %w", instance, err)
		}
		if _, err := tx.Exec(ctx, `delete from findings where instance = $1 and code <> all($2)`, instance, codes); err != nil {
			return fmt.Errorf("forget what was found in %s: %w", instance, err)
		}
		for _, f := range found {
			_, err := tx.Exec(ctx, `insert into findings (instance, code, text, fix, since) values ($1, $2, $3, $4, $5)
				on conflict (instance, code) do update set text = excluded.text, fix = excluded.fix`, instance, f.Code, f.Text, f.Fix, s.clock.Now())
			if err != nil {
				return fmt.Errorf("keep what was found in %s: %w", instance, err)
			}
		}
		return nil
	})
}

func knownWriters(ctx context.Context, q querier, instance string) ([]finding, error) {
	rows, err := q.Query(ctx, `select code, text, fix from findings where instance = $1 order by code`, instance)
	if err != nil {
		return nil, fmt.Errorf("read what was found in %s: %w", instance, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowToStructByPos[finding])
	if err != nil {
		return nil, fmt.Errorf("read what was found in %s: %w", instance, err)
	}
	return found, nil
}

// lookedAt is when an instance last said who else writes there; nil when it never did.
func lookedAt(ctx context.Context, q querier, instance string) (*timestamppb.Timestamp, error) {
	rows, err := q.Query(ctx, `select time from looks where instance = $1`, instance)
	if err != nil {
		return nil, fmt.Errorf("read when %s was looked at: %w", instance, err)
	}
	at, err := pgx.CollectExactlyOneRow(rows, pgx.RowTo[time.Time])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read when %s was looked at: %w", instance, err)
	}
	return timestamppb.New(at), nil
}

// GetOtherWriters says what the last look found.
func (s *server) GetOtherWriters(ctx context.Context, req *connectionv1.GetConnectionRequest) (*connectionv1.OtherWriters, error) {
	c, err := live(ctx, s.pool, req.GetSlug())
	if err != nil {
		return nil, err
	}
	out := &connectionv1.OtherWriters{}
	found, err := knownWriters(ctx, s.pool, c.GetHalo().GetInstance())
	if err != nil {
		return nil, err
	}
	for _, f := range found {
		out.Found = append(out.Found, f.blocker())
	}
	out.LookTime, err = lookedAt(ctx, s.pool, c.GetHalo().GetInstance())
	return out, err
}

func (f finding) blocker() *connectionv1.Blocker {
	return &connectionv1.Blocker{Code: f.Code, Text: f.Text, Fix: f.Fix, Overridable: true}
}

// look is what Halo said when it was asked who else writes there; trouble, if any, is why it said nothing.
type look struct {
	found   []finding
	trouble *connectionv1.Check
}

// errLook says that a change makes a connection write, and that Halo was not asked yet who else does.
var errLook = errors.New("who else writes in Halo is to be looked up first")

// lookTime bounds a look. A person is waiting for it.
const lookTime = 20 * time.Second

// lookFirst asks the Halo of a connection that is to be stored, with the secret that it is to have.
func (s *server) lookFirst(ctx context.Context, c *connectionv1.Connection, req *connectionv1.ApplyConnectionRequest) (*look, error) {
	secrets := &connectionv1.Secrets{HaloClientSecret: req.GetHaloClientSecret()}
	if secrets.HaloClientSecret == "" && c.GetHalo().GetClientSecret() != nil {
		var err error
		if secrets, err = s.secrets(ctx, c.GetSlug()); err != nil {
			return nil, err
		}
	}
	return s.look(ctx, c, secrets)
}

func (s *server) look(ctx context.Context, c *connectionv1.Connection, secrets *connectionv1.Secrets) (*look, error) {
	asking, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	seen := &look{}
	r := &report{connectionv1.Check_GROUP_HALO, func(check *connectionv1.Check) {
		if check.GetOutcome() == connectionv1.Check_OUTCOME_FAILED || check.GetCode() == controlUnread {
			seen.trouble = check
		}
	}}
	h := s.checkToken(asking, r, c, secrets)
	if h == nil {
		return seen, nil
	}
	control, told, err := s.checkWriters(asking, r, h, c)
	if told {
		seen.found = writers(control)
	}
	return seen, err
}

// lookEvery is how often the Halo of a connection that writes is asked again: another integration may be switched on
// after observe was left.
const lookEvery = 24 * time.Hour

// lookAgain asks every Halo that is written to and was not asked for lookEvery. One that does not answer keeps no other
// waiting, and is asked again at the next turn.
func (s *server) lookAgain(ctx context.Context) (int, error) {
	rows, err := s.pool.Query(ctx, `select distinct on (instance) body from connections
		where not deleted and enabled and mode = $1 and not exists (select from looks l where l.instance = connections.instance and l.time > $2)
		order by instance, slug`, int32(connectionv1.Mode_MODE_AUTO), s.clock.Now().Add(-lookEvery))
	if err != nil {
		return 0, fmt.Errorf("read which Halo is to be asked who else writes there: %w", err)
	}
	due, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return 0, fmt.Errorf("read which Halo is to be asked who else writes there: %w", err)
	}
	var trouble []error
	for _, c := range due {
		secrets, err := s.secrets(ctx, c.GetSlug())
		if err != nil {
			trouble = append(trouble, err)
			continue
		}
		seen, err := s.look(ctx, c, secrets)
		if err == nil && seen.trouble != nil {
			err = errors.New(seen.trouble.GetName() + ": " + seen.trouble.GetText())
		}
		if err != nil {
			trouble = append(trouble, fmt.Errorf("connection %s: %w", c.GetSlug(), err))
			continue
		}
		for _, f := range seen.found {
			s.log.WarnContext(ctx, "another integration writes in Halo", "connection", c.GetSlug(), "instance", c.GetHalo().GetInstance(), "code", f.Code)
		}
	}
	return 0, errors.Join(trouble...)
}

// widens says which step of a connection into writing more a change is, as the end of "it cannot …"; "" for none.
func widens(old, c *connectionv1.Connection) string {
	const auto = connectionv1.Mode_MODE_AUTO
	switch {
	case c.GetMode() != auto:
		return ""
	case old.GetMode() != auto, old.GetHalo().GetInstance() != c.GetHalo().GetInstance():
		return "leave observe"
	case c.GetEnabled() && !old.GetEnabled():
		return "be enabled in mode auto"
	case old.GetCanary() != nil && c.GetCanary() == nil:
		return "write everything"
	}
	return ""
}

// mayWrite refuses a step into writing more while another integration writes the same licences, or Halo does not say
// whether one does, unless a reason is given. Who is there already stays: one finding must not undo what works.
func mayWrite(old, c *connectionv1.Connection, reason string, seen *look) error {
	step := widens(old, c)
	if step == "" || strings.TrimSpace(reason) != "" {
		return nil
	}
	slug := c.GetSlug()
	switch {
	case seen == nil:
		return errLook
	case seen.trouble != nil:
		return unlooked(slug, step, &connectionv1.Blocker{Code: seen.trouble.GetCode(), Text: seen.trouble.GetName() + ": " + seen.trouble.GetText(), Fix: seen.trouble.GetFix()})
	case len(seen.found) > 0:
		return twoWriters(slug, step, seen.found[0].blocker())
	}
	return nil
}

const orReason = "; or give a reason to override this (--override, or the page that asked), which is kept"

func unlooked(slug, step string, b *connectionv1.Blocker) error {
	e := rpc.FailedPrecondition("WRITERS_UNKNOWN", slug, "connection %q cannot %s: whether another integration writes the same licences could not be looked up in Halo. %s", slug, step, b.GetText())
	return e.Do("%s See `seatline connections validate %s`, then try again"+orReason, b.GetFix(), slug).With("finding", b.GetCode())
}

func twoWriters(slug, step string, b *connectionv1.Blocker) error {
	e := rpc.FailedPrecondition("TWO_WRITERS", slug, "connection %q cannot %s: %s", slug, step, lower(b.GetText()))
	return e.Do("%s Then try again"+orReason, lower(b.GetFix())).With("finding", b.GetCode())
}

// mayEnable asks of a connection that writes as soon as it is enabled what is asked before observe is left: Halo, for the
// rights and who else writes there.
func (s *server) mayEnable(ctx context.Context, req *connectionv1.EnableConnectionRequest) error {
	old, err := live(ctx, s.pool, req.GetSlug())
	if err != nil {
		return err
	}
	c := proto.CloneOf(old)
	c.Enabled = true
	step := widens(old, c)
	if step == "" {
		return nil
	}
	if err := invalid(c.GetSlug(), Validate(c, c)); err != nil {
		return err
	}
	var asked connectionv1.LeaveObserve
	if err := s.blockers(ctx, c, &asked); err != nil {
		return err
	}
	for _, b := range asked.GetBlockers() {
		switch {
		case !b.GetOverridable():
			return rpc.FailedPrecondition("BLOCKED", c.GetSlug(), "connection %q cannot %s: %s", c.GetSlug(), step, b.GetText()).Do("%s", b.GetFix())
		case strings.TrimSpace(req.GetOverrideReason()) != "":
		case b.GetCode() == controlUnread:
			return unlooked(c.GetSlug(), step, b)
		default:
			return twoWriters(c.GetSlug(), step, b)
		}
	}
	return nil
}

// lower makes a sentence the end of another.
func lower(text string) string {
	if strings.HasPrefix(text, "Halo") {
		return text
	}
	return strings.ToLower(text[:1]) + text[1:]
}
