package scenario

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// The places of Debian's roundcube-core.
const (
	roundcubeRoot     = "/var/lib/roundcube/public_html"
	roundcubeDefaults = "/etc/roundcube/defaults.inc.php"
)

// roundcube is a browser that is logged in to Debian's Roundcube.
type roundcube struct {
	t     *testing.T
	base  string
	http  *http.Client
	token string
}

// startRoundcube runs Roundcube in PHP's own server, with a database of its own.
func startRoundcube(t *testing.T, mail *testkit.Instance) *roundcube {
	t.Helper()
	testkit.NeedTool(t, "php")
	for _, path := range []string{roundcubeRoot + "/index.php", roundcubeDefaults, "/usr/share/roundcube/SQL/sqlite.initial.sql"} {
		if _, err := os.Stat(path); err != nil {
			t.Skipf("SKIPPED: no Roundcube: %v; tools/scripts/test-deps installs it", err)
		}
	}
	dir := t.TempDir()
	defaults, err := os.ReadFile(roundcubeDefaults)
	if err != nil {
		t.Fatal(err)
	}
	config := fmt.Sprintf(`<?php
$config['db_dsnw'] = 'sqlite:///%[1]s/db?mode=0600';
$config['imap_host'] = 'localhost:%[2]d';
$config['smtp_host'] = 'tls://localhost:%[3]d';
$config['smtp_user'] = '%%u';
$config['smtp_pass'] = '%%p';
$config['smtp_conn_options'] = ['ssl' => ['verify_peer' => false, 'verify_peer_name' => false]];
$config['des_key'] = '0123456789abcdefghijklmn';
$config['log_dir'] = '%[1]s/';
$config['temp_dir'] = '%[1]s/';
$config['mail_domain'] = 'example.test';
$config['language'] = 'en_US';
$config['ip_check'] = false;
$config['plugins'] = [];
$config['skin'] = 'elastic';
$config['imap_debug'] = true;
$config['smtp_debug'] = true;
`, dir, mail.Port+3, mail.Port+1)
	for name, text := range map[string]string{"defaults.inc.php": string(defaults), "config.inc.php": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	addr := mail.PortAddr(8)
	php := exec.Command("php", "-d", "display_errors=0", "-d", "log_errors=1", "-S", addr, "-t", roundcubeRoot)
	php.Env = append(os.Environ(), "ROUNDCUBE_CONFIG_DIR="+dir)
	log, err := os.Create(filepath.Join(dir, "php.log"))
	if err != nil {
		t.Fatal(err)
	}
	php.Stdout, php.Stderr = log, log
	if err := php.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		php.Process.Kill()
		php.Wait()
		log.Close()
		if t.Failed() {
			for _, name := range []string{"errors.log", "errors", "php.log", "imap.log", "imap", "smtp.log"} {
				text, _ := os.ReadFile(filepath.Join(dir, name))
				t.Logf("%s:\n%s", name, text[max(0, len(text)-3000):])
			}
		}
	})
	jar, _ := cookiejar.New(nil)
	b := &roundcube{t: t, base: "http://" + addr + "/", http: &http.Client{Jar: jar, Timeout: time.Minute}}
	testkit.Wait(t, "Roundcube", func() bool {
		resp, err := b.http.Get(b.base)
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	return b
}

// page sends a request, as a form if there are fields, and returns the page.
func (b *roundcube) page(query string, form url.Values) string {
	b.t.Helper()
	method, body := "GET", ""
	if form != nil {
		method, body = "POST", form.Encode()
	}
	req, err := http.NewRequest(method, b.base+"?"+query, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if b.token != "" {
		req.Header.Set("X-Roundcube-Request", b.token)
	}
	resp, err := b.http.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil || resp.StatusCode != 200 {
		b.t.Fatalf("%s: %s, %v\n%.2000s", query, resp.Status, err, text)
	}
	return string(text)
}

// remote is what the page's script asks for; the answer is a script, too.
func (b *roundcube) remote(query string, form url.Values) string {
	b.t.Helper()
	text := b.page(query+"&_remote=1", form)
	var answer struct{ Exec string }
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		b.t.Fatalf("%s: %v: %.500s", query, err, text)
	}
	if strings.Contains(answer.Exec, `"error"`) || strings.Contains(answer.Exec, "display_message(\"An error") {
		b.t.Errorf("%s: %.1000s", query, answer.Exec)
	}
	return answer.Exec
}

var (
	roundcubeToken  = regexp.MustCompile(`"request_token":"([^"]+)"`)
	roundcubeInput  = regexp.MustCompile(`<input type="hidden" name="(_[a-z_]+)"[^>]*value="([^"]*)"`)
	roundcubeOption = regexp.MustCompile(`(?s)<select[^>]*name="_from".*?<option value="(\d+)"`)
	roundcubeRow    = regexp.MustCompile(`add_message_row\((\d+),\{"subject":"([^"]*)"`)
)

func (b *roundcube) login(user, password string) {
	b.t.Helper()
	form := url.Values{"_task": {"login"}, "_action": {"login"}, "_timezone": {"UTC"}, "_user": {user}, "_pass": {password}}
	for _, m := range roundcubeInput.FindAllStringSubmatch(b.page("_task=login", nil), -1) {
		if m[1] == "_token" {
			form.Set("_token", m[2])
		}
	}
	page := b.page("_task=login", form)
	m := roundcubeToken.FindStringSubmatch(page)
	if m == nil || !strings.Contains(page, `"task":"mail"`) {
		b.t.Fatalf("not logged in: %.3000s", page)
	}
	b.token = m[1]
}

// rows returns the subjects of a list by UID.
func (b *roundcube) rows(query string) map[string]string {
	b.t.Helper()
	rows := map[string]string{}
	for _, m := range roundcubeRow.FindAllStringSubmatch(b.remote("_task=mail&"+query, nil), -1) {
		rows[m[1]] = m[2]
	}
	return rows
}

// TestRoundcube: the webmail of Debian logs in, lists, sorts, threads, searches, reads,
// flags, moves, makes folders and sends.
func TestRoundcube(t *testing.T) {
	mail := testkit.New(t, testkit.Users("you", "other"))
	mail.UserDB(t, "secret", []string{"you", "other"})
	mail.Set(t, "auth_failure_delay = 0")
	mail.Start(t)
	put(t, mail, "you", "1795200500.a.host", "From: a@x.test\nTo: you@example.test\nSubject: first\nMessage-ID: <1@x>\nDate: Mon, 2 Nov 2026 10:00:00 +0000\n\nwords of the first\n")
	put(t, mail, "you", "1795200501.b.host", "From: b@x.test\nTo: you@example.test\nSubject: Re: first\nMessage-ID: <2@x>\nReferences: <1@x>\nDate: Mon, 2 Nov 2026 11:00:00 +0000\n\nthe treasure\n")
	put(t, mail, "you", "1795200502.c.host", "From: c@x.test\nTo: you@example.test\nSubject: third\nMessage-ID: <3@x>\nDate: Mon, 2 Nov 2026 12:00:00 +0000\n"+
		"MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html; charset=utf-8\n\n<p>gr\u00fc\u00dfe</p>\n--b\nContent-Type: text/plain; name=a.txt\nContent-Disposition: attachment; filename=a.txt\n\nattached words\n--b--\n")
	b := startRoundcube(t, mail)
	b.login("you@example.test", "secret")
	want := map[string]string{"1": "first", "2": "Re: first", "3": "third"}
	for _, query := range []string{"_action=list&_mbox=INBOX&_page=1", "_action=list&_mbox=INBOX&_page=1&_sort=subject_ASC", "_action=list&_mbox=INBOX&_page=1&_layout=list&_threads=1"} {
		if got := b.rows(query); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s: %v", query, got)
		}
	}
	if got := b.rows("_action=search&_mbox=INBOX&_q=treasure&_headers=text&_scope=base&_interval=&_filter=ALL"); fmt.Sprint(got) != fmt.Sprint(map[string]string{"2": "Re: first"}) {
		t.Errorf("search: %v", got)
	}
	if page := b.page("_task=mail&_action=show&_mbox=INBOX&_uid=1", nil); !strings.Contains(page, "words of the first") {
		t.Errorf("message 1: %.3000s", page)
	}
	if page := b.page("_task=mail&_action=show&_mbox=INBOX&_uid=3", nil); !strings.Contains(page, "gr\u00fc\u00dfe") || !strings.Contains(page, "a.txt") {
		t.Errorf("message 3: %.3000s", page)
	}
	if text := b.page("_task=mail&_action=get&_mbox=INBOX&_uid=3&_part=2&_download=1", nil); strings.TrimSpace(text) != "attached words" {
		t.Errorf("attachment: %q", text)
	}
	b.remote("_task=mail&_action=mark", url.Values{"_mbox": {"INBOX"}, "_uid": {"2"}, "_flag": {"flagged"}})
	b.page("_task=settings&_action=save-folder&_framed=1", url.Values{"_token": {b.token}, "_name": {"Größe"}, "_parent": {""}, "_is_html": {"0"}})
	b.remote("_task=mail&_action=move", url.Values{"_mbox": {"INBOX"}, "_uid": {"3"}, "_target_mbox": {"Gr&APYA3w-e"}})
	c := dialIMAP(t, mail, false)
	c.login("you")
	c.cmd("OK", "SELECT INBOX")
	if got := c.cmd("OK", "FETCH 1:* (UID FLAGS)"); !strings.Contains(got, `UID 1 FLAGS (\Seen`) || !strings.Contains(got, `UID 2 FLAGS (\Flagged`) || strings.Contains(got, "UID 3 ") {
		t.Errorf("after it: %s", got)
	}
	if got := c.cmd("OK", `STATUS "Gr&APYA3w-e" (MESSAGES)`); !strings.Contains(got, "(MESSAGES 1)") {
		t.Errorf("folder: %s", got)
	}
	b.send(mail)
}

// send writes a message to another user and finds a copy in Sent.
func (b *roundcube) send(mail *testkit.Instance) {
	b.t.Helper()
	page := b.page("_task=mail&_action=compose&_to=other@example.test", nil)
	form := url.Values{"_to": {"other@example.test"}, "_subject": {"from the web"}, "_message": {"written in a browser"}, "_is_html": {"0"}, "_store_target": {"Sent"}}
	for _, m := range roundcubeInput.FindAllStringSubmatch(page, -1) {
		if !form.Has(m[1]) {
			form.Set(m[1], m[2])
		}
	}
	from := roundcubeOption.FindStringSubmatch(page)
	if from == nil {
		b.t.Fatalf("no identity in the page to write in: %.3000s", page)
	}
	form.Set("_from", from[1])
	c := dialIMAP(b.t, mail, false)
	c.login("you")
	c.cmd("", "CREATE Sent")
	answer := b.page("_task=mail&_action=send&_framed=1", form)
	if !strings.Contains(answer, "sent_successfully") {
		b.t.Fatalf("not sent: %.3000s", answer)
	}
	for _, text := range mail.WaitMailbox(b.t, "other", 1) {
		if !strings.Contains(text, "written in a browser") || !strings.Contains(text, "Subject: from the web") {
			b.t.Errorf("sent: %s", text)
		}
	}
	if got := c.cmd("OK", "STATUS Sent (MESSAGES)"); !strings.Contains(got, "(MESSAGES 1)") {
		b.t.Errorf("no copy: %s", got)
	}
}
