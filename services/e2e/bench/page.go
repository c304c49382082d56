package main

import (
	"context"
	"log/slog"
	"sync/atomic"

	"seatline.dev/pkg/rpc"
	licencev1 "seatline.dev/proto/seatline/licence/v1"
	"seatline.dev/services/e2e/world"
	"seatline.dev/services/seatline/ctl"
)

// licencePage walks through the licences in pages of 100, and has each page said again from memory by a server that has
// it at hand: what is left is gRPC with the same messages, both ways. Medians, in milliseconds.
func licencePage(ctx context.Context, w *world.World) (Latency, error) {
	echo, client, err := serveEcho(ctx)
	if err != nil {
		return Latency{}, err
	}
	defer echo.stop()
	licences := licencev1.NewLicenceServiceClient(w.Client(ctl.Licence))
	req := &licencev1.ListLicencesRequest{PageSize: 100, Filter: `connection = "acme"`}
	ask := func(of licencev1.LicenceServiceClient) (resp *licencev1.ListLicencesResponse, ms float64, err error) {
		seconds, err := took(func() error {
			resp, err = of.ListLicences(ctx, req)
			return err
		})
		return resp, seconds * 1000, err
	}
	var ours, floors []float64
	const warm, pages = 50, 300
	for i := range warm + pages {
		resp, own, err := ask(licences)
		if err != nil {
			return Latency{}, err
		}
		echo.page.Store(resp)
		_, floor, err := ask(client)
		if err != nil {
			return Latency{}, err
		}
		if i >= warm {
			ours, floors = append(ours, own), append(floors, floor)
		}
		req.PageToken = resp.GetNextPageToken() // after the last page the first one comes again
	}
	return Latency{Ours: median(ours), Floor: median(floors)}, nil
}

// echo answers with the page that it was given.
type echo struct {
	licencev1.UnimplementedLicenceServiceServer
	page atomic.Pointer[licencev1.ListLicencesResponse]
	stop context.CancelFunc
}

func (e *echo) ListLicences(context.Context, *licencev1.ListLicencesRequest) (*licencev1.ListLicencesResponse, error) {
	return e.page.Load(), nil
}

func serveEcho(ctx context.Context) (*echo, licencev1.LicenceServiceClient, error) {
	server, err := rpc.NewServer(rpc.Config{Addr: "127.0.0.1:0", InsecureLoopback: true}, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	e := &echo{stop: cancel}
	licencev1.RegisterLicenceServiceServer(server, e)
	go func() { _ = server.Serve(ctx) }() // until stop; what ends it sooner, the client tells
	conn, err := rpc.Dial(rpc.Endpoint{Addr: server.Addr()})
	if err != nil {
		cancel()
		return nil, nil, err
	}
	context.AfterFunc(ctx, func() { _ = conn.Close() })
	return e, licencev1.NewLicenceServiceClient(conn), nil
}
