package sqltable

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
)

// caConfig trusts the certificates of a file.
func caConfig(path string) (*tls.Config, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(b) {
		return nil, fmt.Errorf("%s: no certificate", path)
	}
	return &tls.Config{RootCAs: pool}, nil
}
