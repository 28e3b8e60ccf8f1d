package testkit

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"
)

// Database is a server that a test started, as an ordinary user and on
// loopback only. It ends with the test.
type Database struct {
	Dir  string // everything that it has
	Addr string // 127.0.0.1:port
	Port string
	cred *syscall.Credential
}

// newDatabase makes the directory of a server that will run as a user.
func newDatabase(t testing.TB, name string) *Database {
	t.Helper()
	NeedRoot(t)
	u, err := user.Lookup(name)
	if err != nil {
		t.Skipf("SKIPPED: %v", err)
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	dir, err := os.MkdirTemp("", "db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chown(dir, uid, gid); err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	port := FreePorts(t)
	return &Database{Dir: dir, Addr: loopback(port), Port: strconv.Itoa(port), cred: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}
}

// program finds a program of a server by a pattern, or skips the test.
func program(t testing.TB, pattern string) string {
	t.Helper()
	found, _ := filepath.Glob(pattern)
	if len(found) == 0 {
		t.Skipf("SKIPPED: no %s", pattern)
	}
	return found[len(found)-1]
}

func (d *Database) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Dir = d.Dir
	cmd.Env = append(os.Environ(), "TMPDIR="+d.Dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: d.cred}
	return cmd
}

func (d *Database) must(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := d.command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
}

// serve runs the server until the end of the test, and waits for its port.
func (d *Database) serve(t testing.TB, name string, args ...string) {
	t.Helper()
	cmd := d.command(name, args...)
	log, err := os.Create(filepath.Join(d.Dir, "output"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGQUIT)
		done := make(chan struct{})
		go func() { cmd.Wait(); close(done) }()
		select {
		case <-done:
		case <-time.After(patience):
			cmd.Process.Kill()
			<-done
		}
		if t.Failed() {
			out, _ := os.ReadFile(log.Name())
			t.Logf("%s said:\n%s", name, tail(string(out), 20))
		}
	})
	Wait(t, name, func() bool {
		c, err := net.DialTimeout("tcp", d.Addr, time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// Postgres starts a PostgreSQL server with the user test and the database
// test, and runs the given SQL.
func Postgres(t testing.TB, sql string) *Database {
	t.Helper()
	bin := filepath.Dir(program(t, "/usr/lib/postgresql/*/bin/initdb"))
	d := newDatabase(t, "postgres")
	data := filepath.Join(d.Dir, "data")
	d.must(t, filepath.Join(bin, "initdb"), "-D", data, "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	d.serve(t, filepath.Join(bin, "postgres"), "-D", data, "-k", d.Dir, "-h", "127.0.0.1", "-p", d.Port, "-F")
	psql := func(args ...string) error {
		return d.command("psql", append([]string{"-h", "127.0.0.1", "-p", d.Port, "-U", "test", "-v", "ON_ERROR_STOP=1", "-q"}, args...)...).Run()
	}
	Wait(t, "PostgreSQL", func() bool { return psql("-d", "postgres", "-c", "SELECT 1") == nil })
	if err := psql("-d", "postgres", "-c", "CREATE DATABASE test"); err != nil {
		t.Fatal(err)
	}
	if err := psql("-d", "test", "-c", sql); err != nil {
		t.Fatalf("%v: %s", err, sql)
	}
	return d
}

// MySQL starts a MariaDB server with the user test, whose password is
// testpw, and the database test, and runs the given SQL.
func MySQL(t testing.TB, sql string) *Database {
	t.Helper()
	server := program(t, "/usr/sbin/ma*iadbd")
	NeedTool(t, "mariadb-install-db")
	d := newDatabase(t, "mysql")
	data, socket := filepath.Join(d.Dir, "data"), filepath.Join(d.Dir, "sock")
	d.must(t, "mariadb-install-db", "--no-defaults", "--datadir="+data, "--tmpdir="+d.Dir, "--auth-root-authentication-method=normal", "--skip-test-db")
	d.serve(t, server, "--no-defaults", "--datadir="+data, "--tmpdir="+d.Dir, "--socket="+socket, "--bind-address=127.0.0.1", "--port="+d.Port,
		"--pid-file="+filepath.Join(d.Dir, "pid"), "--innodb-flush-log-at-trx-commit=0")
	Wait(t, "MariaDB", func() bool {
		return d.command("mariadb", "--no-defaults", "-S", socket, "-u", "root", "-e", "SELECT 1").Run() == nil
	})
	d.must(t, "mariadb", "--no-defaults", "-S", socket, "-u", "root", "-e",
		"CREATE DATABASE test; CREATE USER test@'%' IDENTIFIED BY 'testpw'; CREATE USER test@localhost IDENTIFIED BY 'testpw'; GRANT ALL ON test.* TO test@'%'; GRANT ALL ON test.* TO test@localhost; USE test; "+sql)
	return d
}

// LDAP starts slapd for dc=d,dc=test with what an LDIF text adds. The
// administrator is cn=admin,dc=d,dc=test with the password adminpw. Only
// the administrator can read passwords.
func LDAP(t testing.TB, ldif string) *Database {
	t.Helper()
	server := program(t, "/usr/sbin/slapd")
	d := newDatabase(t, "nobody")
	os.Mkdir(filepath.Join(d.Dir, "data"), 0o700)
	os.Chown(filepath.Join(d.Dir, "data"), int(d.cred.Uid), int(d.cred.Gid))
	conf := filepath.Join(d.Dir, "slapd.conf")
	text := fmt.Sprintf(`include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/nis.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile %[1]s/pid
database mdb
suffix "dc=d,dc=test"
rootdn "cn=admin,dc=d,dc=test"
rootpw adminpw
directory %[1]s/data
access to attrs=userPassword by anonymous auth by * none
access to * by * read
`, d.Dir)
	file := filepath.Join(d.Dir, "add.ldif")
	for name, content := range map[string]string{conf: text, file: ldif} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d.must(t, server, "-T", "add", "-f", conf, "-l", file)
	d.serve(t, server, "-f", conf, "-h", "ldap://"+d.Addr+"/", "-d", "0")
	return d
}
