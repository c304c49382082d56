package ctl

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Service names in the order in which a seat travels through them.
const (
	Console = "console"
	Fetcher = "fetcher"
	Mapper  = "mapper"
	Licence = "licence"
	Billing = "billing"
)

// Services in that order.
func Services() []string { return []string{Console, Fetcher, Mapper, Licence, Billing} }

// DefaultPort of a service's gRPC, as `seatline serve` and the containers use it.
func DefaultPort(service string) int {
	return map[string]int{Console: 7701, Fetcher: 7702, Mapper: 7703, Licence: 7704, Billing: 7705}[service]
}

// DefaultDataDir is where `seatline up` keeps its data, below the directory it is started in.
const DefaultDataDir = ".seatline"

const endpointsFile = "endpoints.json"

// Endpoints is what `seatline up` leaves in its data directory for the operator's commands.
type Endpoints struct {
	// Services maps names to gRPC addresses, host:port.
	Services map[string]string `json:"services"`
	// Token of an operator.
	Token string `json:"token"`
	// NATS is the URL of the bus.
	NATS string `json:"nats"`
	// Web is the URL of the web UI; Metrics that of /metrics. Empty when there is none.
	Web     string `json:"web,omitempty"`
	Metrics string `json:"metrics,omitempty"`
	// PID of the process that serves them.
	PID int `json:"pid"`
}

// WriteEndpoints puts the file there whole or not at all, readable by its owner only: it holds a token.
func WriteEndpoints(dataDir string, e Endpoints) error {
	content, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return fmt.Errorf("endpoints file: %w", err)
	}
	path := filepath.Join(dataDir, endpointsFile)
	temporary, err := os.CreateTemp(dataDir, endpointsFile+".*") // mode 0600
	if err != nil {
		return fmt.Errorf("endpoints file: %w", err)
	}
	defer os.Remove(temporary.Name())
	_, err = temporary.Write(append(content, '\n'))
	if err = errors.Join(err, temporary.Close()); err != nil {
		return fmt.Errorf("endpoints file: %w", err)
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return fmt.Errorf("endpoints file: %w", err)
	}
	return nil
}

// RemoveEndpoints is for the end of `seatline up`.
func RemoveEndpoints(dataDir string) error {
	err := os.Remove(filepath.Join(dataDir, endpointsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ReadEndpoints returns zero Endpoints when there is no file.
func ReadEndpoints(dataDir string) (Endpoints, error) {
	var e Endpoints
	content, err := os.ReadFile(filepath.Join(dataDir, endpointsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return e, nil
	}
	if err != nil {
		return e, fmt.Errorf("endpoints file: %w", err)
	}
	if err := json.Unmarshal(content, &e); err != nil {
		return e, fmt.Errorf("endpoints file %s: %w", filepath.Join(dataDir, endpointsFile), err)
	}
	return e, nil
}
