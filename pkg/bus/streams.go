package bus

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// StateStream holds the latest state of every entity, one message per subject.
	StateStream = "SEATLINE_STATE"
	// LogStream holds what happened, limited by age.
	LogStream = "SEATLINE_LOG"
	// BudgetBucket holds the request budget of each Halo instance.
	BudgetBucket = "SEATLINE_BUDGET"
)

// LogAge is how long the log stream keeps its messages.
const LogAge = 90 * 24 * time.Hour

// EnsureStreams makes the streams and the bucket, or brings them up to date.
func EnsureStreams(ctx context.Context, js jetstream.JetStream, replicas int) error {
	for _, c := range []jetstream.StreamConfig{
		{
			Name: StateStream, Subjects: []string{"seatline.v1.>"}, Storage: jetstream.FileStorage,
			MaxMsgsPerSubject: 1, AllowAtomicPublish: true, AllowDirect: true, Replicas: replicas,
			Description: "Seatline: the last message of each subject is the state of that entity",
		},
		{
			Name: LogStream, Subjects: []string{"seatline.log.v1.>"}, Storage: jetstream.FileStorage,
			MaxAge: LogAge, AllowAtomicPublish: true, AllowDirect: true, Replicas: replicas,
			Description: "Seatline: what happened, runs and changes",
		},
	} {
		if _, err := js.CreateOrUpdateStream(ctx, c); err != nil {
			return fmt.Errorf("stream %s: %w", c.Name, err)
		}
	}
	if _, err := js.CreateOrUpdateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: BudgetBucket, Replicas: replicas}); err != nil {
		return fmt.Errorf("bucket %s: %w", BudgetBucket, err)
	}
	return nil
}
