package console

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"seatline.dev/pkg/chassis"
	accessv1 "seatline.dev/proto/seatline/access/v1"
	"seatline.dev/services/console/web"
	"seatline.dev/services/console/web/access"
	"seatline.dev/services/overview"
)

// Pages is how the web console is served.
type Pages struct {
	// Config without its Services, Log and Clock, which are the service's own. An empty Addr: no pages.
	web.Config
	// Idle ends a session that nobody used for so long, by default 2 h; Max ends each, by default after 12 h.
	Idle, Max time.Duration
}

// site is the web console with its part of gRPC.
type site struct {
	access *access.Server
	pages  *web.Server // nil: none
}

func newSite(env chassis.Env, services overview.Services, cfg Pages) (*site, error) {
	store := &access.Store{Pool: env.Pool, Clock: env.Clock, Idle: cfg.Idle, Max: cfg.Max}
	if store.Idle <= 0 {
		store.Idle = 2 * time.Hour
	}
	if store.Max <= 0 {
		store.Max = 12 * time.Hour
	}
	s := &site{access: &access.Server{Store: store, Log: env.Log}}
	if cfg.Addr == "" {
		return s, nil
	}
	cfg.Services, cfg.Log, cfg.Clock = services, env.Log, env.Clock
	pages, err := web.New(cfg.Config, store)
	if err != nil {
		return nil, err
	}
	s.pages, s.access.Link = pages, pages.SignInLink()
	return s, nil
}

func (s *site) register(r grpc.ServiceRegistrar) { accessv1.RegisterAccessServiceServer(r, s.access) }

func (s *site) loops() []func(context.Context) error {
	if s.pages == nil {
		return nil
	}
	return []func(context.Context) error{s.pages.Serve}
}

func (s *site) close() {
	if s.pages != nil {
		s.pages.Close()
	}
}
