package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-msgauth/dkim"

	keys "github.com/posthouse-mail/posthouse/pkg/dkim"
	"github.com/posthouse-mail/posthouse/pkg/dns/dnstest"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestDKIM: what submission signs, with two keys, is good for verifiers that
// are not ours, and stays so over a change of keys.
func TestDKIM(t *testing.T) {
	i := testkit.New(t, testkit.Users("you", "other"))
	submissionUsers(t, i, "you")
	out := i.Must(t, "posthouse", "dkim", "create", "example.test", "--selector", "one", "--also", "sub.test")
	i.Set(t, "myorigin = example.test", "submission_resent = yes")
	i.Start(t)
	records := zone(out)
	if len(records) != 2 {
		t.Fatalf("records %v of\n%s", records, out)
	}
	c := dialSubmission(t, i)
	c.want("235", submitLogin)
	const text = "Subject: a\n  folded   subject\nTo: other, x@y.test\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n" +
		"X-Other: is not signed\n\nGr\xc3\xbc\xc3\x9fe \t \n\n..dots\n  blanks  in   here \n\n\n"
	c.message("250", "you@example.test", "other@example.test", text)
	message := i.WaitMailbox(t, "other", 1)[0]
	good(t, message, records, 2)
	t.Run("opendkim", func(t *testing.T) { opendkim(t, i.Dir, message, records) })
	t.Run("rspamd", func(t *testing.T) { rspamd(t, i.Dir, message, records) })

	// Who passes a message on answers for it, and not the author, whom nobody
	// has checked.
	c.message("250", "you@example.test", "other@example.test", "From: friend@else.test\nResent-From: you@example.test\n\nx")
	good(t, i.WaitMailbox(t, "other", 2)[1], records, 2)

	// New keys: first they are only shown, then they sign.
	out = i.Must(t, "posthouse", "dkim", "rotate", "example.test", "--selector", "two")
	for name, r := range zone(out) {
		records[name] = r
	}
	if len(records) != 4 {
		t.Fatalf("records of\n%s", out)
	}
	if out, err := i.Command("posthouse", "dkim", "rotate", "example.test").CombinedOutput(); err == nil {
		t.Errorf("rotated before the records were published:\n%s", out)
	}
	i.Must(t, "posthouse", "dkim", "rotate", "example.test", "--force")
	if list := i.Must(t, "posthouse", "dkim", "list"); len(regexp.MustCompile(`(?m)two[re] +signing|one[re] +old`).FindAllString(list, -1)) != 4 {
		t.Errorf("list\n%s", list)
	}
	testkit.Wait(t, "signatures of the new keys", func() bool {
		n := len(i.Mailbox(t, "other"))
		c.message("250", "you@example.test", "other@example.test", "From: you@example.test\n\nx\n")
		i.WaitMailbox(t, "other", n+1)
		all := strings.Join(i.Mailbox(t, "other"), "\n")
		time.Sleep(500 * time.Millisecond)
		return strings.Contains(all, "s=twor") && strings.Contains(all, "s=twoe")
	})
	for _, m := range i.Mailbox(t, "other") {
		good(t, m, records, 2)
	}
}

// zone reads lines of a zone file.
func zone(text string) map[string]string {
	records := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\S+)\. IN TXT \( (.*) \)$`).FindAllStringSubmatch(text, -1) {
		records[m[1]] = strings.ReplaceAll(strings.Trim(m[2], `"`), `" "`, "")
	}
	return records
}

// good has go-msgauth look at the signatures.
func good(t *testing.T, message string, records map[string]string, want int) {
	t.Helper()
	all, err := dkim.VerifyWithOptions(strings.NewReader(strings.ReplaceAll(message, "\n", "\r\n")), &dkim.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) {
			if r := records[name]; r != "" {
				return []string{r}, nil
			}
			return nil, fmt.Errorf("no record %s", name)
		}})
	if err != nil || len(all) != want {
		t.Errorf("%d signatures, %v\n%s", len(all), err, message)
	}
	for _, v := range all {
		if v.Err != nil || v.Domain != "example.test" {
			t.Errorf("%s: %v\n%s", v.Domain, v.Err, message)
		}
	}
}

// opendkim has Debian's opendkim verify, which knows RSA only.
func opendkim(t *testing.T, dir, message string, records map[string]string) {
	testkit.NeedTool(t, "opendkim")
	var keys strings.Builder
	for name, r := range records {
		fmt.Fprintf(&keys, "%s %s\n", name, r)
	}
	file, conf, public := filepath.Join(dir, "message"), filepath.Join(dir, "opendkim.conf"), filepath.Join(dir, "public")
	for name, text := range map[string]string{file: strings.ReplaceAll(message, "\n", "\r\n"), public: keys.String(), conf: "TestPublicKeys " + public + "\n"} {
		if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out, err := exec.Command("opendkim", "-x", conf, "-vv", "-t", file).CombinedOutput()
	if err != nil || !regexp.MustCompile(`verification .*succeeded`).Match(out) {
		t.Errorf("opendkim: %v\n%s", err, out)
	}
}

// rspamd has Debian's rspamd verify, which knows both kinds of keys.
func rspamd(t *testing.T, dir, message string, records map[string]string) {
	testkit.NeedTool(t, "rspamd")
	var zone strings.Builder
	for name, r := range records {
		zone.WriteString(keys.ZoneLine(strings.SplitN(name, "._domainkey.", 2)[1], strings.SplitN(name, "._domainkey.", 2)[0], r) + "\n")
	}
	dns := dnstest.Start(t, zone.String())
	addr := testkit.FreeAddr(t)
	conf, file := filepath.Join(dir, "rspamd.conf"), filepath.Join(dir, "message")
	text := fmt.Sprintf(`options {
  pidfile = "%[1]s/rspamd.pid"; filters = "dkim"; local_addrs = []; url_tld = "/usr/share/rspamd/effective_tld_names.dat";
  control_socket = "%[1]s/rspamd.control mode=0600"; dns { nameserver = ["%[2]s"]; timeout = 5s; }
}
logging { type = "console"; level = "info"; }
worker "normal" { bind_socket = "%[3]s"; count = 1; }
dkim { enabled = true; }
actions { reject = 1000; }
`, dir, dns.Addr, addr)
	if err := os.WriteFile(conf, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(message, "\n", "\r\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("rspamd", "-i", "-f", "-c", conf)
	log := &strings.Builder{}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { cmd.Process.Signal(os.Interrupt); cmd.Wait() }()
	var out []byte
	defer func() {
		if t.Failed() {
			t.Logf("%s\n%s", out, log)
		}
	}()
	testkit.Wait(t, "answer of rspamd", func() bool {
		var err error
		out, err = exec.Command("rspamc", "-h", addr, "--ip", "192.0.2.1", "symbols", file).CombinedOutput()
		return err == nil && strings.Contains(string(out), "DKIM")
	})
	for _, s := range []string{"one" + "r", "one" + "e"} {
		if !regexp.MustCompile(`R_DKIM_ALLOW.*example\.test:s=` + s).Match(out) {
			t.Errorf("rspamd does not like the signature of %s\n%s", s, out)
		}
	}
}
