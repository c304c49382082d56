package connections

import (
	"reflect"
	"testing"

	"seatline.dev/pkg/reconcile"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

func TestPermit(t *testing.T) {
	auto := func(canary *connectionv1.Canary) *connectionv1.Connection {
		return &connectionv1.Connection{Enabled: true, Mode: connectionv1.Mode_MODE_AUTO, Canary: canary}
	}
	both := &connectionv1.Canary{HaloClientIds: []int64{7}, MexIds: []string{" harb1 "}}
	for name, test := range map[string]struct {
		of     *connectionv1.Connection
		client int64
		mexID  string
		want   reconcile.Mode
	}{
		"auto":                          {auto(nil), 0, "", reconcile.Auto},
		"observe":                       {&connectionv1.Connection{Enabled: true, Mode: connectionv1.Mode_MODE_OBSERVE}, 7, "HARB1", reconcile.Observe},
		"observe outranks the canary":   {&connectionv1.Connection{Enabled: true, Mode: connectionv1.Mode_MODE_OBSERVE, Canary: both}, 7, "HARB1", reconcile.Observe},
		"no mode":                       {&connectionv1.Connection{Enabled: true}, 7, "", reconcile.Observe},
		"disabled":                      {&connectionv1.Connection{Mode: connectionv1.Mode_MODE_AUTO}, 7, "", reconcile.Observe},
		"deleted":                       {&connectionv1.Connection{Enabled: true, Deleted: true, Mode: connectionv1.Mode_MODE_AUTO}, 7, "", reconcile.Observe},
		"by Halo's customer":            {auto(both), 7, "OTHER", reconcile.Auto},
		"by Giacom's, however spelt":    {auto(both), 8, "Harb1", reconcile.Auto},
		"neither":                       {auto(both), 8, "OTHER", reconcile.Spared},
		"an empty canary is no licence": {auto(&connectionv1.Canary{}), 7, "HARB1", reconcile.Spared},
		"nobody is not a customer":      {auto(&connectionv1.Canary{HaloClientIds: []int64{0}}), 0, "", reconcile.Spared},
	} {
		t.Run(name, func(t *testing.T) {
			if got := PermitOf(test.of).Mode(test.client, test.mexID); got != test.want {
				t.Errorf("mode %d, want %d", got, test.want)
			}
		})
	}
	if !reflect.DeepEqual(PermitOf(auto(both)), PermitOf(auto(&connectionv1.Canary{HaloClientIds: []int64{7}, MexIds: []string{"HARB1"}}))) {
		t.Error("equal settings make permits that differ: everything would be decided anew for nothing")
	}
	if reflect.DeepEqual(PermitOf(auto(both)), PermitOf(auto(nil))) {
		t.Error("a canary taken away goes unnoticed")
	}
}
