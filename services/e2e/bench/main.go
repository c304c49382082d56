// Command bench measures a whole Seatline against floors measured in the same run, because machines
// are noisy: an unchanged poll against decoding and COPYing the same rows, a consumer against raw
// JetStream with the same bytes and the same durability, and everything end to end. The simulators
// run in its own process, without latency or limits. It also counts what three jobs take of Halo's
// requests. It prints one JSON document on standard output and a table on standard error.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"seatline.dev/pkg/chassis"
	"seatline.dev/pkg/postgres/private"
)

// Report is the JSON document.
type Report struct {
	CPUs int    `json:"cpus"`
	Go   string `json:"go"`
	// Consumer: events per second through pkg/event.Consume, and through raw JetStream.
	Consumer Ratio  `json:"consumer_events_per_second"`
	Publish  Ratio  `json:"published_events_per_second"`
	Sizes    []Size `json:"sizes"`
	// Thrift is what jobs take of Halo's requests, with and without what is probed.
	Thrift []Thrift `json:"halo_requests_of_jobs,omitempty"`
}

// Ratio of ours to a floor of the same run.
type Ratio struct {
	Ours  float64 `json:"ours"`
	Floor float64 `json:"floor"`
	Ratio float64 `json:"ratio"`
}

func ratio(ours, floor float64) Ratio { return Ratio{ours, floor, ours / floor} }

// Latency in milliseconds, ours and that of a floor of the same run.
type Latency struct {
	Ours  float64 `json:"ours"`
	Floor float64 `json:"floor"`
}

// Size is what was measured with so many subscriptions.
type Size struct {
	Subscriptions int `json:"subscriptions"`
	// EndToEnd: subscriptions per second from the start of the first poll until every licence and
	// every line is in Halo and nothing would happen any more.
	EndToEnd float64 `json:"end_to_end_per_second"`
	Seconds  float64 `json:"end_to_end_seconds"`
	// UnchangedPoll: rows per second.
	UnchangedPoll Ratio `json:"unchanged_poll_rows_per_second"`
	// HaloRequests of the first import.
	HaloRequests map[string]int `json:"halo_requests"`
	// PeakMemory of each process, in MiB.
	PeakMemory map[string]float64 `json:"peak_memory_mib"`
	// LicencePage: a page of 100 licences over gRPC, and the same page from memory.
	LicencePage Latency `json:"licence_page_ms"`
}

func main() {
	chassis.SpareGC() // as in the processes that it measures
	if err := run(os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(out, table io.Writer) error {
	sizes := flag.String("sizes", "10000,100000", "subscriptions of each measurement, comma separated")
	lines := flag.Bool("lines", true, "let price rules add a line for every licence")
	licences := flag.Int("licences", 10_000, "new licences whose Halo requests are counted; 0 leaves that section out")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	dir, err := os.MkdirTemp("", "seatline-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil { // the server's user must get through
		return err
	}
	binary := filepath.Join(dir, "seatline")
	if text, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "seatline.dev/services/seatline").CombinedOutput(); err != nil {
		return fmt.Errorf("build seatline: %w\n%s", err, text)
	}
	server, err := private.Start(ctx, private.Config{Dir: filepath.Join(dir, "postgres"), Log: slog.New(slog.DiscardHandler), Durable: true, Temporary: true})
	if err != nil {
		return err
	}
	defer server.Stop()

	r := Report{CPUs: runtime.NumCPU(), Go: runtime.Version()}
	if err := r.events(ctx, dir, server.URL()); err != nil {
		return err
	}
	for _, text := range strings.Split(*sizes, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(text))
		if err != nil || n < 1 {
			return fmt.Errorf("--sizes: %q is not a number of subscriptions", text)
		}
		fmt.Fprintf(table, "measuring %d subscriptions…\n", n)
		size, err := measure(ctx, measurement{subscriptions: n, lines: *lines, binary: binary, dir: filepath.Join(dir, text), server: server.URL()})
		if err != nil {
			return fmt.Errorf("%d subscriptions: %w", n, err)
		}
		r.Sizes = append(r.Sizes, size)
	}
	if *licences > 0 {
		fmt.Fprintln(table, "counting Halo requests…")
		if r.Thrift, err = thrift(ctx, *licences, binary, dir, server.URL()); err != nil {
			return err
		}
	}
	r.table(table)
	thriftTable(table, r.Thrift)
	enc := json.NewEncoder(out)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func (r Report) table(to io.Writer) {
	t := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	defer t.Flush()
	fmt.Fprintf(t, "\nmeasure\tours\tfloor\tratio\n")
	row := func(name string, x Ratio) {
		fmt.Fprintf(t, "%s\t%.0f/s\t%.0f/s\t%.2f\n", name, x.Ours, x.Floor, x.Ratio)
	}
	row("events published", r.Publish)
	row("events consumed", r.Consumer)
	for _, s := range r.Sizes {
		row(fmt.Sprintf("unchanged poll, %d rows", s.Subscriptions), s.UnchangedPoll)
	}
	for _, s := range r.Sizes {
		fmt.Fprintf(t, "end to end, %d subscriptions\t%.0f/s\t\t(%.1f s)\n", s.Subscriptions, s.EndToEnd, s.Seconds)
		fmt.Fprintf(t, "page of 100 licences at %d\t%.2f ms\t%.2f ms\t%.2f\n", s.Subscriptions, s.LicencePage.Ours, s.LicencePage.Floor, s.LicencePage.Floor/s.LicencePage.Ours)
		total := 0
		for _, n := range s.HaloRequests {
			total += n
		}
		fmt.Fprintf(t, "Halo requests of the import\t%d\t\t\n", total)
		for _, name := range []string{"console", "fetcher", "mapper", "licence", "billing"} {
			fmt.Fprintf(t, "peak memory of %s\t%.0f MiB\t\t\n", name, s.PeakMemory[name])
		}
	}
}

// took is how long f took, in seconds.
func took(f func() error) (float64, error) {
	start := time.Now()
	err := f()
	return time.Since(start).Seconds(), err
}
