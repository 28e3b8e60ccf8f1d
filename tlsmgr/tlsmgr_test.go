package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
	"github.com/posthouse-mail/posthouse/pkg/tlskeys"
)

// write makes a certificate for the key and puts both in one file.
func write(t *testing.T, path string, key crypto.Signer) {
	t.Helper()
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "me.test"}, DNSNames: []string{"me.test"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: der})
	pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: cert})
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

func serve(t *testing.T, m *manager) *ipc.Pool {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	testkit.Serve(t, "unix", path, func(conn net.Conn) { m.session(context.Background(), conn) })
	return ipc.NewPool(path, time.Minute)
}

// shake does a handshake and returns what the client saw.
func shake(t *testing.T, server *tls.Config, client *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	b, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		s := tls.Server(a, server)
		if s.Handshake() == nil {
			s.Write([]byte("x"))
		}
		s.Close()
	}()
	c := tls.Client(b, client)
	c.SetDeadline(time.Now().Add(time.Minute))
	if err = c.Handshake(); err == nil {
		c.Read(make([]byte, 1))
	}
	return c.ConnectionState(), err
}

// TestHandshakes signs with each kind of key and protocol version through the
// socket.
func TestHandshakes(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		key  crypto.Signer
	}{{"rsa", rsaKey}, {"ecdsa", ecKey}, {"ed25519", edKey}} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(tc.name+tls.VersionName(version), func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "pem")
				write(t, file, tc.key)
				m := &manager{keys: load([]pair{{file, file}}, nil, maillog.Discard()), tickets: make(map[int]map[string]*ticketKeys)}
				cfg, err := tlskeys.NewClient(serve(t, m), "smtpd:smtp").Config(context.Background(), 0, 0)
				if err != nil {
					t.Fatal(err)
				}
				st, err := shake(t, cfg, &tls.Config{InsecureSkipVerify: true, MaxVersion: version})
				if err != nil || st.Version != version {
					t.Errorf("version %x, %v", st.Version, err)
				}
			})
		}
	}
}

// TestTicketOfAnotherService: a session ticket of port 25 must not resume a
// session elsewhere (P11).
func TestTicketOfAnotherService(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "pem")
	write(t, file, key)
	m := &manager{keys: load([]pair{{file, file}}, nil, maillog.Discard()), tickets: make(map[int]map[string]*ticketKeys)}
	pool := serve(t, m)
	config := func(service string) *tls.Config {
		cfg, err := tlskeys.NewClient(pool, service).Config(context.Background(), 0, 0)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	client := &tls.Config{InsecureSkipVerify: true, ServerName: "me.test", ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	for _, step := range []struct {
		service string
		resumed bool
	}{{"smtpd:smtp", false}, {"smtpd:smtp", true}, {"smtpd:submission", false}} {
		st, err := shake(t, config(step.service), client)
		if err != nil || st.DidResume != step.resumed {
			t.Errorf("%s: resumed %v, %v", step.service, st.DidResume, err)
		}
	}
}

func TestMismatchIsLeftOut(t *testing.T) {
	dir := t.TempDir()
	var files []string
	for _, n := range []string{"a", "b"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		f := filepath.Join(dir, n)
		write(t, f, key)
		files = append(files, f)
	}
	var out bytes.Buffer
	k := load([]pair{{files[0], files[1]}, {files[1], files[1]}, {"/nonexistent", "/nonexistent"}}, nil, maillog.NewWriter(&out, "tlsmgr"))
	if len(k.chains) != 1 || strings.Count(out.String(), "cannot use certificate") != 2 {
		t.Errorf("%d chains, log %q", len(k.chains), out.String())
	}
}

// TestLastGood: a pair that does not fit gives way to what it was before, and
// to nothing once that has gone.
func TestLastGood(t *testing.T) {
	dir := t.TempDir()
	file, store := filepath.Join(dir, "pair"), filepath.Join(dir, "store")
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	write(t, file, key)
	whole, _ := os.ReadFile(file)
	pairs := []pair{{file, file}}
	start := func() (*keyring, string) {
		t.Helper()
		good, err := openLastGood(store, pairs)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		return load(pairs, good, maillog.NewWriter(&out, "tlsmgr")), out.String()
	}
	if k, log := start(); len(k.chains) != 1 || log != "" {
		t.Fatalf("%d chains, log %q", len(k.chains), log)
	}
	saved, err := os.ReadDir(store)
	if err != nil || len(saved) != 1 {
		t.Fatalf("%v, %v", saved, err)
	}
	copied := filepath.Join(store, saved[0].Name())
	if info, err := os.Stat(copied); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "other"), other)
	text, _ := os.ReadFile(filepath.Join(dir, "other"))
	_, rest := pem.Decode(text)
	certOnly, _ := pem.Decode(rest)
	half := append(pem.EncodeToMemory(certOnly), whole...)
	os.WriteFile(file, half, 0o600)
	if k, log := start(); len(k.chains) != 1 || !strings.Contains(log, "using what they were on") || len(k.failed) != 1 {
		t.Errorf("half renewed: %d chains, log %q", len(k.chains), log)
	}
	// What others could have written does not count.
	os.Chmod(copied, 0o620)
	if k, log := start(); len(k.chains) != 0 || !strings.Contains(log, "nor what they were before") {
		t.Errorf("unsafe copy: %d chains, log %q", len(k.chains), log)
	}
	os.Chmod(copied, 0o600)
	os.Remove(file)
	if k, _ := start(); len(k.chains) != 0 {
		t.Error("a file that was removed is still in use")
	}
	pairs = nil
	start()
	if left, err := os.ReadDir(store); err != nil || len(left) != 0 {
		t.Error("the copy of a pair that is not configured stays")
	}
}

func TestSignRefuses(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	name, _ := tlskeys.KeyName(key.Public())
	k := &keyring{keys: map[string]crypto.Signer{name: key}}
	digest := make([]byte, 32)
	for _, tc := range []struct {
		what, name, scheme string
		hash               crypto.Hash
		digest             []byte
		ok                 bool
	}{
		{"good", name, tlskeys.SchemeECDSA, crypto.SHA256, digest, true},
		{"other key", "x", tlskeys.SchemeECDSA, crypto.SHA256, digest, false},
		{"short digest", name, tlskeys.SchemeECDSA, crypto.SHA256, digest[:5], false},
		{"no hash", name, tlskeys.SchemeECDSA, 0, digest, false},
		{"other scheme", name, tlskeys.SchemePSS, crypto.SHA256, digest, false},
		{"ed25519 of ecdsa", name, tlskeys.SchemeEd25519, 0, digest, false},
	} {
		if _, err := k.sign(tc.name, tc.scheme, tc.hash, tc.digest); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.what, err)
		}
	}
}

func TestTicketRotation(t *testing.T) {
	m := &manager{tickets: make(map[int]map[string]*ticketKeys)}
	now := time.Unix(1e9, 0)
	first := m.ticket(1, "a", now)
	if again := m.ticket(1, "a", now.Add(time.Minute)); again.Value("key0") != first.Value("key0") {
		t.Error("key changed too early")
	}
	next := m.ticket(1, "a", now.Add(rotation))
	if next.Value("key0") == first.Value("key0") || next.Value("key1") != first.Value("key0") {
		t.Error("no rotation, or the old key is gone")
	}
	late := m.ticket(1, "a", now.Add(10*rotation))
	if _, ok := late.Get("key1"); ok {
		t.Error("a key of long ago is still good")
	}
	if m.ticket(2, "a", now).Value("key0") == late.Value("key0") {
		t.Error("another user gets the keys of a service")
	}
	if m.ticket(1, "b", now).Value("key0") == first.Value("key0") {
		t.Error("two services share a key")
	}
}

func TestWatcher(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "cert.pem")
	os.WriteFile(file, []byte("x"), 0o600)
	w, err := newWatcher([]pair{{file, file}})
	if err != nil {
		t.Fatal(err)
	}
	if w.changed() {
		t.Error("changed at once")
	}
	os.WriteFile(filepath.Join(dir, "main.cf"), []byte("y"), 0o600)
	if w.changed(); !w.last.IsZero() {
		t.Error("another file counts")
	}
	os.WriteFile(file+".new", []byte("y"), 0o600)
	os.Rename(file+".new", file)
	if w.changed() {
		t.Error("changed before the files settled")
	}
	w.last = time.Now().Add(-settle)
	if !w.changed() {
		t.Error("change was not noticed")
	}
}

// TestHalfRenewed: while only one file of a pair has changed, the process with
// the old pair stays in service (TL3).
func TestHalfRenewed(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	renew := func(file string) {
		os.WriteFile(file+".new", []byte("y"), 0o600)
		os.Rename(file+".new", file)
	}
	renew(cert)
	renew(key)
	w, err := newWatcher([]pair{{cert, key}})
	if err != nil {
		t.Fatal(err)
	}
	after := func(d time.Duration) bool {
		w.changed()
		w.last = time.Now().Add(-d)
		return w.changed()
	}
	renew(cert)
	if after(settle) {
		t.Error("half a pair counts")
	}
	if !after(halfSettle) {
		t.Error("a new certificate for the old key is not noticed")
	}
	renew(key)
	if !after(settle) {
		t.Error("a whole pair is not noticed")
	}
	w.forget()
	if w.changed() || !w.last.IsZero() {
		t.Error("changes are not forgotten")
	}
}

// TestLoadWaitsForTheKey: the certificate is there before its key is.
func TestLoadWaitsForTheKey(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	for _, file := range []string{cert, key} {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		write(t, file, k)
	}
	time.AfterFunc(2*fitPause, func() {
		b, _ := os.ReadFile(cert)
		os.WriteFile(key+".new", b, 0o600)
		os.Rename(key+".new", key)
	})
	pairs := []pair{{cert, key}}
	w, err := newWatcher(pairs)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if k := loadFitting(pairs, w, nil, maillog.NewWriter(&out, "tlsmgr")); len(k.chains) != 1 || out.Len() > 0 {
		t.Errorf("%d chains, log %q", len(k.chains), out.String())
	}
	if w.changed(); !w.last.IsZero() {
		t.Error("a change that was seen counts again")
	}
}

// TestTicketServices: who asks for keys under many names loses the oldest of them,
// and nobody else loses any.
func TestTicketServices(t *testing.T) {
	m := &manager{tickets: make(map[int]map[string]*ticketKeys)}
	now := time.Now()
	key := func(uid int, name string) string {
		now = now.Add(time.Millisecond)
		return m.ticket(uid, name, now).Value("key0")
	}
	other, first, busy := key(1, "imap"), key(2, "smtpd"), key(2, "busy")
	for i := range 5 * maxServices {
		if key(2, "made up "+strconv.Itoa(i)) == "" {
			t.Fatal("no keys for a further service")
		}
		if key(2, "busy") != busy {
			t.Fatal("a service in use lost its keys")
		}
	}
	if key(1, "imap") != other {
		t.Error("another user's service lost its keys")
	}
	if again := key(2, "smtpd"); again == "" || again == first {
		t.Errorf("a service that was not used: %q, at first %q", again, first)
	}
	for uid := range 5 * maxUsers {
		key(100+uid, "x")
	}
	if len(m.tickets) > maxUsers || key(1, "imap") != other {
		t.Errorf("%d users", len(m.tickets))
	}
}
