package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// popMessages are what the clients fetch: dots, long lines, 8 bit, CRLF on
// disk, an empty body, and no end of the last line.
func popMessages() []string {
	head := func(n int) string {
		return fmt.Sprintf("From: a@example.org\nTo: you@example.test\nSubject: number %d\nMessage-ID: <%d@example.org>\nDate: Sat, 28 Nov 2026 10:00:%02d +0000\n", n, n, n)
	}
	return []string{
		head(1) + "\nplain\n",
		head(2) + "\n.\n..\n.dots.\n",
		strings.ReplaceAll(head(3)+"\nCRLF on disk\n", "\n", "\r\n"),
		head(4) + "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\ngrüße\n" + strings.Repeat("y", 900) + "\n",
		head(5) + "\n" + strings.Repeat("a line of some length that is repeated to make a large message\n", 3000),
		head(6) + "\n",
		head(7) + "\nlast line without end",
	}
}

// popClientTest is one program that fetches all mail into a folder or file.
type popClientTest struct {
	name string
	// run fetches from the instance and returns what came, in one text.
	run func(t *testing.T, p popPlace) string
	// keeps: the program leaves the mail on the server.
	keeps bool
}

// popPlace is where a client works.
type popPlace struct {
	mail *testkit.Instance
	dir  string // an empty folder of the client's own
}

func (p popPlace) port(offset int) string { return strconv.Itoa(p.mail.Port + offset) }

func (p popPlace) write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// exec runs a client, whose home is the folder.
func (p popPlace) exec(t *testing.T, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "HOME="+p.dir, "LC_ALL=C.UTF-8")
	cmd.Dir = p.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// folder returns all files below a folder, one after another.
func (p popPlace) folder(t *testing.T, name string) string {
	t.Helper()
	var b strings.Builder
	filepath.WalkDir(filepath.Join(p.dir, name), func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			text, _ := os.ReadFile(path)
			b.Write(text)
		}
		return nil
	})
	return b.String()
}

func popClients() []popClientTest {
	return []popClientTest{
		{"fetchmail", runFetchmail, false},
		{"getmail", runGetmail, false},
		{"mpop", runMpop, false},
		{"curl", runCurl, true},
		{"python3", runPoplib, false},
		{"mutt", runMutt, false},
	}
}

func runFetchmail(t *testing.T, p popPlace) string {
	rc := p.write(t, ".fetchmailrc", fmt.Sprintf("poll 127.0.0.1 protocol pop3 port %s uidl\n user \"you@example.test\" password \"secret\"\n"+
		" sslproto \"\" no keep fetchall mda \"/bin/sh -c 'cat >>got'\"\n", p.port(5)))
	p.exec(t, "fetchmail", "-f", rc, "--nosyslog", "--pidfile", filepath.Join(p.dir, "pid"), "-i", filepath.Join(p.dir, "ids"))
	return p.folder(t, "got")
}

func runGetmail(t *testing.T, p popPlace) string {
	// It delivers nowhere as root but by a command that is told so.
	p.write(t, "rc", fmt.Sprintf("[retriever]\ntype = SimplePOP3SSLRetriever\nserver = 127.0.0.1\nport = %s\nusername = you@example.test\npassword = secret\n"+
		"[destination]\ntype = MDA_external\npath = /bin/sh\narguments = (\"-c\", \"cat >>%s/got\")\nallow_root_commands = true\n"+
		"[options]\ndelete = true\nread_all = true\ndelivered_to = false\nreceived = false\n", p.port(6), p.dir))
	p.exec(t, "getmail", "--getmaildir", p.dir, "--rcfile", "rc")
	return p.folder(t, "got")
}

func runMpop(t *testing.T, p popPlace) string {
	rc := p.write(t, "rc", fmt.Sprintf("account default\nhost 127.0.0.1\nport %s\ntls on\ntls_starttls on\ntls_certcheck off\nuser you@example.test\n"+
		"password secret\nauth user\nkeep off\nreceived_header off\ndelivery mbox %s/got\nuidls_file %s/uidls\n", p.port(5), p.dir, p.dir))
	p.exec(t, "mpop", "-C", rc, "default")
	return p.folder(t, "got")
}

func runCurl(t *testing.T, p popPlace) string {
	var b strings.Builder
	for i := range popMessages() {
		b.WriteString(p.exec(t, "curl", "-sS", "-k", "--user", "you@example.test:secret", fmt.Sprintf("pop3s://127.0.0.1:%s/%d", p.port(6), i+1)))
	}
	return b.String()
}

func runPoplib(t *testing.T, p popPlace) string {
	script := p.write(t, "pop.py", fmt.Sprintf(`import poplib, ssl, sys
ctx = ssl._create_unverified_context()
p = poplib.POP3("127.0.0.1", %s)
assert "STLS" in p.capa()
p.stls(ctx)
p.user("you@example.test"); p.pass_("secret")
n, size = p.stat()
assert len(p.list()[1]) == n == len(p.uidl()[1]), n
assert "UTF8" in p.capa(), p.capa()
out = b""
total = 0
for i in range(1, n + 1):
    resp, lines, octets = p.retr(i)
    top = p.top(i, 0)[1]
    assert lines[:len(top)] == top, (lines, top)
    out += b"\n".join(lines) + b"\n"
    p.dele(i)
p.noop()
p.quit()
open("got", "wb").write(out)
`, p.port(5)))
	p.exec(t, "python3", script)
	return p.folder(t, "got")
}

// runMutt moves all mail from the server to a file.
func runMutt(t *testing.T, p popPlace) string {
	rc := p.write(t, "rc", "set ssl_verify_host=no ssl_verify_dates=no certificate_file="+p.dir+"/certs pop_delete=yes delete=yes quit=yes confirmappend=no\n"+
		"set mail_check=100 sleep_time=0 move=no copy=no wait_key=no auto_tag=no pop_checkinterval=1000 ssl_starttls=no ssl_force_tls=no folder="+p.dir+" spoolfile="+p.dir+"/x\n"+
		fmt.Sprintf("set pop_user=\"you@example.test\" pop_pass=\"secret\" pop_host=\"pop://127.0.0.1:%s\"\n", p.port(5)))
	p.write(t, "got", "")
	p.exec(t, "script", "-qec", fmt.Sprintf("mutt -n -F %s -f pop://you@example.test@127.0.0.1:%s/ -e 'push \"<tag-pattern>.<enter><tag-prefix><save-message>%s/got<enter><enter-command>exec sync-mailbox<enter><quit>\"'", rc, p.port(5), p.dir), "/dev/null")
	return p.folder(t, "got")
}

// TestPOP3APOP: programs that were told to use APOP fetch mail with it, and
// cannot with a wrong password.
func TestPOP3APOP(t *testing.T) {
	mail := testkit.New(t)
	mail.UserDB(t, "secret", []string{"you"})
	mail.Set(t, "pop3_apop = yes", "auth_failure_delay = 0", "mail_max_userip_connections = 0")
	mail.Start(t)
	mpop := func(dir, password string) *exec.Cmd {
		p := popPlace{mail, dir}
		rc := p.write(t, "rc", fmt.Sprintf("account default\nhost 127.0.0.1\nport %s\ntls on\ntls_starttls on\ntls_certcheck off\nuser you@example.test\n"+
			"password %s\nauth apop\nkeep off\nreceived_header off\ndelivery mbox %s/got\nuidls_file %s/uidls\n", p.port(5), password, dir, dir))
		return exec.Command("mpop", "-C", rc, "default")
	}
	fetchmail := func(dir, password string) *exec.Cmd {
		p := popPlace{mail, dir}
		// In clear: a digest is all that there is to protect the password.
		rc := p.write(t, "rc", fmt.Sprintf("poll 127.0.0.1 protocol apop port %s\n user \"you@example.test\" password \"%s\"\n"+
			" sslproto \"\" no keep fetchall mda \"/bin/sh -c 'cat >>%s/got'\"\n", p.port(5), password, dir))
		return exec.Command("fetchmail", "-f", rc, "--nosyslog", "--pidfile", filepath.Join(dir, "pid"), "-i", filepath.Join(dir, "ids"))
	}
	for name, client := range map[string]func(dir, password string) *exec.Cmd{"mpop": mpop, "fetchmail": fetchmail} {
		t.Run(name, func(t *testing.T) {
			testkit.NeedTool(t, name)
			put(t, mail, "you", "1795200500.M1_"+name+".host", popMessages()[0])
			logins := func() int {
				return strings.Count(mail.Log(), "pop3-login: Login: user=<you@example.test>, method=APOP")
			}
			before := logins()
			for _, password := range []string{"wrong", "secret"} {
				dir := t.TempDir()
				cmd := client(dir, password)
				cmd.Env = append(os.Environ(), "HOME="+dir, "LC_ALL=C.UTF-8")
				out, err := cmd.CombinedOutput()
				got := popPlace{mail, dir}.folder(t, "got")
				if right := password == "secret"; (err == nil) != right || strings.Contains(got, "Subject: number 1\n") != right {
					t.Errorf("password %s: %v\n%s\ncame: %q", password, err, out, got)
				}
			}
			testkit.Wait(t, "the login in the log", func() bool { return logins() == before+1 })
			if left := files(t, mail, "you"); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// TestPOP3Clients has each program fetch the same mail and looks at what came,
// and at what is left.
func TestPOP3Clients(t *testing.T) {
	mail := testkit.New(t)
	mail.UserDB(t, "secret", []string{"you"})
	mail.Set(t, "pop3_lock_session = no", "mail_max_userip_connections = 0")
	mail.Start(t)
	for _, c := range popClients() {
		t.Run(c.name, func(t *testing.T) {
			testkit.NeedTool(t, c.name)
			for i, text := range popMessages() {
				put(t, mail, "you", fmt.Sprintf("%d.M%d_%s.host", 1795200500+i, i, c.name), text)
			}
			got := c.run(t, popPlace{mail, t.TempDir()})
			flat := strings.ReplaceAll(got, "\r\n", "\n")
			for i, text := range popMessages() {
				_, body, _ := strings.Cut(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n")
				if !strings.Contains(flat, fmt.Sprintf("Subject: number %d\n", i+1)) || !strings.Contains(flat, body) {
					t.Errorf("message %d did not come through", i+1)
				}
			}
			if strings.Contains(flat, "\n...dots.") || strings.Contains(flat, "\n..dots.") {
				t.Error("a dot is left of the transfer")
			}
			left := len(files(t, mail, "you"))
			if want := map[bool]int{true: len(popMessages())}[c.keeps]; left != want {
				t.Errorf("%d messages are left, want %d", left, want)
			}
			for _, name := range files(t, mail, "you") {
				for _, sub := range []string{"new", "cur"} {
					os.Remove(filepath.Join(mail.Maildir("you"), sub, name))
				}
			}
		})
	}
}
