package interop

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// twin is a configuration in which both systems get the same messages.
type twin struct {
	name     string
	settings []string          // DIR is the folder of what is delivered, ETC that of files
	files    map[string]string // below ETC
	postmap  []string          // postmap or postalias, each with its file
	services []string          // lines of both master.cf
	sorted   bool              // paragraphs of mail come in no order, since agents work side by side
	cases    []twinCase
	before   func(t *testing.T, s *twinSite) // once there are the files
}

// twinCase is one message.
type twinCase struct {
	name   string
	sender string
	rcpts  []string
	text   string
	args   []string // of sendmail, before the recipients
	smtp   []string // sent by SMTP instead: the commands before DATA
	before func(t *testing.T, s *twinSite)
	after  func(t *testing.T, p *pair, s side) // once it is sent
	why    string                              // the outcomes differ, and why
}

// twinSite is where both deliver.
type twinSite struct {
	dir        string
	alice, bob testkit.Account
}

// newTwinSite makes a folder and two accounts for a pair.
func newTwinSite(t *testing.T) *twinSite {
	t.Helper()
	testkit.NeedRoot(t)
	// A name of constant length and form, since it is in log lines.
	dir, err := os.MkdirTemp("", "twin")
	if err != nil {
		t.Fatal(err)
	}
	os.Chmod(dir, 0o755)
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &twinSite{dir: dir}
	os.Mkdir(filepath.Join(dir, "etc"), 0o755)
	s.alice = testkit.NewAccount(t, dir, "pxalice")
	s.bob = testkit.NewAccount(t, dir, "pxbob")
	return s
}

// clean empties the place of deliveries.
func (s *twinSite) clean(t *testing.T) {
	t.Helper()
	// The folders stay, since a worker is confined to them.
	for _, d := range []string{"drop", "spool", "home/pxalice", "home/pxbob"} {
		dir := filepath.Join(s.dir, d)
		if err := os.MkdirAll(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			os.RemoveAll(filepath.Join(dir, e.Name()))
		}
	}
	os.Chmod(filepath.Join(s.dir, "drop"), 0o777|os.ModeSticky)
	spool := filepath.Join(s.dir, "spool")
	os.Chown(spool, 0, 8)
	os.Chmod(spool, 0o775|os.ModeSetgid)
	for _, a := range []testkit.Account{s.alice, s.bob} {
		os.Chown(a.Home, a.UID, a.GID)
		os.Chmod(a.Home, 0o755)
	}
}

// expand names the site's folders.
func (s *twinSite) expand(text string) string {
	return strings.NewReplacer("DIR", s.dir, "ETC", filepath.Join(s.dir, "etc")).Replace(text)
}

// inMail takes out of a message what differs by nature.
var inMail = []struct{ expr, to string }{
	{`\b[0-9A-F]{9,12}\b`, "ID"},
	{`\d{14}\.ID@`, "STAMP.ID@"},
	{`(Mon|Tue|Wed|Thu|Fri|Sat|Sun), .\d \w{3} \d{4} [\d:]{8} [-+]\d{4} \(\w+\)`, "DATE"},
	{`(?m)^(From \S+)  \w{3} \w{3} .\d [\d:]{8} \d{4}$`, "$1  DATE"},
	{`\(Post(fix|house)`, "(SUITE"},
	{`Post(fix|house)`, "SUITE"},
	{`ID\.\d+/`, "ID.STAMP/"},
	{`\bID\.V\w+I\w+M\d+\.\S+`, "UNIQUE"}, // ours has the sizes in it
}

// inNotices takes out of notices what differs for a reason.
var inNotices = []struct{ expr, to, why string }{
	{`(?s)(Content-Description: Notification\nContent-Type: text/plain; charset=\S+\n(?:Content-Transfer-Encoding: \S+\n)?\n).*?\n\s+The mail system\n`, "${1}INTRO\n", "the words are each suite's own"},
	{`(Content-Description: Notification\nContent-Type: text/plain; charset=)(us-ascii|utf-8\nContent-Transfer-Encoding: 8bit)\n`, "${1}C\n", "here what is US-ASCII says so; Postfix says utf-8 wherever smtputf8_enable is yes"},
	{`(?m)^(\tboundary="ID\.\w+/mail\.example\.test"\n)Content-Transfer-Encoding: 8bit\n`, "$1", "the same"},
	{`(?m)^(Content-Type: (?:message|text)/(?:rfc822|global)(?:-headers)?\n)Content-Transfer-Encoding: 8bit\n`, "$1", "the same"},
	{`report-type=global-delivery-status`, "report-type=delivery-status", "RFC 6522 3: it is the subtype of the second part"},
	{`(Original-Recipient: )(?:utf-8|rfc822)(;.*[\x80-\xff])`, "${1}T$2", "RFC 6533 3: an address that is not US-ASCII is no rfc822 address"},
	{`(with (?:UTF8SMTP|ESMTP) id ID;)\n\tDATE`, "$1 DATE", "Received is folded at another place"},
	{`(127\.0\.0\.1\]):\d+`, "$1:PORT", "each site has its ports"},
}

func plainMail(text string) string {
	for _, r := range inMail {
		text = regexp.MustCompile(r.expr).ReplaceAllString(text, r.to)
	}
	for _, r := range inNotices {
		text = regexp.MustCompile(r.expr).ReplaceAllString(text, r.to)
	}
	return text
}

// deliveries are the files that were made, with their owners and modes.
func (s *twinSite) deliveries(t *testing.T, sorted bool) []string {
	t.Helper()
	var list []string
	for _, d := range []string{"drop", "spool", "home"} {
		filepath.WalkDir(filepath.Join(s.dir, d), func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil
			}
			info, err := e.Info()
			if err != nil {
				return nil
			}
			text, _ := os.ReadFile(path)
			name, _ := filepath.Rel(s.dir, path)
			list = append(list, fmt.Sprintf("%s %v %s", plainMail(name), info.Mode(), ownerOf(info)))
			// Deliveries run side by side, so what is left out must not go from one to the next.
			for _, m := range strings.Split("\n\n"+string(text), "\n\nFrom ") {
				m = strings.TrimPrefix(plainMail("From "+strings.TrimSpace(m)), "From ")
				if m == "" {
					continue
				}
				if sorted {
					parts := strings.Split(m, "\n\n")
					for i, part := range parts {
						parts[i] = strings.TrimSpace(part)
					}
					slices.Sort(parts)
					m = strings.Join(parts, "\n\n")
				}
				list = append(list, plainMail(name)+": "+m)
			}
			return nil
		})
	}
	slices.Sort(list)
	return list
}

// test runs the cases of a configuration on both sides.
func (tw twin) test(t *testing.T) {
	site := newTwinSite(t)
	for name, text := range tw.files {
		if err := os.WriteFile(filepath.Join(site.dir, "etc", name), []byte(site.expand(text)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if tw.before != nil {
		tw.before(t, site)
	}
	settings := []string{"mail_spool_directory = " + site.dir + "/spool", "local_recipient_maps =", "alias_database ="}
	if !slices.ContainsFunc(tw.settings, func(line string) bool { return strings.HasPrefix(line, "notify_classes =") }) {
		settings = append(settings, "notify_classes =")
	}
	for _, line := range tw.settings {
		settings = append(settings, site.expand(line))
	}
	p := newPair(t, settings...)
	p.ours.Set(t, "mydestination = mail.example.test, localhost", "myorigin = mail.example.test")
	for _, line := range tw.services {
		p.ours.Service(t, site.expand(line))
		p.theirs.Service(t, site.expand(line))
	}
	for _, command := range tw.postmap {
		words := strings.Fields(site.expand(command))
		p.tool(t, words[0], words[1:]...)
	}
	results := map[string][][]string{}
	for _, s := range p.sides(t) {
		s.start()
		for _, c := range tw.cases {
			results[s.name] = append(results[s.name], p.one(t, site, s, c, tw.sorted))
		}
		s.stop()
	}
	for i, c := range tw.cases {
		t.Run(c.name, func(t *testing.T) {
			d := lineDiff(results["theirs"][i], results["ours"][i])
			if d != "" && c.why == "" {
				t.Errorf("(-theirs +ours):\n%s", d)
			}
			if d == "" && c.why != "" {
				t.Errorf("no difference, although %s", c.why)
			}
		})
	}
}

// plainLog takes out of a log line what differs by nature: paths, the message's
// id in warnings, and the blank that stands for the last line end of a command's
// output.
func (s *twinSite) plainLog(line string) string {
	line = strings.ReplaceAll(line, s.dir, "DIR")
	line = strings.ReplaceAll(line, ": warning: ID: ", ": warning: ")
	line = strings.ReplaceAll(line, "Subject: Posthouse SMTP", "Subject: Postfix SMTP")
	return strings.TrimSuffix(strings.TrimSuffix(line, ")"), " ")
}

// lineDiff shows what only one of two lists has, in whatever order.
func lineDiff(theirs, ours []string) string {
	rest := slices.Clone(ours)
	var lost []string
	for _, line := range theirs {
		if i := slices.Index(rest, line); i >= 0 {
			rest = slices.Delete(rest, i, i+1)
		} else {
			lost = append(lost, strings.Split(line, "\n")...)
		}
	}
	var added []string
	for _, line := range rest {
		added = append(added, strings.Split(line, "\n")...)
	}
	return cmp.Diff(lost, added)
}

// one sends one message and returns its traces.
func (p *pair) one(t *testing.T, site *twinSite, s side, c twinCase, sorted bool) []string {
	t.Helper()
	site.clean(t)
	if c.before != nil {
		c.before(t, site)
	}
	before := len(s.settled(t, p))
	sender, text := c.sender, c.text
	switch sender {
	case "":
		sender = "from@remote.test"
	case "<>":
		sender = ""
	}
	if text == "" {
		text = "Subject: " + c.name + "\n\ntext\n"
	}
	rcpts := make([]string, len(c.rcpts))
	for i, r := range c.rcpts {
		rcpts[i] = site.expand(r)
	}
	var lines []string
	if c.smtp != nil {
		lines = dialogue(t, s.addr, text, c.smtp)
	} else {
		s.send(text, append(append([]string{"-f", sender}, c.args...), append([]string{"--"}, rcpts...)...)...)
	}
	if c.after != nil {
		c.after(t, p, s)
	}
	testkit.Wait(t, s.name+": "+c.name+" is done", func() bool { return p.idle(t) && finished(s.log()[before:], p.places(t)) })
	log := s.settled(t, p)[before:]
	for _, line := range shapes(log, s.name) {
		if strings.HasPrefix(line, "mark[") {
			continue
		}
		lines = append(lines, site.plainLog(line))
	}
	lines = append(lines, site.deliveries(t, sorted)...)
	if len(p.places(t)) > 0 {
		p.run(t, s.command("postsuper", "-d", "ALL"), "")
	}
	return lines
}

// dialogue sends a message by SMTP and returns the replies.
func dialogue(t *testing.T, addr, text string, commands []string) []string {
	t.Helper()
	var lines []string
	conn := testkit.Dial(t, addr)
	for _, command := range append(append([]string{"EHLO client.test"}, commands...), "DATA") {
		reply := conn.Cmd("", "%s", command)
		if command == "DATA" && strings.HasPrefix(reply, "354") {
			reply += conn.Cmd("", "%s\r\n.", strings.ReplaceAll(text, "\n", "\r\n"))
		}
		if command != "EHLO client.test" {
			lines = append(lines, plainMail(command+": "+reply))
		}
	}
	conn.Cmd("221", "QUIT")
	return lines
}

// idle reports whether nothing is about to be delivered. While it looks at one queue,
// a message may come to another, so it looks twice.
func (p *pair) idle(t *testing.T) bool {
	for range 2 {
		if slices.ContainsFunc(p.places(t), func(place string) bool {
			return strings.HasPrefix(place, "maildrop/") || strings.HasPrefix(place, "incoming/") || strings.HasPrefix(place, "active/")
		}) {
			return false
		}
	}
	return true
}

// fate matches the lines of the queue manager on how it took or ended a message.
var fate = regexp.MustCompile(`qmgr\[\d+\]: (\w+): (from=<.*\(queue active\)|removed)`)

// finished reports whether each message that the queue manager had is gone, or
// waits, also according to the log.
func finished(log string, places []string) bool {
	open := map[string]bool{}
	for _, m := range fate.FindAllStringSubmatch(log, -1) {
		open[m[1]] = m[2] != "removed" // one that waited is taken more than once
	}
	for id, is := range open {
		if is && !slices.Contains(places, "deferred/"+id) && !slices.Contains(places, "hold/"+id) {
			return false
		}
	}
	return true
}

// settled returns the log once it is at rest.
func (s side) settled(t *testing.T, p *pair) string {
	if s.name == "theirs" {
		return p.theirs.Settle(t)
	}
	return p.ours.Log()
}
