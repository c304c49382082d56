package rpc

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// TLS names PEM files. On a server Cert and Key are its own and ClientCA verifies callers; on a
// client CA verifies the server, and Cert and Key, if any, are what it shows.
type TLS struct {
	Cert, Key string
	// ClientCA, servers only: lets callers authenticate with a certificate.
	ClientCA string
	// CA, clients only; empty with Enabled: the machine's own roots.
	CA string
	// Enabled, clients only: use TLS even without any file.
	Enabled bool
	// ServerName, clients only: what the server's certificate must say; default the host of the address.
	ServerName string
}

func (t TLS) enabled() bool { return t.Enabled || t.Cert != "" || t.CA != "" }

func (t TLS) server() (credentials.TransportCredentials, error) {
	if t.Cert == "" {
		return insecure.NewCredentials(), nil
	}
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", t.Cert, err)
	}
	config := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}
	if t.ClientCA != "" {
		if config.ClientCAs, err = pool(t.ClientCA); err != nil {
			return nil, err
		}
		// Probes and callers with a token show none.
		config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return credentials.NewTLS(config), nil
}

func (t TLS) client() (credentials.TransportCredentials, error) {
	if !t.enabled() {
		return insecure.NewCredentials(), nil
	}
	config := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.CA != "" {
		roots, err := pool(t.CA)
		if err != nil {
			return nil, err
		}
		config.RootCAs = roots
	}
	if t.Cert != "" {
		pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
		if err != nil {
			return nil, fmt.Errorf("certificate %s: %w", t.Cert, err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	return credentials.NewTLS(config), nil
}

func pool(path string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("CA certificates: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA certificates %s: no certificate in PEM form inside", path)
	}
	return roots, nil
}
