// Package refdovecot runs a private Dovecot as the reference that tests compare
// with, over Maildirs that the test gives it. The programs are Debian's; its
// configuration, sockets, state and log live in a temporary directory, and it
// listens on loopback ports of its own. Sessions of Courier's servers can be run
// too. It is for tests only.
package refdovecot

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// User is one user of the instance.
type User struct {
	Password string
	Home     string
	MailDir  string // the Maildir of the inbox
}

// Options say what the instance is to serve.
type Options struct {
	Users    map[string]User // by login
	UID, GID int             // whose the mailboxes are
	Dir      string          // holds everything; a temporary directory if empty
	Extra    string          // lines added to the configuration
	// Certificate and Key turn TLS on, with the ports for it.
	Certificate, Key string
}

// Instance is a Dovecot.
type Instance struct {
	Dir  string
	IMAP string // addresses, "127.0.0.1:port"
	POP3 string
	LMTP string
	// IMAPS and POP3S are those with TLS from the first byte.
	IMAPS, POP3S string

	run *exec.Cmd
	out bytes.Buffer
}

const config = `base_dir = %[1]s/run
state_dir = %[1]s/state
log_path = %[1]s/log
info_log_path = %[1]s/log
protocols = imap pop3 lmtp
%[2]s
disable_plaintext_auth = no
auth_mechanisms = plain login cram-md5 apop
auth_failure_delay = 0
auth_cache_size = 0
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
mail_max_userip_connections = 100000
lda_mailbox_autocreate = yes
recipient_delimiter = +
default_client_limit = 20000
default_process_limit = 20000
service imap {
  process_limit = 20000
}
service pop3 {
  process_limit = 20000
}
passdb {
  driver = passwd-file
  args = username_format=%%u %[1]s/users
}
userdb {
  driver = passwd-file
  args = username_format=%%u %[1]s/users
}
namespace inbox {
  inbox = yes
}
service anvil {
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service imap-login {
  inet_listener imap {
    address = 127.0.0.1
    port = %[3]d
  }
  inet_listener imaps {
    address = 127.0.0.1
    port = %[4]d
    ssl = yes
  }
}
service pop3-login {
  inet_listener pop3 {
    address = 127.0.0.1
    port = %[5]d
  }
  inet_listener pop3s {
    address = 127.0.0.1
    port = %[6]d
    ssl = yes
  }
}
service lmtp {
  inet_listener lmtp {
    address = 127.0.0.1
    port = %[7]d
  }
}
`

// Need skips a test where Dovecot cannot be run.
func Need(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIPPED: the reference Dovecot needs root")
	}
	for _, program := range []string{"/usr/sbin/dovecot", "/usr/lib/dovecot/imap", "/usr/lib/dovecot/pop3", "/usr/lib/dovecot/lmtp"} {
		if _, err := os.Stat(program); err != nil {
			t.Skipf("SKIPPED: no reference Dovecot: %v; tools/scripts/test-deps installs it", err)
		}
	}
}

// Start runs an instance, which is stopped when the test ends.
func Start(t testing.TB, o Options) *Instance {
	t.Helper()
	Need(t)
	dir := o.Dir
	if dir == "" {
		var err error
		// Not t.TempDir, whose long names leave no room in socket paths.
		if dir, err = os.MkdirTemp("", "dc"); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(dir) })
	}
	os.Chmod(dir, 0o755)
	d := &Instance{Dir: dir}
	port := testkit.FreePorts(t)
	for i, addr := range []*string{&d.IMAP, &d.IMAPS, &d.POP3, &d.POP3S, &d.LMTP} {
		*addr = fmt.Sprintf("127.0.0.1:%d", port+i)
	}
	tls := "ssl = no"
	if o.Certificate != "" {
		tls = fmt.Sprintf("ssl = yes\nssl_cert = <%s\nssl_key = <%s", o.Certificate, o.Key)
	}
	conf := fmt.Sprintf(config, dir, tls, port, port+1, port+2, port+3, port+4) + o.Extra + "\n"
	var users strings.Builder
	for login, u := range o.Users {
		fmt.Fprintf(&users, "%s:{PLAIN}%s:%d:%d::%s::userdb_mail=maildir:%s\n", login, u.Password, o.UID, o.GID, u.Home, u.MailDir)
	}
	for name, text := range map[string]string{"dovecot.conf": conf, "users": users.String()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d.start(t)
	t.Cleanup(func() { d.Stop(t) })
	return d
}

func (d *Instance) start(t testing.TB) {
	t.Helper()
	d.run = exec.Command("/usr/sbin/dovecot", "-F", "-c", filepath.Join(d.Dir, "dovecot.conf"))
	d.run.Stdout, d.run.Stderr = &d.out, &d.out
	if err := d.run.Start(); err != nil {
		t.Fatal(err)
	}
	for _, addr := range []string{d.IMAP, d.POP3, d.LMTP} {
		d.await(t, addr)
	}
}

// await waits until a service greets.
func (d *Instance) await(t testing.TB, addr string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		if err == nil {
			conn.SetDeadline(time.Now().Add(time.Minute))
			_, err = conn.Read(make([]byte, 64))
			conn.Close()
		}
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("Dovecot does not answer on %s: %v\n%s\n%s", addr, err, d.out.String(), d.Log())
		}
	}
}

// Stop ends the instance; the mailboxes stay.
func (d *Instance) Stop(t testing.TB) {
	t.Helper()
	if d.run == nil {
		return
	}
	d.run.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- d.run.Wait() }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		d.run.Process.Kill()
		<-done
	}
	d.run = nil
}

// PID is that of the master process.
func (d *Instance) PID() int { return d.run.Process.Pid }

// Log returns the log so far.
func (d *Instance) Log() string {
	text, _ := os.ReadFile(filepath.Join(d.Dir, "log"))
	return string(text)
}
