package e2e

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"google.golang.org/protobuf/testing/protocmp"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	"seatline.dev/services/seatline/ctl"
)

// What people decided after the dump of the console still holds after it was restored: a licence of what is gone from Giacom
// stays as it is, because that is what they decided, although the dump says otherwise.
func TestAnOlderDumpOfTheConsole(t *testing.T) {
	t.Parallel()
	s := tell(t, plot{estate: small(), rules: keepAndAdd})
	s.poll(true)
	s.dump(ctl.Console)
	s.apply(func(c *connectionv1.Connection) { c.DisplayName, c.Licences.DeactivateRemoved = "Changed since", false })
	console := func() connectionv1.ConnectionServiceClient {
		return connectionv1.NewConnectionServiceClient(s.w.Client(ctl.Console))
	}
	late := s.w.Connection("late")
	late.Giacom.Account, late.Enabled = "late", false
	_, err := s.w.Apply(s.ctx, late, nil)
	s.must(err)
	all := func() []*connectionv1.Connection {
		s.Helper()
		page, err := console().ListConnections(s.ctx, &connectionv1.ListConnectionsRequest{})
		s.must(err)
		return page.GetConnections()
	}
	before, revisions := all(), s.revisions()

	s.restore(ctl.Console)
	s.settle()
	// When it was taken back shows; and of secrets, that those of a connection made since are not in the dump.
	apart := protocmp.IgnoreFields(&connectionv1.Connection{}, "etag", "update_time")
	if diff := cmp.Diff(before, all(), protocmp.Transform(), apart, protocmp.IgnoreFields(&connectionv1.SecretRef{}, "last_four")); diff != "" {
		t.Errorf("connections after the restore (-before +after):\n%s", diff)
	}
	for slug, revision := range s.revisions() {
		if revision <= revisions[slug] {
			t.Errorf("the licence service knows revision %d of %s, and knew %d before", revision, slug, revisions[slug])
		}
	}
	s.must(s.w.Giacom.SetSeats(s.sub(0).ID, 31))
	s.must(s.w.Giacom.Remove(s.sub(1).ID))
	s.poll(true)
	s.poll(true)
	s.right("after the restore and two polls")
	if l := s.licence("microsoft/" + s.sub(1).GUID); !l.IsActive {
		t.Error("deactivated by the settings of the dump")
	}
}

// revisions of the connections, as the licence service has them.
func (s *story) revisions() map[string]int64 {
	s.Helper()
	conn, err := pgx.Connect(s.ctx, s.w.Database)
	s.must(err)
	defer conn.Close(s.ctx)
	rows, err := conn.Query(s.ctx, "select slug, revision from licence.connections")
	s.must(err)
	revisions := map[string]int64{}
	var slug string
	var revision int64
	_, err = pgx.ForEachRow(rows, []any{&slug, &revision}, func() error { revisions[slug] = revision; return nil })
	s.must(err)
	return revisions
}
