package dialog

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/authclient/authtest"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// build makes the binaries once per test run.
func build(t *testing.T) string {
	// The test cache knows only what the test itself looks at.
	for _, root := range []string{"../../smtpd", "../../trivial-rewrite", "../../tlsmgr", "../../anvil", "../../flush", "../../pkg"} {
		filepath.WalkDir(root, func(path string, _ fs.DirEntry, _ error) error {
			os.Stat(path)
			return nil
		})
	}
	dir := t.TempDir()
	cmd := exec.Command("go", "build", "-o", dir+"/", "../../smtpd", "../../trivial-rewrite", "../../tlsmgr", "../../anvil", "../../flush")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	os.Chmod(dir, 0o755)
	return dir
}

// instance is one smtpd with what it needs.
type instance struct {
	dir     string
	addr    string
	cleanup *cleanup
	log     *testkit.Log
	auth    *authtest.Server
}

const mainCF = `compatibility_level = 3.6
myhostname = ref.test
mydestination = here.test
inet_interfaces = 127.0.0.1
mynetworks = 127.0.0.2/32
local_recipient_maps = inline:{u=x,root=x}
alias_maps =
relay_domains = relay.test
relay_recipient_maps = inline:{r@relay.test=x}
virtual_alias_domains = alias.test
virtual_alias_maps = inline:{a@alias.test=u@here.test}

smtpd_error_sleep_time = 0
`

func start(t *testing.T, bin string, settings []string) *instance {
	dir, err := os.MkdirTemp("", "dialog")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	for _, d := range []string{"etc", "spool", "spool/public", "spool/private", "spool/pid", "data"} {
		os.Mkdir(filepath.Join(dir, d), 0o755)
	}
	owner := "mail_owner = daemon\nsetgid_group = mail\ntls_owner = daemon\n"
	if os.Getuid() != 0 {
		owner = ""
	}
	for i, l := range settings {
		settings[i] = strings.ReplaceAll(l, "DIR", filepath.Join(dir, "etc"))
	}
	conf := mainCF + owner + fmt.Sprintf("queue_directory = %s/spool\ndata_directory = %s/data\ndaemon_directory = %s\nmaillog_file = /dev/stdout\n", dir, dir, bin) +
		strings.Join(settings, "\n") + "\n"
	for name, text := range map[string]string{"main.cf": conf, "master.cf": "", "hosts": "127.0.0.1 localhost\n", "resolv.conf": "nameserver 127.0.0.1:9\n"} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	in := &instance{dir: dir, log: &testkit.Log{}, cleanup: &cleanup{}, addr: testkit.FreeAddr(t)}
	serveLog(t, in.log, filepath.Join(dir, "spool/public/postlog"))
	in.cleanup.serve(t, filepath.Join(dir, "spool/public/cleanup"))
	etc := filepath.Join(dir, "etc")
	in.run(t, filepath.Join(bin, "trivial-rewrite"), "-c", etc, "-n", "rewrite", "-t", "unix", "--listen", filepath.Join(dir, "spool/private/rewrite"))
	in.run(t, filepath.Join(bin, "anvil"), "-c", etc, "-n", "anvil", "-t", "unix", "--listen", filepath.Join(dir, "spool/private/anvil"))
	in.run(t, filepath.Join(bin, "flush"), "-c", etc, "-n", "flush", "-t", "unix", "--listen", filepath.Join(dir, "spool/public/flush"))
	if strings.Contains(conf, "smtpd_tls") {
		makeCertificate(t, etc)
		in.run(t, filepath.Join(bin, "tlsmgr"), "-c", etc, "-n", "tlsmgr", "-t", "unix", "--listen", filepath.Join(dir, "spool/private/tlsmgr"))
	}
	if strings.Contains(conf, "smtpd_sasl") && !strings.Contains(conf, "= dovecot") {
		in.auth = authtest.New(t, authtest.Account{User: authclient.User{Login: "me@here.test", UID: 1000, GID: 1000,
			Aliases: []string{"ich@here.test"}}, Password: "secret"})
		in.auth.Listen(t, filepath.Join(dir, "spool/private/authd"))
	}
	in.run(t, filepath.Join(bin, "smtpd"), "-c", etc, "-n", "smtp", "-t", "inet", "--listen", in.addr)
	in.await(t, "smtpd", func() bool {
		c, err := net.Dial("tcp", in.addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return in
}

func (in *instance) run(t *testing.T, name string, args ...string) {
	if os.Getuid() == 0 {
		// In the jail, as master would start it.
		args = append([]string{"-u", "-j"}, args...)
	}
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = in.log, in.log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	path := args[len(args)-1]
	if filepath.IsAbs(path) {
		// master makes such sockets open to all inside a closed folder.
		in.await(t, name, func() bool { return os.Chmod(path, 0o666) == nil })
	}
}

// await waits until a daemon listens.
func (in *instance) await(t *testing.T, name string, ok func() bool) {
	t.Helper()
	defer func() {
		if t.Failed() {
			t.Logf("log:\n%s", in.log.String())
		}
	}()
	testkit.Wait(t, name+" to listen", ok)
}

// serveLog stands in for postlogd.
func serveLog(t *testing.T, l *testkit.Log, path string) {
	conn, err := net.ListenPacket("unixgram", path)
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(path, 0o666)
	t.Cleanup(func() { conn.Close() })
	go func() {
		buf := make([]byte, 64<<10)
		for {
			n, _, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			fmt.Fprintf(l, "%s\n", buf[:n])
		}
	}()
}

// message is what cleanup got.
type message struct {
	sender  string
	rcpts   []string
	attrs   []string
	headers []string // the Received header of ours
	lines   []string
}

// cleanup stands in for cleanup(8): it takes every message.
type cleanup struct {
	mu   sync.Mutex
	msgs []message
}

func (c *cleanup) all() []message {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.msgs
}

func (c *cleanup) serve(t *testing.T, path string) {
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(path, 0o666)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go c.session(ipc.NewConn(conn))
		}
	}()
}

func (c *cleanup) session(conn *ipc.Conn) {
	defer conn.Close()
	for {
		if _, err := conn.Receive(); err != nil {
			return
		}
		conn.Send(ipc.List{}.Str("queue_id", "4ABCDEF0123"))
		m, err := readMessage(conn)
		if err != nil {
			return
		}
		c.mu.Lock()
		c.msgs = append(c.msgs, m)
		c.mu.Unlock()
		conn.Send(ipc.List{}.Int("status", 0).Str("reason", ""))
	}
}

func readMessage(conn *ipc.Conn) (message, error) {
	var m message
	content, long, received := false, "", true
	for {
		kind, err := conn.Reader().ReadByte()
		if err != nil {
			return m, err
		}
		n := 0
		for shift := 0; ; shift += 7 {
			b, err := conn.Reader().ReadByte()
			if err != nil {
				return m, err
			}
			n |= int(b&0x7f) << shift
			if b < 0x80 {
				break
			}
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(conn.Reader(), data); err != nil {
			return m, err
		}
		text := string(data)
		switch {
		case kind == 'E':
			return m, nil
		case kind == 'M':
			content = true
		case kind == 'S':
			m.sender = text
		case kind == 'R':
			m.rcpts = append(m.rcpts, text)
		case kind == 'A':
			m.attrs = append(m.attrs, text)
		case content && kind == 'L':
			long += text
		case content && kind == 'N':
			line := long + text
			long = ""
			if received = received && (strings.HasPrefix(line, "Received: ") && len(m.headers) == 0 || strings.HasPrefix(line, "\t") && len(m.headers) > 0); received {
				m.headers = append(m.headers, line)
			} else {
				m.lines = append(m.lines, line)
			}
		}
	}
}
