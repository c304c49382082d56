package chassis

import (
	"os"
	"runtime/debug"
)

// gcPercent is how much a process may allocate before what is unused is looked for, in percent of what is in use. Services
// live on little and allocate in bursts, an import for instance, of which the runtime's own 100 spends a tenth looking for
// garbage. It is memory for time: at 200 a process has half as much again as its peak at 100.
const gcPercent = 200

// SpareGC has the process look for garbage less often. Whoever sets GOGC decides; a GOMEMLIMIT holds as ever.
func SpareGC() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
}
