//go:build linux

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"
)

// site is where one server runs, and what for.
type site struct {
	dir    string
	binary string // the contender's own copy of caddy
	// plain, secure and publish are addresses, host:port.
	plain, secure, publish string
	certificate, key       string
	touches, logs          string // directories of files that are touched, and that lines are appended to
	root, php              string // the pages' directory and php-fpm's socket
}

func (s site) path(name string) string { return filepath.Join(s.dir, name) }

// listen chooses three free ports.
func (s *site) listen() error {
	for _, address := range []*string{&s.plain, &s.secure, &s.publish} {
		var err error
		if *address, err = freeAddress(); err != nil {
			return err
		}
	}
	return nil
}

// certify makes a certificate for localhost, the same for all servers.
func certify(certificate, key string) error {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return err
	}
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644); err != nil {
		return err
	}
	return os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600)
}
