package world

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
)

// Sample is one value of a metric, as Prometheus reads it.
type Sample struct {
	Name   string
	Labels string // as written: a="b",c="d"
	Value  float64
}

// Metrics of a service's first replica, from its /metrics.
func (w *World) Metrics(ctx context.Context, service string) ([]Sample, error) {
	addr, err := w.httpAddr(service)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("metrics of %s: %s (%w)", service, answer.Status, err)
	}
	return samples(string(text))
}

// samples reads the text format: name{labels} value.
func samples(text string) (all []Sample, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		left, right := line, ""
		if i := strings.LastIndexByte(line, ' '); i > 0 {
			left, right = line[:i], line[i+1:]
		}
		s := Sample{}
		if s.Value, err = strconv.ParseFloat(right, 64); err != nil {
			return nil, fmt.Errorf("metric %q: %w", line, err)
		}
		s.Name, s.Labels, _ = strings.Cut(left, "{")
		s.Labels = strings.TrimSuffix(s.Labels, "}")
		all = append(all, s)
	}
	return all, nil
}

// httpAddr is where a process answers for health and metrics: a port that it chose, and told its log.
func (w *World) httpAddr(service string) (string, error) {
	p := w.Process(service, 0)
	if p == nil {
		return "", fmt.Errorf("no process of %s", service)
	}
	text, err := os.ReadFile(p.log)
	if err != nil {
		return "", err
	}
	addr := ""
	for line := range strings.Lines(string(text)) {
		var said struct{ Msg, HTTP string }
		if json.Unmarshal([]byte(line), &said) == nil && said.Msg == "serving" {
			addr = said.HTTP // of its last start
		}
	}
	if addr == "" {
		return "", fmt.Errorf("the log of %s does not say where it serves", service)
	}
	return addr, nil
}
