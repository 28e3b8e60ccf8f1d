package scenario

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// newcomer is somebody without rights who types what init and README tell.
type newcomer struct {
	t    *testing.T
	env  []string
	cred *syscall.Credential
}

func (n *newcomer) shell(line string) *exec.Cmd {
	cmd := exec.Command("sh", "-c", line)
	cmd.Dir, cmd.Env = "/", n.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: n.cred, Setpgid: true}
	return cmd
}

// types runs a line and returns what it prints.
func (n *newcomer) types(line string) string {
	n.t.Helper()
	out, err := n.shell(line).CombinedOutput()
	if err != nil {
		n.t.Errorf("%s: %v\n%s", line, err, out)
	}
	return string(out)
}

// readmeLines returns the commands of README's first ten minutes, for an
// instance that is elsewhere.
func readmeLines(t *testing.T, bin, dir string) []string {
	t.Helper()
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	text := read(t, filepath.Join(root, "README.md"))
	_, text, _ = strings.Cut(text, "## First ten minutes")
	text, _, _ = strings.Cut(text, "\n## ")
	var lines []string
	for _, line := range strings.Split(text, "\n") {
		command, ok := strings.CutPrefix(line, "    ")
		if !ok {
			continue
		}
		command, _, _ = strings.Cut(command, "  #")
		words := strings.NewReplacer("bin/", bin+"/", " run/", " "+dir+"/")
		lines = append(lines, strings.TrimSpace(words.Replace(command)))
	}
	if len(lines) < 7 {
		t.Fatalf("README's first ten minutes have only %q", lines)
	}
	return lines
}

// TestTenMinutes: somebody without rights makes an instance, and each line that
// init prints, and then each of README's first ten minutes, does what it says.
func TestTenMinutes(t *testing.T) {
	t.Parallel()
	bin := testkit.Bin(t)
	n := &newcomer{t: t, env: append(os.Environ(), "HOME=/", "LC_ALL=C")}
	var opts []testkit.Option
	if os.Geteuid() == 0 {
		n.cred = &syscall.Credential{Uid: 65534, Gid: 65534}
		opts = append(opts, testkit.AsUser(65534, 65534))
	}
	// The kit's own instance lends its ports and is never started.
	lent := testkit.New(t, opts...)
	dir := filepath.Join(lent.Dir, "run")
	said := n.types(fmt.Sprintf("%s/posthouse init --dir %s --domain example.test --user you@example.test --base-port %d", bin, dir, lent.Port))
	hint := func(name string) string {
		t.Helper()
		m := regexp.MustCompile(`(?m)^  ` + name + `: +(.*)$`).FindStringSubmatch(said)
		if m == nil {
			t.Fatalf("init says nothing of %q:\n%s", name, said)
		}
		return m[1]
	}
	_, password, _ := strings.Cut(said, "password of you@example.test: ")
	password, _, _ = strings.Cut(password, "\n")
	if password == "" {
		t.Fatalf("no password:\n%s", said)
	}

	var out bytes.Buffer
	master := n.shell("exec " + hint("start"))
	master.Stdout, master.Stderr = &out, &out
	if err := master.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- master.Wait() }()
	t.Cleanup(func() { n.shell(bin + "/posthouse -c " + dir + "/etc abort").Run() })
	_, stop, _ := strings.Cut(hint("stop"), "or ")
	testkit.Wait(t, "running mail system", func() bool {
		return n.shell(bin+"/posthouse -c "+dir+"/etc status").Run() == nil
	})

	messages := 0
	arrived := func() {
		t.Helper()
		messages++
		testkit.Wait(t, strconv.Itoa(messages)+" messages", func() bool {
			landed, _ := filepath.Glob(hint("it lands in") + "/*")
			seen, _ := filepath.Glob(filepath.Dir(hint("it lands in")) + "/cur/*")
			return len(landed)+len(seen) >= messages
		})
	}
	n.types(hint("send, by hand"))
	arrived()
	if _, err := exec.LookPath("swaks"); err == nil {
		n.types(hint("send, by SMTP"))
		arrived()
	}
	imap := regexp.MustCompile(`IMAP on (\S+), POP3 on (\d+)`).FindStringSubmatch(hint("read"))
	if imap == nil {
		t.Fatal(said)
	}
	if _, err := exec.LookPath("curl"); err == nil {
		n.readsMail("imap://"+imap[1]+"/INBOX;UID=1", password)
		n.readsMail("pop3://127.0.0.1:"+imap[2]+"/1", password)
	}
	n.types(hint("new password"))
	if n.cred != nil || os.Geteuid() != 0 {
		n.types(strings.Replace(hint("send, by hand"), "you@example.test", "postmaster", 1))
		arrived()
	}

	for _, line := range readmeLines(t, bin, dir) {
		out := n.types(line)
		if strings.Contains(line, "sendmail") {
			arrived()
		}
		if strings.Contains(line, " check") && out != "" {
			t.Errorf("check of a new instance: %s", out)
		}
	}
	n.types(stop)
	if err := <-ended; err != nil {
		t.Errorf("the end of start-fg: %v\n%s", err, out.String())
	}
}

// readsMail looks at a message, in the words of its protocol. Of two that came in
// the same second, either may be the first.
func (n *newcomer) readsMail(url, password string) {
	n.t.Helper()
	if text := n.types("curl -s --user 'you@example.test:" + password + "' '" + url + "'"); !strings.Contains(text, "Delivered-To: you@example.test") {
		n.t.Errorf("%s: no message in %q", url, text)
	}
}
