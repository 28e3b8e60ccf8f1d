package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/sasl"
)

// Limits of a request of Courier.
const (
	maxCourierLine = 2048
	maxCourierData = 16 << 10
	courierWait    = time.Minute

	maxCourierRequests = 100 // on one connection
)

var errCourier = errors.New("malformed request of the authdaemon protocol")

// authdaemon serves Courier's protocol:
//
//	PRE . service login                 -> who is this
//	TCPREMOTEIP=address                 -> nothing: where the client is
//	AUTH length, and so many bytes:
//	  service, "login", login, password -> log in
//	  service, "cram-md5", challenge, response in base64
//
// each with attributes and a line ".", or FAIL. A temporary failure is the end
// of the connection.
func (g *gate) authdaemon(ctx context.Context, conn net.Conn) error {
	r := bufio.NewReaderSize(conn, maxCourierLine)
	rip := ""
	for range maxCourierRequests {
		conn.SetDeadline(time.Now().Add(courierWait))
		line, err := r.ReadSlice('\n')
		if errors.Is(err, io.EOF) && len(line) == 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("%w: %w", errCourier, err)
		}
		text := string(line[:len(line)-1])
		if ip, ok := strings.CutPrefix(text, "TCPREMOTEIP="); ok {
			rip = ip
			continue
		}
		reply, err := g.courier(ctx, r, text, rip)
		if err != nil {
			return err
		}
		conn.SetDeadline(time.Now().Add(courierWait))
		if _, err := io.WriteString(conn, reply); err != nil {
			return err
		}
	}
	return nil
}

const courierFail = "FAIL\n"

// courier answers one request.
func (g *gate) courier(ctx context.Context, r io.Reader, line, rip string) (string, error) {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "PRE":
		// PRE . imap you@example.com
		f := strings.SplitN(rest, " ", 3)
		if len(f) != 3 {
			return "", errCourier
		}
		u, err := g.auth.Lookup(ctx, f[2], f[1])
		if errors.Is(err, authclient.ErrUnknown) {
			return courierFail, nil
		}
		if err != nil {
			return "", err
		}
		return courierUser(u), nil
	case "AUTH":
		n, err := strconv.Atoi(rest)
		if err != nil || n < 0 || n > maxCourierData {
			return "", errCourier
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(r, data); err != nil {
			return "", fmt.Errorf("%w: %w", errCourier, err)
		}
		return g.courierAuth(ctx, string(data), rip)
	case "PASSWD":
		return courierFail, nil
	}
	return "", errCourier
}

func (g *gate) courierAuth(ctx context.Context, data, rip string) (string, error) {
	f := strings.Split(data, "\n")
	if len(f) < 4 {
		return "", errCourier
	}
	// Whether the client has TLS, only Courier knows.
	service, err := g.foreign(f[0])
	if err != nil {
		return courierFail, nil
	}
	p := authclient.Peer{Service: service, RemoteIP: rip, TLS: true}
	var step authclient.Step
	switch f[1] {
	case "login":
		step, err = g.auth.Plain(ctx, p, f[2], f[3])
	case "cram-md5":
		challenge, err1 := base64.StdEncoding.DecodeString(f[2])
		response, err2 := base64.StdEncoding.DecodeString(f[3])
		login, digest, err3 := sasl.SplitCRAM(response)
		if err := errors.Join(err1, err2, err3); err != nil {
			return courierFail, nil
		}
		step, err = g.auth.CRAMMD5(ctx, p, login, string(challenge), digest)
	default:
		return courierFail, nil
	}
	switch {
	case err != nil:
		return "", err
	case step.Outcome == authclient.Temporary:
		return "", authclient.ErrTemporary
	case step.Outcome != authclient.OK:
		return courierFail, nil
	}
	return courierUser(step.User), nil
}

// courierUser writes what Courier may know of a user: no password.
func courierUser(u *authclient.User) string {
	var b strings.Builder
	add := func(name, value string) {
		if value != "" && !strings.ContainsAny(value, "\n\x00") {
			fmt.Fprintf(&b, "%s=%s\n", name, value)
		}
	}
	if u.UID >= 0 && u.GID >= 0 {
		add("UID", strconv.Itoa(u.UID))
		add("GID", strconv.Itoa(u.GID))
	} else {
		add("USERNAME", u.Login)
	}
	add("HOME", u.Home)
	add("ADDRESS", u.Login)
	add("NAME", u.Name)
	add("MAILDIR", u.MailDir)
	add("QUOTA", u.Quota)
	var options []string
	for _, s := range u.Disabled {
		options = append(options, "disable"+s+"=1")
	}
	for name, value := range u.Options {
		options = append(options, name+"="+value)
	}
	add("OPTIONS", strings.Join(options, ","))
	return b.String() + ".\n"
}
