package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// saslauthd is a source that only checks passwords: Cyrus's saslauthd, with
// PAM, Kerberos or whatever is behind it.
type saslauthd struct{ path string }

// saslauthdTime bounds a check; PAM modules take their time on failures.
const saslauthdTime = 30 * time.Second

func openSaslauthd(path string) (source, error) {
	if !strings.HasPrefix(path, "/") {
		return nil, errors.New("the name of the socket must begin with /")
	}
	return &saslauthd{path}, nil
}

func (s *saslauthd) name() string       { return "saslauthd" }
func (s *saslauthd) serves(string) bool { return false }
func (s *saslauthd) hashless() bool     { return true }

// unsure: it knows no users, and so each login could be one.
func (s *saslauthd) unsure() bool { return true }

func (s *saslauthd) lookup(_ context.Context, login, _ string) (*found, error) {
	r := &userdb.Record{Login: login, UID: -1, GID: -1}
	return &found{rec: r, check: func(ctx context.Context, password string, p authclient.Peer) (bool, error) {
		return s.check(ctx, login, password, serviceOf(p))
	}}, nil
}

// check speaks saslauthd's protocol: login, password, service and realm, each
// behind its length in two bytes; the reply is one such string, which begins
// with OK or NO.
func (s *saslauthd) check(ctx context.Context, login, password, service string) (bool, error) {
	d := net.Dialer{Timeout: saslauthdTime}
	conn, err := d.DialContext(ctx, "unix", s.path)
	if err != nil {
		return false, fmt.Errorf("saslauthd: %w", err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(saslauthdTime))
	user, realm, _ := strings.Cut(login, "@")
	var req []byte
	for _, f := range []string{user, password, service, realm} {
		if len(f) > 1024 {
			return false, nil
		}
		req = binary.BigEndian.AppendUint16(req, uint16(len(f)))
		req = append(req, f...)
	}
	if _, err := conn.Write(req); err != nil {
		return false, fmt.Errorf("saslauthd: %w", err)
	}
	return readSaslauthd(conn)
}

func readSaslauthd(r io.Reader) (bool, error) {
	var n [2]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return false, fmt.Errorf("saslauthd: read reply: %w", err)
	}
	reply := make([]byte, min(int(binary.BigEndian.Uint16(n[:])), 1024))
	if _, err := io.ReadFull(r, reply); err != nil {
		return false, fmt.Errorf("saslauthd: read reply: %w", err)
	}
	switch {
	case strings.HasPrefix(string(reply), "OK"):
		return true, nil
	case strings.HasPrefix(string(reply), "NO"):
		return false, nil
	}
	return false, errors.New("saslauthd: a reply that is neither OK nor NO")
}
