package web

import (
	"context"
	"time"

	"seatline.dev/pkg/rpc"
	"seatline.dev/services/console/web/ui"
)

// askHalo calls a service that asks Halo in turn, and gives up in time for somebody who waits in front of
// a page: services try for longer.
func (v *visit) askHalo(call func(context.Context) error) error {
	return v.waitFor(v.s.cfg.Patience, call)
}

// askHaloForAll is askHalo where all of Halo's customers are read.
func (v *visit) askHaloForAll(call func(context.Context) error) error {
	return v.waitFor(4*v.s.cfg.Patience, call)
}

func (v *visit) waitFor(patience time.Duration, call func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(v.ctx(), patience)
	defer cancel()
	err := call(ctx)
	if err != nil && ctx.Err() != nil && v.ctx().Err() == nil {
		return rpc.Unavailable("HALO_SILENT", 0, "Halo did not answer within %s", ui.Span(patience)).Do("check the connection, and look how things stand before you try again")
	}
	return err
}
