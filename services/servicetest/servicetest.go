// Package servicetest runs one service in a test, on a real database and a real NATS server.
package servicetest

import (
	"context"
	"testing"
	"time"

	"google.golang.org/grpc"

	"seatline.dev/pkg/bus/bustest"
	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/event/eventtest"
	"seatline.dev/pkg/postgres/postgrestest"
	"seatline.dev/pkg/rpc"
	connectionv1 "seatline.dev/proto/seatline/connection/v1"
	opsv1 "seatline.dev/proto/seatline/ops/v1"
	"seatline.dev/services/settled"
)

// Env is an empty schema, a bus of its own, and a listener that takes every caller for an operator.
func Env(t testing.TB) chassis.Env {
	t.Helper()
	return chassis.Env{
		Pool: postgrestest.New(t), Bus: bustest.New(t), Log: eventtest.Log(t),
		RPC: rpc.Config{Addr: "127.0.0.1:0", InsecureLoopback: true},
	}
}

// Start runs one replica of a service until the test ends or stop is called, which waits for its end, and connects to it.
func Start(t testing.TB, env chassis.Env, run func(context.Context, chassis.Env) error) (conn *grpc.ClientConn, stop func()) {
	t.Helper()
	listening := make(chan string, 1)
	env.Listening = func(addr string) { listening <- addr }
	stop = eventtest.Run(t, func(ctx context.Context) error { return run(ctx, env) })
	select {
	case addr := <-listening:
		conn, err := rpc.Dial(rpc.Endpoint{Addr: addr})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn, stop
	case <-time.After(30 * time.Second):
		t.Fatal("the service does not listen")
		return nil, nil
	}
}

// Settle waits until a service that follows so many entities has nothing left to do.
func Settle(t testing.TB, conn *grpc.ClientConn, entities int) {
	t.Helper()
	client := opsv1.NewOpsServiceClient(conn)
	activity, calm := int64(-1), 0
	eventtest.Eventually(t, "settled", func() bool {
		p, err := client.GetProgress(context.Background(), &opsv1.GetProgressRequest{})
		if err != nil {
			return false
		}
		if len(p.GetConsumers()) == entities && settled.Busy(p) == "" && p.GetActivity() == activity {
			calm++
		} else {
			calm = 0
		}
		activity = p.GetActivity()
		return calm >= 3
	})
}

// Secrets are those that the simulators accept, whatever the connection.
type Secrets struct{}

// GetSecrets makes Secrets stand in for the console.
func (Secrets) GetSecrets(context.Context, *connectionv1.GetConnectionRequest, ...grpc.CallOption) (*connectionv1.Secrets, error) {
	return &connectionv1.Secrets{GiacomApiKey: "sim-key", HaloClientSecret: "sim-secret"}, nil
}
