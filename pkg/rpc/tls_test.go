package rpc

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	connectionv1 "seatline.dev/proto/seatline/connection/v1"
)

// authority signs certificates into a directory of the test.
type authority struct {
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	a := &authority{dir: t.TempDir()}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.cert, a.key = template, newKey(t)
	a.file, _ = a.issue(t, "ca", template)
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) issue(t *testing.T, name string, template *x509.Certificate) (certFile, keyFile string) {
	t.Helper()
	key := a.key
	if !template.IsCA {
		key = newKey(t)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(a.dir, name+".crt"), filepath.Join(a.dir, name+".key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func (a *authority) client(t *testing.T, name, unit string) TLS {
	cert, key := a.issue(t, name, &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{unit}}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	return TLS{Cert: cert, Key: key, CA: a.file}
}

func TestClientCertificateNamesCallerAndRole(t *testing.T) {
	ca := newAuthority(t)
	cert, key := ca.issue(t, "server", &x509.Certificate{
		SerialNumber: big.NewInt(3), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	})
	var caller Caller
	addr, _, _ := serve(t, Config{TLS: TLS{Cert: cert, Key: key, ClientCA: ca.file}}, func(ctx context.Context) (*connectionv1.Connection, error) {
		caller = CallerFrom(ctx)
		return &connectionv1.Connection{}, nil
	})
	get := func(tls TLS) error {
		client := connectionv1.NewConnectionServiceClient(dial(t, Endpoint{Addr: addr, TLS: tls}))
		_, err := client.GetConnection(t.Context(), &connectionv1.GetConnectionRequest{})
		return err
	}
	if err := get(ca.client(t, "alice", "viewer")); err != nil {
		t.Fatal(err)
	}
	if want := (Caller{Name: "alice", Role: RoleViewer}); caller != want {
		t.Errorf("caller %v, want %v", caller, want)
	}
	for name, tls := range map[string]TLS{
		"no certificate":              {CA: ca.file},
		"a unit that is no role":      ca.client(t, "bob", "sales"),
		"a certificate of another CA": withCA(newAuthority(t).client(t, "eve", "operator"), ca.file),
	} {
		if code := status.Code(get(tls)); code != codes.Unauthenticated && code != codes.Unavailable {
			t.Errorf("%s: %v", name, code)
		}
	}
}

func withCA(tls TLS, ca string) TLS { tls.CA = ca; return tls }
