package reconcile

import "testing"

func TestSettle(t *testing.T) {
	hold := Hold("price_missing", "x")
	own := Reason{"possible_duplicate", "y"}
	for name, c := range map[string]struct {
		state                                  State
		sticky, desireChanged, differs, wanted bool
		verdict                                Verdict
		mode                                   Mode
		want                                   State
		wantReason                             string
		wantSticky                             bool
	}{
		"a difference is written in auto":                          {differs: true, wanted: true, verdict: Go(), mode: Auto, want: Pending},
		"a difference is held while observing":                     {differs: true, wanted: true, verdict: Go(), mode: Observe, want: Held, wantReason: "observe"},
		"no difference is in sync, in any mode":                    {wanted: true, verdict: Go(), mode: Observe, want: InSync},
		"a rule holds even where nothing differs":                  {wanted: true, verdict: hold, mode: Auto, want: Held, wantReason: "price_missing"},
		"a write under way keeps its state":                        {state: Applying, differs: true, wanted: true, verdict: hold, mode: Auto, want: Applying, wantReason: "possible_duplicate"},
		"what nobody wants is retired":                             {state: Pending, differs: true, verdict: Go(), mode: Auto, want: Retired},
		"a failure stays while desired stays":                      {state: Failed, sticky: true, differs: true, wanted: true, verdict: Go(), mode: Auto, want: Failed, wantReason: "possible_duplicate", wantSticky: true},
		"a failure is tried again when desired moves":              {state: Failed, sticky: true, desireChanged: true, differs: true, wanted: true, verdict: Go(), mode: Auto, want: Pending},
		"a failure is forgotten when Halo holds what it should":    {state: Failed, sticky: true, wanted: true, verdict: Go(), mode: Auto, want: InSync},
		"what waits for a time does not wake while observing":      {state: Parked, sticky: true, differs: true, wanted: true, verdict: Go(), mode: Observe, want: Held, wantReason: "observe"},
		"what waits for a time goes on waiting in auto":            {state: Parked, sticky: true, differs: true, wanted: true, verdict: Go(), mode: Auto, want: Parked, wantReason: "possible_duplicate", wantSticky: true},
		"leaving observe sets what was held by it going":           {state: Held, differs: true, wanted: true, verdict: Go(), mode: Auto, want: Pending},
		"what is no canary's is held in auto":                      {differs: true, wanted: true, verdict: Go(), mode: Spared, want: Held, wantReason: "canary"},
		"what is no canary's and equal is in sync":                 {wanted: true, verdict: Go(), mode: Spared, want: InSync},
		"a rule's reason outranks the canary":                      {differs: true, wanted: true, verdict: hold, mode: Spared, want: Held, wantReason: "price_missing"},
		"what waits for a time does not wake beside the canary":    {state: Parked, sticky: true, differs: true, wanted: true, verdict: Go(), mode: Spared, want: Held, wantReason: "canary"},
		"joining the canary sets it going":                         {state: Held, differs: true, wanted: true, verdict: Go(), mode: Auto, want: Pending},
		"a hold of a person's stays when the mode changes to auto": {state: Held, sticky: true, differs: true, wanted: true, verdict: Go(), mode: Auto, want: Held, wantReason: "possible_duplicate", wantSticky: true},
		"a parked item whose reason went away goes on":             {state: Parked, differs: true, wanted: true, verdict: Go(), mode: Auto, want: Pending},
	} {
		t.Run(name, func(t *testing.T) {
			got, reason, sticky := settle(c.state, c.sticky, c.desireChanged, c.differs, c.wanted, c.verdict, c.mode, own)
			if got != c.want || reason.Code != c.wantReason || sticky != c.wantSticky {
				t.Errorf("got %d %q %v, want %d %q %v", got, reason.Code, sticky, c.want, c.wantReason, c.wantSticky)
			}
		})
	}
}
