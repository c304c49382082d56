package web

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificate for this machine, in files.
func certificate(t *testing.T) (cert, key string, roots *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(parsed)
	return cert, key, roots
}

func TestOverTLSCookiesStayThere(t *testing.T) {
	cert, key, roots := certificate(t)
	s := start(t, func(c *Config) { c.TLSCert, c.TLSKey = cert, key })
	if !strings.HasPrefix(s.URL(), "https://") {
		t.Fatalf("it is at %s", s.URL())
	}
	p := s.visitor(t)
	p.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}
	link, _, err := s.store.NewLink(t.Context(), olga)
	if err != nil {
		t.Fatal(err)
	}
	r := p.get(strings.TrimPrefix(s.SignInLink()(link), s.URL()))
	set := strings.Join(r.header.Values("Set-Cookie"), "\n")
	if r.status != http.StatusSeeOther || !strings.Contains(set, "__Host-seatline-session=") || !strings.Contains(set, "Secure") || !strings.Contains(set, "Path=/;") || strings.Contains(set, "Domain") {
		t.Errorf("answers %d with the cookies %q", r.status, set)
	}
	if r := p.get("/c/acme"); r.status != http.StatusOK || r.header.Get("Strict-Transport-Security") == "" {
		t.Errorf("answers %d, HSTS %q", r.status, r.header.Get("Strict-Transport-Security"))
	}
	if _, err := New(Config{Addr: "127.0.0.1:0", TLSCert: key, TLSKey: cert}, s.store); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("files the wrong way round: %v", err)
	}
}
