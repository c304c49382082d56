package main

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"seatline.dev/pkg/rpc"
)

// preferred listens on a port of loopback, or on any free one when that is taken. It is not looked first whether it is
// free: of two that start at the same moment both would find it so.
func preferred(port int) (net.Listener, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("listen on 127.0.0.1: %w", err)
	}
	return l, nil
}

// elsewhere says what to do about an address that somebody else listens on; flag names another. Other errors stay as
// they are.
func elsewhere(err error, flag string) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	return &rpc.Exit{Code: rpc.ExitRefused, Err: fmt.Errorf("%w\n→ something else listens there: stop it, or choose another address with %s", err, flag)}
}
