package main

import (
	"context"
	"sync"

	"google.golang.org/grpc"

	"seatline.dev/pkg/rpc"
	"seatline.dev/services/overview"
	"seatline.dev/services/seatline/ctl"
)

// addresses of services, for those who wait until they are known.
type addresses struct {
	mu    sync.Mutex
	known map[string]string
	ready map[string]chan struct{} // closed when known has it
}

func newAddresses() *addresses {
	a := &addresses{known: map[string]string{}, ready: map[string]chan struct{}{}}
	for _, service := range ctl.Services() {
		a.ready[service] = make(chan struct{})
	}
	return a
}

// set is called once for each service.
func (a *addresses) set(service, addr string) {
	a.mu.Lock()
	a.known[service] = addr
	a.mu.Unlock()
	close(a.ready[service])
}

// wait returns the address of a service as soon as it is known.
func (a *addresses) wait(ctx context.Context, service string) (string, error) {
	select {
	case <-a.ready[service]:
		a.mu.Lock()
		defer a.mu.Unlock()
		return a.known[service], nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// addresses that were given.
func (s settings) addresses() *addresses {
	a := newAddresses()
	for service, addr := range map[string]string{
		ctl.Console: s.ConsoleAddr, ctl.Fetcher: s.FetcherAddr, ctl.Mapper: s.MapperAddr, ctl.Licence: s.LicenceAddr, ctl.Billing: s.BillingAddr,
	} {
		a.set(service, addr)
	}
	return a
}

// peer is a connection to another service. It is made when it is first used: within one process the
// services start side by side, and know each other's addresses only when all are up.
type peer struct {
	host    *host
	service string

	mu   sync.Mutex
	conn *grpc.ClientConn
}

func (p *peer) connect(ctx context.Context) (*grpc.ClientConn, error) {
	addr, err := p.host.where.wait(ctx, p.service)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		p.conn, err = rpc.Dial(rpc.Endpoint{Addr: addr, Token: p.host.ServiceToken, TLS: rpc.TLS{CA: p.host.ConsoleCA}, Telemetry: p.host.tel})
	}
	return p.conn, err
}

// Invoke is part of grpc.ClientConnInterface.
func (p *peer) Invoke(ctx context.Context, method string, args, reply any, options ...grpc.CallOption) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	return conn.Invoke(ctx, method, args, reply, options...)
}

// NewStream is part of grpc.ClientConnInterface.
func (p *peer) NewStream(ctx context.Context, desc *grpc.StreamDesc, method string, options ...grpc.CallOption) (grpc.ClientStream, error) {
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	return conn.NewStream(ctx, desc, method, options...)
}

func (p *peer) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn != nil {
		p.conn.Close()
	}
}

// services that the console asks, and how they are let go of.
func (h *host) services() (overview.Services, func()) {
	all := map[string]*peer{}
	for _, service := range ctl.Services() {
		all[service] = &peer{host: h, service: service}
	}
	return overview.Services{Console: all[ctl.Console], Fetcher: all[ctl.Fetcher], Mapper: all[ctl.Mapper], Licence: all[ctl.Licence], Billing: all[ctl.Billing]}, func() {
		for _, p := range all {
			p.close()
		}
	}
}
