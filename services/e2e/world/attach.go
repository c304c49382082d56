package world

import (
	"maps"

	"google.golang.org/grpc"

	"seatline.dev/pkg/giacom/giacomsim"
	"seatline.dev/pkg/halo/halosim"
	"seatline.dev/pkg/rpc"
	"seatline.dev/pkg/telemetry"
	"seatline.dev/services/seatline/ctl"
)

// Attach makes a world of services that run already, such as those of `seatline up`, and simulators at these URLs. It
// starts and ends nothing.
func Attach(e ctl.Endpoints, giacom *giacomsim.Sim, giacomURL string, halo *halosim.Sim, haloURL string) (*World, error) {
	w := &World{Giacom: giacom, Halo: halo, GiacomURL: giacomURL, HaloURL: haloURL, addrs: maps.Clone(e.Services), clients: map[string]*grpc.ClientConn{}}
	for service, addr := range e.Services {
		conn, err := rpc.Dial(rpc.Endpoint{Addr: addr, Token: telemetry.Secret(e.Token)})
		if err != nil {
			w.Close()
			return nil, err
		}
		w.clients[service] = conn
	}
	return w, nil
}
