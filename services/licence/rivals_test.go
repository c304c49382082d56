package licence

import (
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"seatline.dev/pkg/halo/halosim"
	itemv1 "seatline.dev/proto/seatline/item/v1"
	subscriptionv1 "seatline.dev/proto/seatline/subscription/v1"
)

// Two subscriptions that could take over the same licence wait for a person, until one of them does not want it any more.
func TestTheLastRivalTakesTheLicence(t *testing.T) {
	t.Parallel()
	one := func(id, client int64) halosim.Licence {
		return halosim.Licence{ID: id, Type: 1, ClientID: client, Name: "Microsoft 365", ProductSKU: "SKU1", Count: 3, IsActive: true}
	}
	w := newWorld(t, halosim.Config{}, 4, one(11, 1), one(12, 2), one(13, 3))
	w.start()
	w.connect()
	w.send(sub("giacom/1", 1, 3), sub("giacom/1b", 1, 3), sub("giacom/2", 2, 3), sub("giacom/2b", 2, 3), sub("giacom/3", 3, 3), sub("giacom/3b", 3, 3))
	for _, key := range []string{"giacom/1", "giacom/2", "giacom/3"} {
		w.wantState(key, "held possible_duplicate")
	}
	w.send(
		sub("giacom/1b", 0, 3, func(s *subscriptionv1.Subscription) {
			s.State, s.Reason = subscriptionv1.State_STATE_UNRESOLVED, &itemv1.Reason{Code: "excluded", Text: "excluded: a trial"}
		}),
		sub("giacom/2b", 2, 3, func(s *subscriptionv1.Subscription) { s.Giacom.AbsentSince = timestamppb.Now() }),
		sub("giacom/3b", 4, 3),
	)
	w.wantHalo("1 3 true giacom:acct:giacom/1", "2 3 true giacom:acct:giacom/2", "3 3 true giacom:acct:giacom/3", "4 3 true giacom:acct:giacom/3b")
}
