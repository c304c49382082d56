package bus

import (
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// The configuration that is shipped for a server apart keeps what the embedded one keeps: every acknowledged message is
// synced, and messages may be as large.
func TestTheShippedConfigurationOfNATS(t *testing.T) {
	o, err := server.ProcessConfigFile("../../deploy/nats/nats.conf")
	if err != nil {
		t.Fatal(err)
	}
	if !o.JetStream || !o.SyncAlways || o.MaxPayload != maxPayload || o.StoreDir != "/data/jetstream" || o.Port != 4222 || o.HTTPPort != 8222 {
		t.Errorf("JetStream %t, synced %t, max_payload %d, store %s, ports %d and %d", o.JetStream, o.SyncAlways, o.MaxPayload, o.StoreDir, o.Port, o.HTTPPort)
	}
}
