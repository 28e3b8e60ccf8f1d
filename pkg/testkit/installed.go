package testkit

import (
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// Installed installs the suite under a temporary prefix with `make install`,
// as root, and returns it as an instance with the privileges of a packaged
// installation. It is laid out like others: etc, spool, data, log and mail in
// one directory; the commands are in usr/sbin, the daemons in usr/lib.
func Installed(t testing.TB) *Instance {
	t.Helper()
	NeedRoot(t)
	// The accounts and mailboxes of an instance; its configuration gives way.
	i := New(t)
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	model := i.Must(t, "postconf", "-n")
	usr := filepath.Join(i.Dir, "usr")
	for _, name := range []string{"main.cf", "master.cf"} {
		if out, err := exec.Command("rm", i.Etc(name)).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	cmd := exec.Command("make", "-s", "install", "PREFIX="+usr, "confdir="+i.Etc(""))
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make install: %v\n%s", err, out)
	}
	i.bin = filepath.Join(usr, "sbin")
	for _, line := range strings.Split(strings.TrimSpace(model), "\n") {
		if !strings.HasPrefix(line, "daemon_directory") && !strings.HasPrefix(line, "command_directory") {
			i.Set(t, line)
		}
	}
	for n, service := range []string{"smtp", "submission", "submissions", "imap", "imaps", "pop3", "pop3s"} {
		i.Must(t, "postconf", "-F", service+"/inet/service=127.0.0.1:"+strconv.Itoa(i.Port+n))
	}
	i.Must(t, "posthouse", "set-permissions")
	return i
}
