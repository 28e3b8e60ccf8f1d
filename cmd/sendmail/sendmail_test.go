package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
)

// TestMain makes the test binary a postdrop of its own: it stores the records
// that it gets and answers as it was told to.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "postdrop" {
		fakePostdrop()
		return
	}
	os.Exit(m.Run())
}

func fakePostdrop() {
	dir := filepath.Dir(os.Args[0])
	fmt.Print("protocol\x00postdrop_protocol\x00queue_id\x00ABCDEF\x00\x00")
	r := queue.NewRecordReader(bufio.NewReader(os.Stdin))
	var out strings.Builder
	for {
		rec, err := r.Next()
		if err != nil {
			os.Exit(1)
		}
		fmt.Fprintf(&out, "%c %s\n", rec.Type, rec.Data)
		if rec.Type == queue.RecEnd {
			break
		}
	}
	os.WriteFile(filepath.Join(dir, "records"), []byte(out.String()), 0o600)
	os.WriteFile(filepath.Join(dir, "args"), []byte(strings.Join(os.Args[1:], " ")), 0o600)
	reply, err := os.ReadFile(filepath.Join(dir, "reply"))
	if err != nil {
		reply = []byte("status\x000\x00reason\x00\x00\x00")
	}
	os.Stdout.Write(reply)
}

// setup makes a configuration and a command directory with the fake postdrop.
func setup(t *testing.T, settings string) (conf, bin string) {
	t.Helper()
	dir := t.TempDir()
	conf, bin = filepath.Join(dir, "etc"), filepath.Join(dir, "bin")
	for _, d := range []string{conf, bin} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(bin, "postdrop")); err != nil {
		t.Fatal(err)
	}
	main := fmt.Sprintf("command_directory = %s\nqueue_directory = %s\nmyhostname = me.test\n%s\n", bin, dir, settings)
	if err := os.WriteFile(filepath.Join(conf, "main.cf"), []byte(main), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Setenv("MAIL_CONFIG", conf)
	t.Setenv("NAME", "")
	os.Unsetenv("NAME")
	return conf, bin
}

// submit runs sendmail and returns its status, messages and the records.
func submit(t *testing.T, bin, input string, args ...string) (int, string, string) {
	t.Helper()
	os.Remove(filepath.Join(bin, "records"))
	var stderr bytes.Buffer
	code := run(append([]string{"sendmail"}, args...), strings.NewReader(input), io.Discard, &stderr)
	b, _ := os.ReadFile(filepath.Join(bin, "records"))
	return code, stderr.String(), string(b)
}

// envelope returns the first records of each stream: context, name, sender.
func prefix(t *testing.T, sender string) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if sender == "-" {
		sender = u.Username
	}
	name, _, _ := strings.Cut(u.Name, ",")
	out := "A rewrite_context=local\n"
	if name != "" {
		out += "F " + name + "\n"
	}
	return out + "S " + sender + "\n"
}

func TestRecords(t *testing.T) {
	_, bin := setup(t, "")
	tests := []struct {
		name, input string
		args        []string
		want        string
	}{
		{"dot ends", "Subject: x\n\nbody\n.\nmore\n", []string{"-f", "s@a.test", "r@b.test"},
			prefix(t, "s@a.test") + "R r@b.test\nM \nN Subject: x\nN \nN body\nX \nE \n"},
		{"-i and CR LF", "a\r\n.\r\nb", []string{"-i", "r@b.test", "s@c.test, t@d.test"},
			prefix(t, "-") + "R r@b.test\nR s@c.test\nR t@d.test\nM \nN a\nN .\nN b\nX \nE \n"},
		{"mailbox separator", ">From x\nFrom foo Mon\nFrom: a\nFrom b\n", []string{"-oi", "r"},
			prefix(t, "-") + "R r\nM \nN From: a\nN From b\nX \nE \n"},
		{"all DSN options", "To: a@b.test, \"X, Y\" <c@d.test>\nCc: grp: e@f.test,\n g@h.test;\nbcc : hid@x.test\n\nTo: not@this.test\n",
			[]string{"-t", "-F", "Full Name", "-B8BITMIME", "-N", "success,failure", "-R", "hdrs", "-V", "envid", "-G", "-f<>", "--", "extra@z.test"},
			"A envelope_id=envid\nA ret_flags=2\nA rewrite_context=remote\nF Full Name\nS \nA encoding=8bit\nA notify_flags=6\nR extra@z.test\nM \n" +
				"N To: a@b.test, \"X, Y\" <c@d.test>\nN Cc: grp: e@f.test,\nN  g@h.test;\nN bcc : hid@x.test\nN \nN To: not@this.test\nX \n" +
				"A notify_flags=6\nR a@b.test\nA notify_flags=6\nR c@d.test\nA notify_flags=6\nR e@f.test\nA notify_flags=6\nR g@h.test\nA notify_flags=6\nR hid@x.test\nE \n"},
		{"Resent", "To: a@b.test\nResent-To: r@s.test\nResent-Bcc: q@s.test\n\nx\n", []string{"-ti", "-f", ""},
			prefix(t, "") + "M \nN To: a@b.test\nN Resent-To: r@s.test\nN Resent-Bcc: q@s.test\nN \nN x\nX \nR r@s.test\nR q@s.test\nE \n"},
		{"ignored options", "x\n", []string{"-oem", "-odb", "-om", "-Am", "-h3", "-m", "-L", "tag", "-U", "-O", "DeliveryMode=b", "-oi", "r"},
			prefix(t, "-") + "R r\nM \nN x\nX \nE \n"},
		{"cron", "x\n", []string{"-i", "-FCronDaemon", "-B8BITMIME", "-oem", "root"},
			"A rewrite_context=local\nF CronDaemon\nS " + login(t) + "\nA encoding=8bit\nR root\nM \nN x\nX \nE \n"},
		{"quoted sender", "x\n", []string{"-f", `"a b"@c.test`, "r"}, prefix(t, "a b@c.test") + "R r\nM \nN x\nX \nE \n"},
		{"last of -f and -r", "x\n", []string{"-fa@c.test", "-rb@c.test", "r"}, prefix(t, "b@c.test") + "R r\nM \nN x\nX \nE \n"},
		{"last of -r and -f", "x\n", []string{"-ra@c.test", "-fb@c.test", "r"}, prefix(t, "b@c.test") + "R r\nM \nN x\nX \nE \n"},
		{"nothing to do", "x\n", []string{"-bh", "r"}, ""},
		{"a daemon's interval", "x\n", []string{"-q1h", "r"}, ""},
		{"probe", "", []string{"-bv", "-f", "a@c.test", "r", "s"}, prefix(t, "a@c.test") +
			"A trace_flags=512\nR r\nR s\nM \nN From: a@c.test\nN Subject: probe\nL To:\nN \tr,\nN \ts\nX \nE \n"},
		{"-r", "x\n", []string{"-rme@c.test", "r"}, prefix(t, "me@c.test") + "R r\nM \nN x\nX \nE \n"},
		{"-N that contradicts itself", "x\n", []string{"-N", "never,success", "r"}, prefix(t, "-") + "R r\nM \nN x\nX \nE \n"},
		{"-XV", "x\n", []string{"-XV", "-f", "owner@c.test", "r"}, prefix(t, "owner@c.test") + "V +=\nR r\nM \nN x\nX \nE \n"},
		{"-v", "", []string{"-v", "-f", "s@a.test", "r"}, prefix(t, "s@a.test") + "A trace_flags=1024\nR r\nM \nX \nE \n"},
		{"options after a recipient", "x\n", []string{"r", "-f", "s"}, prefix(t, "-") + "R r\nR -f\nR s\nM \nN x\nX \nE \n"},
		{"long line", strings.Repeat("y", 5000) + "\n", []string{"r"},
			prefix(t, "-") + "R r\nM \nL " + strings.Repeat("y", 2048) + "\nL " + strings.Repeat("y", 2048) + "\nN " + strings.Repeat("y", 904) + "\nX \nE \n"},
		{"CR LF at a part's end", strings.Repeat("y", 2047) + "\r\nz\r\n", []string{"r"},
			prefix(t, "-") + "R r\nM \nL " + strings.Repeat("y", 2047) + "\nN \nN z\nX \nE \n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stderr, got := submit(t, bin, tt.input, tt.args...)
			if code != 0 {
				t.Fatalf("status %d: %s", code, stderr)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func login(t *testing.T) string {
	t.Helper()
	u, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return u.Username
}

func TestRefusals(t *testing.T) {
	_, bin := setup(t, "")
	many := "To: " + strings.Repeat("a@b.test, ", maxRecipients) + "a@b.test, a@b.test\n\n"
	tests := []struct {
		name, input string
		args        []string
		code        int
	}{
		{"no recipient", "x\n", nil, exUsage},
		{"no recipient in header", "To: list:;\n\nx\n", []string{"-t"}, exUsage},
		{"unknown option", "x\n", []string{"-Z", "r"}, exUsage},
		{"long option", "x\n", []string{"--option-f=x", "r"}, exUsage},
		{"-n", "x\n", []string{"-n", "r"}, exUsage},
		{"-X log", "x\n", []string{"-X", "log", "r"}, exUsage},
		{"bad -B", "x\n", []string{"-B", "junk", "r"}, exUsage},
		{"line break in sender", "x\n", []string{"-f", "a\nRCPT", "r"}, exDataErr},
		{"control character in recipient", "x\n", []string{"a\x01b@c.test"}, exDataErr},
		{"line break in recipient", "x\n", []string{"a\nb@c.test"}, exDataErr},
		{"line break in envid", "x\n", []string{"-V", "a\nb", "r"}, exDataErr},
		{"carriage return in name", "x\n", []string{"-F", "a\rBcc: x", "r"}, exDataErr},
		{"-O requiretls", "x\n", []string{"-O", "requiretls=maybe", "r"}, exUsage},
		{"-bs with recipient", "", []string{"-bs", "r"}, exUsage},
		{"-t with -bs", "", []string{"-bs", "-t"}, exUsage},
		{"-bp with recipient", "", []string{"-bp", "r"}, exUsage},
		{"-t with -bp", "", []string{"-bp", "-t"}, exUsage},
		{"-qR alone", "", []string{"-qR"}, exUsage},
		{"-qS", "", []string{"-qSx"}, exUsage},
		{"-XV null sender", "x\n", []string{"-XV", "-f", "", "r"}, exUsage},
		{"too many recipients", many, []string{"-t"}, exDataErr},
		{"postqueue missing", "", []string{"-bp"}, exUnavailable},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, stderr, records := submit(t, bin, tt.input, tt.args...)
			if code != tt.code || records != "" {
				t.Errorf("status %d, want %d; records %q; %s", code, tt.code, records, stderr)
			}
			if !strings.HasPrefix(stderr, "sendmail: ") {
				t.Errorf("stderr %q", stderr)
			}
		})
	}
}

func TestPostdropReplies(t *testing.T) {
	conf, bin := setup(t, "")
	for reply, want := range map[string]int{
		"status\x000\x00\x00":                              exOK,
		"status\x001\x00reason\x00bad\x00\x00":             exSoftware,
		"status\x002\x00reason\x00disk full\x00\x00":       exTempFail,
		"status\x004\x00reason\x00message too big\x00\x00": exTempFail,
		"status\x00512\x00reason\x00no\x00\x00":            exNoPerm,
		"status\x00x\x00\x00":                              exTempFail,
		"":                                                 exTempFail,
	} {
		if err := os.WriteFile(filepath.Join(bin, "reply"), []byte(reply), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, stderr, _ := submit(t, bin, "x\n", "r"); code != want {
			t.Errorf("reply %q: status %d, want %d: %s", reply, code, want, stderr)
		}
	}
	if b, _ := os.ReadFile(filepath.Join(bin, "args")); string(b) != "-c "+conf+" -r" {
		t.Errorf("postdrop got %q", b)
	}
	if err := os.Remove(filepath.Join(bin, "postdrop")); err != nil {
		t.Fatal(err)
	}
	if code, stderr, _ := submit(t, bin, "x\n", "r"); code != exTempFail || !strings.Contains(stderr, "unable to execute") {
		t.Errorf("no postdrop: status %d: %s", code, stderr)
	}
}

func TestStrictLineEndings(t *testing.T) {
	for _, tt := range []struct{ fix, input, want string }{
		{"never", "a\r\nb\n", "N a\r\nN b\n"},
		{"strict", "a\nb\r\n", "N a\nN b\r\n"},
		{"strict", "a\r\nb\r\n", "N a\nN b\n"},
		{"always", "a\nb\r\n", "N a\nN b\n"},
	} {
		_, bin := setup(t, "sendmail_fix_line_endings = "+tt.fix)
		_, stderr, got := submit(t, bin, tt.input, "r")
		_, got, _ = strings.Cut(got, "M \n")
		if got != tt.want+"X \nE \n" {
			t.Errorf("%s %q: got %q %s", tt.fix, tt.input, got, stderr)
		}
	}
}

func TestNewaliases(t *testing.T) {
	conf, bin := setup(t, "alias_database = hash:/a hash:/b")
	script := "#!/bin/sh\necho \"$@\" > " + bin + "/aliases\nexit 3\n"
	if err := os.WriteFile(filepath.Join(bin, "postalias"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	code := run([]string{"/usr/bin/newaliases"}, nil, io.Discard, io.Discard)
	b, _ := os.ReadFile(filepath.Join(bin, "aliases"))
	if code != 3 || string(b) != "-c "+conf+" -- hash:/a hash:/b\n" {
		t.Errorf("status %d, args %q", code, b)
	}
	code = run([]string{"sendmail", "-bi", "-oA/x"}, nil, io.Discard, io.Discard)
	b, _ = os.ReadFile(filepath.Join(bin, "aliases"))
	if code != 3 || string(b) != "-c "+conf+" -- /x\n" {
		t.Errorf("status %d, args %q", code, b)
	}
}

// TestReference compares the records with those of Debian's sendmail, where
// that is unpacked.
func TestReference(t *testing.T) {
	root := refpostfix.Root(t)
	conf, bin := setup(t, "daemon_directory = "+root+"/usr/lib/postfix/sbin\nshlib_directory = "+root+
		"/usr/lib/postfix\nmail_owner = daemon\nsetgid_group = mail\nimport_environment = LD_LIBRARY_PATH MAIL_CONFIG\ncompatibility_level = 3.6\nmaillog_file = /dev/stdout")
	lib := root + "/usr/lib/postfix:" + root + "/usr/lib/x86_64-linux-gnu:" + root + "/lib/x86_64-linux-gnu"
	for _, tt := range []struct {
		input string
		args  []string
	}{
		{"Subject: x\n\nbody\n.\nmore\n", []string{"-f", "s@a.test", "r@b.test"}},
		{"S: x\r\n\r\nb\r\n.\r\nm\r\n", []string{"-i", "r@b.test", "s@c.test, t@d.test"}},
		{"From a b\nTo: a@b.test, \"X, Y\" <c@d.test>\nCc: grp: e@f.test, g@h.test;\nBcc: h@x.test\n i@x.test\n\nbody\n",
			[]string{"-t", "-FFull Name", "-B8BITMIME", "-N", "success,failure", "-Rhdrs", "-Venv", "-G", "z@z.test"}},
		{"To: a@b.test\nResent-To: r@s.test\nResent-Bcc: q@s.test\nBcc: z@z.test\n\nx\n", []string{"-t", "-f", ""}},
		{"x\n", []string{"-f", `"a b"@c.test`, "-XV", "-oem", "r@b.test"}},
		{"x\n", []string{"-v", "r@b.test"}},
		{"x\n", []string{"-N", "never,success", "r@b.test"}},
		{"x\n", []string{"-N", "never", "-R", "FULL", "r@b.test"}},
		{"To: (c (d)) a@b.test (x), \"q\\\"u,o\"@b.test, <@r.test:u@b.test>, undisclosed-recipients:;\n\nx\n", []string{"-t"}},
		{strings.Repeat("y", 5000) + "\n", []string{"r@b.test"}},
	} {
		_, stderr, got := submit(t, bin, tt.input, tt.args...)
		os.Remove(filepath.Join(bin, "records"))
		cmd := exec.Command(root+"/usr/sbin/sendmail", tt.args...)
		cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+lib, "MAIL_CONFIG="+conf)
		cmd.Stdin = strings.NewReader(tt.input)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("reference %q: %v %s", tt.args, err, out)
			continue
		}
		want, _ := os.ReadFile(filepath.Join(bin, "records"))
		if diff := cmp.Diff(string(want), got); diff != "" {
			t.Errorf("%q %q (%s):\n%s", tt.args, tt.input, stderr, diff)
		}
	}
}

func FuzzHeaders(f *testing.F) {
	f.Add("To: a@b.test, \"x,\" <c@d.test>\nBcc:\n e@f.test\n\nbody")
	f.Add("Resent-To: g: a@b;\nTo: (((\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		m := newReader(strings.NewReader(text), 64, "always", true)
		h := &headers{active: true, limit: 1 << 16}
		for {
			part, eol, err := m.next()
			if err != nil {
				break
			}
			if len(part) > 64 || bytes.ContainsRune(part, '\n') {
				t.Fatalf("part %q", part)
			}
			h.part(part, eol)
		}
		list, err := h.recipients()
		for _, a := range list {
			if err != nil || hasControl(a) || a == "" {
				t.Fatalf("recipient %q, %v", a, err)
			}
		}
	})
}
