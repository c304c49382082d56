package simulator

import (
	"math/rand/v2"
	"testing"
)

func TestFaultsStrikeWhereTheyAreMeantTo(t *testing.T) {
	for name, c := range map[string]struct {
		fault Fault
		want  string // of the requests below, x for struck
	}{
		"everything but tokens": {Fault{}, "xxxxx."},
		"a method":              {Fault{Method: "POST"}, "...xx."},
		"a route in any case":   {Fault{Route: "/CLIENT"}, "x.xx.."},
		"tokens when named":     {Fault{Route: "/token"}, ".....x"},
		"the second that fits":  {Fault{Route: "/client", Nth: 2}, "..x..."},
		"after two":             {Fault{Skip: 2}, "..xxx."},
		"twice":                 {Fault{Times: 2}, "xx...."},
		"once after one":        {Fault{Skip: 1, Times: 1}, ".x...."},
	} {
		t.Run(name, func(t *testing.T) {
			rig := NewRig(map[string]string{"fault": "for the test"}, "/token", rand.NewPCG(1, 1))
			c.fault.Name = "fault"
			if err := rig.Inject(c.fault); err != nil {
				t.Fatal(err)
			}
			got := ""
			for _, r := range [][2]string{{"GET", "/client"}, {"GET", "/item"}, {"GET", "/client"}, {"POST", "/client"}, {"POST", "/item"}, {"POST", "/token"}} {
				if rig.Strike(r[0], r[1]).Has("fault") {
					got += "x"
				} else {
					got += "."
				}
			}
			if got != c.want {
				t.Errorf("struck %s, want %s", got, c.want)
			}
			rig.Clear("fault")
			if len(rig.Strike("GET", "/client")) > 0 {
				t.Error("strikes although it was cleared")
			}
		})
	}
}
