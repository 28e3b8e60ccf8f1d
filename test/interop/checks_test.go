package interop

import (
	"bufio"
	"fmt"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// taker is an SMTP server that keeps what it is sent.
type taker struct {
	port  int
	plain func(text string) string // takes out more that differs by nature
	mu    sync.Mutex
	list  []string // envelope, then text
}

// newTaker makes a server that takes all mail.
func newTaker(t *testing.T) *taker {
	t.Helper()
	k := &taker{}
	ln := testkit.Serve(t, "tcp", "127.0.0.1:0", k.serve)
	k.port = ln.Addr().(*net.TCPAddr).Port
	return k
}

func (k *taker) serve(conn net.Conn) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	r := bufio.NewReader(conn)
	fmt.Fprint(conn, "220 taker.test ESMTP\r\n")
	envelope, text, inText := "", "", false
	for {
		line, err := r.ReadString('\n')
		switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); {
		case err != nil:
			return
		case inText && line == ".\r\n":
			k.mu.Lock()
			k.list = append(k.list, envelope+"\r\n"+text)
			k.mu.Unlock()
			envelope, text, inText = "", "", false
			fmt.Fprint(conn, "250 2.0.0 taken\r\n")
		case inText:
			text += line
		case verb == "EHLO":
			fmt.Fprint(conn, "250-taker.test\r\n250 8BITMIME\r\n")
		case verb == "DATA":
			inText = true
			fmt.Fprint(conn, "354 go on\r\n")
		case verb == "QUIT":
			fmt.Fprint(conn, "221 2.0.0 bye\r\n")
			return
		default:
			if verb == "MAIL" || verb == "RCPT" {
				envelope += line
			}
			fmt.Fprint(conn, "250 2.0.0 ok\r\n")
		}
	}
}

// taken empties the list.
func (k *taker) taken() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := k.list
	k.list = nil
	if k.plain != nil {
		for i, text := range list {
			list[i] = k.plain(text)
		}
	}
	return list
}

// parcel is a message for both systems. Its number is in its sender's address,
// by which its log lines and what is delivered of it are found.
type parcel struct {
	name  string
	rcpts []string // u@b.test if there is none
	text  string
	local bool   // by sendmail, not by SMTP
	why   string // the outcomes differ, and why
}

func (m parcel) to() []string {
	if m.rcpts == nil {
		return []string{"u@b.test"}
	}
	return m.rcpts
}

var (
	parcelOf = regexp.MustCompile(`<s(\d+)[@+][^>]*>`)
	parcelID = regexp.MustCompile(`\]: (?:warning: )?([0-9A-F]{9,12}): `)
	noticeID = regexp.MustCompile(`\]: ([0-9A-F]{9,12}): sender non-delivery notification: ([0-9A-F]{9,12})`)
	dateLine = regexp.MustCompile(`(?m)^Date: .*`)
	// tableFault is logged with the message's id here and without one there, in
	// other words.
	tableFault = regexp.MustCompile(`^cleanup: warning: (?:ID: )?(?:bad|missing|unknown|PREPEND|REPLACE) .*?((?:(?:mime|nested)_)?(?:header|body)_checks|2\.0\.0 fine).*`)
)

// sendParcels gives one system all messages, and returns the replies of its
// SMTP server and, by the number of the message, what came of it.
func (p *pair) sendParcels(t *testing.T, s side, addr string, k *taker, list []parcel) map[string][]string {
	t.Helper()
	before := len(s.log())
	s.start()
	result := map[string][]string{}
	c := testkit.Dial(t, addr)
	c.Cmd("250", "EHLO client.test")
	for i, m := range list {
		label := fmt.Sprint(i)
		if m.local {
			s.send(m.text, append([]string{"-f", "s" + label + "@x.test", "--"}, m.to()...)...)
			continue
		}
		c.Cmd("250", "MAIL FROM:<s%s@x.test>", label)
		for _, r := range m.to() {
			c.Cmd("250", "RCPT TO:<%s>", r)
		}
		c.Cmd("354", "DATA")
		text := strings.TrimSuffix(strings.ReplaceAll(m.text, "\n", "\r\n"), "\r\n")
		reply := c.Cmd("", "%s\r\n.", text)
		result[label] = append(result[label], "said: "+queueID.ReplaceAllString(reply, "ID"))
	}
	c.Cmd("221", "QUIT")
	atRest := func() bool {
		return p.idle(t) && finished(s.settled(t, p)[before:], p.places(t))
	}
	testkit.Wait(t, s.name+": all is done", atRest)
	for _, place := range p.places(t) {
		if strings.HasPrefix(place, "hold/") {
			result["held"] = append(result["held"], "one")
		}
	}
	if out := p.run(t, s.command("postsuper", "-H", "ALL"), ""); out.Status != 0 {
		t.Errorf("%s: postsuper -H ALL: %+v", s.name, out)
	}
	p.run(t, s.command("postqueue", "-f"), "")
	testkit.Wait(t, s.name+": what was held is done", func() bool {
		return atRest() && !slices.ContainsFunc(p.places(t), func(place string) bool { return strings.HasPrefix(place, "hold/") })
	})
	log := s.settled(t, p)[before:]
	p.run(t, s.command("postsuper", "-d", "ALL"), "")
	s.stop()
	sortOut(result, s.name, log, k.taken())
	return result
}

// withParcel finds the message that each line belongs to. unclear are those of
// which an id was given again to another.
func withParcel(lines []string) (labels []string, unclear map[string]bool) {
	owner, unclear := map[string]string{}, map[string]bool{}
	claim := func(id, label string) {
		if was := owner[id]; was != "" && label != "" && was != label {
			unclear[was], unclear[label] = true, true
		} else if label != "" {
			owner[id] = label
		}
	}
	ids := make([]string, len(lines))
	for i, line := range lines {
		if id := parcelID.FindStringSubmatch(line); id != nil {
			ids[i] = id[1]
			if m := parcelOf.FindStringSubmatch(line); m != nil {
				claim(id[1], m[1])
			}
		}
	}
	for _, line := range lines {
		if m := noticeID.FindStringSubmatch(line); m != nil {
			claim(m[2], owner[m[1]])
		}
	}
	for _, id := range ids {
		label := "-"
		if id != "" {
			label = owner[id]
		}
		labels = append(labels, label)
	}
	return labels, unclear
}

// sortOut adds log lines and deliveries to the messages they belong to.
func sortOut(result map[string][]string, side, log string, taken []string) {
	lines := strings.Split(log, "\n")
	logs := map[string][]string{}
	labels, unclear := withParcel(lines)
	for label := range unclear {
		result["unclear"] = append(result["unclear"], label)
	}
	for i, label := range labels {
		logs[label] = append(logs[label], lines[i])
	}
	for label, lines := range logs {
		for _, line := range shapes(strings.Join(lines, "\n"), side) {
			if strings.HasPrefix(line, "mark[") || strings.Contains(line, " private/nosuch: ") {
				continue // of the test, or in other words
			}
			if m := tableFault.FindStringSubmatch(line); m != nil {
				result["-"] = append(result["-"], "warning: "+m[1])
			} else {
				result[label] = append(result[label], line)
			}
		}
	}
	slices.Sort(result["-"])
	slices.Sort(taken)
	for _, text := range taken {
		label := "-"
		if m := parcelOf.FindStringSubmatch(text); m != nil {
			label = m[1]
		}
		if notice, ok := strings.CutPrefix(text, "MAIL FROM:<>"); ok {
			// Notices have other words and encodings.
			rcpt, _, _ := strings.Cut(notice[strings.Index(notice, "RCPT"):], "\r\n\r\n")
			_, status, _ := strings.Cut(notice, "\r\nFinal-Recipient: ")
			status, _, _ = strings.Cut(status, "\r\n\r\n--")
			text = rcpt + "\r\n" + status
		}
		result[label] = append(result[label], "delivered:\n"+plainMail(dateLine.ReplaceAllString(text, "Date: DATE")))
	}
}

// compareParcels gives both the same messages.
func (p *pair) compareParcels(t *testing.T, k *taker, list []parcel) {
	t.Helper()
	results := map[string]map[string][]string{}
	for _, s := range p.sides(t) {
		addr := p.ours.Addr()
		if s.name == "theirs" {
			addr = p.theirs.Addr
		}
		results[s.name] = p.sendParcels(t, s, addr, k, list)
	}
	// Postfix begins a notice before it sees that nobody wants one.
	results["theirs"][""] = slices.DeleteFunc(results["theirs"][""], func(line string) bool { return strings.HasPrefix(line, "cleanup: ID: message-id=<STAMP.ID@") })
	for _, label := range []string{"held", "-", ""} {
		if d := lineDiff(results["theirs"][label], results["ours"][label]); d != "" {
			t.Errorf("%q (-theirs +ours):\n%s", label, d)
		}
	}
	unclear := append(results["theirs"]["unclear"], results["ours"]["unclear"]...)
	for i, m := range list {
		t.Run(m.name, func(t *testing.T) {
			label := fmt.Sprint(i)
			if slices.Contains(unclear, label) {
				t.Log("an id was used twice")
				return
			}
			if results["theirs"][label] == nil {
				t.Error("nothing came of it")
			}
			d := lineDiff(results["theirs"][label], results["ours"][label])
			if d != "" && m.why == "" {
				t.Errorf("(-theirs +ours):\n%s", d)
			}
			if d == "" && m.why != "" {
				t.Errorf("no difference, although %s", m.why)
			}
		})
	}
}

// checkActions are right-hand sides of checks. KIND is the name of the table.
var checkActions = []string{
	"REJECT", "reject", "REJECT KIND text", "REJECT 4.7.1 later", "REJECT 5.7.1", "REJECT 2.0.0 fine", "REJECT 450 4.7.1 later", "REJECT  two  blanks", "REJECT 5.7 x", "REJECT %s ~ back\\slash \"q\"",
	"WARN", "warn KIND text", "INFO", "INFO KIND text", "HOLD", "HOLD KIND text", "DISCARD", "DISCARD KIND text",
	"FILTER", "FILTER smtp", "FILTER smtp:[127.0.0.1]:PORT", "FILTER  smtp:[127.0.0.1]:PORT", "FILTER nosuch:x",
	"REDIRECT", "REDIRECT user", "REDIRECT <a@r.test>", "REDIRECT a@r.test, b@r.test", "REDIRECT Name <a@r.test>", "REDIRECT a@", "REDIRECT a@r.test",
	"PREPEND", "PREPEND text", "PREPEND X-New: KIND", "PREPEND X-New:", "PREPEND X-New : y", "PREPEND From: other", "PREPEND : y",
	"REPLACE", "REPLACE text", "REPLACE X-T: KIND", "REPLACE X-T:", "REPLACE To: someone", "REPLACE Bcc: gone", "REPLACE x: $1${1}y$$",
	"BCC", "BCC user", "BCC b@r.test", "BCC <b@r.test>", "BCC b@r.test, c@r.test", "BCC b@",
	"STRIP", "STRIP KIND text", "IGNORE", "IGNORE text", "DUNNO", "dunno text", "OK", "OK text", "PASS", "PASS KIND text", "NONSENSE", "550 5.7.1 no", "REJECT,x", "a@b.test", "DEFER", "WARN trailing  ", "WARN \xc3\xa4",
}

// checkPairs are actions of two lines of one message.
var checkPairs = []string{"hold hold", "filter1 filter2", "redirect1 redirect2", "redirect1 warn", "filter1 redirect1", "reject warn", "warn reject", "reject reject", "discard warn", "warn discard", "bcc discard", "bcc bcc",
	"hold reject", "reject hold", "discard reject", "reject discard", "bcc redirect1", "redirect1 bcc", "pass reject", "hold discard", "prepend replace", "pass pass"}

const checkPairRules = "/^two: hold/ HOLD one\n/^two: filter1/ FILTER smtp:[127.0.0.1]:PORT\n/^two: filter2/ FILTER nosuch:two\n/^two: redirect1/ REDIRECT one@r.test\n/^two: redirect2/ REDIRECT two@r.test\n" +
	"/^two: reject/ REJECT one\n/^two: warn/ WARN one\n/^two: discard/ DISCARD one\n/^two: bcc/ BCC one@r.test\n/^two: pass/ PASS\n/^two: prepend/ PREPEND Two: first\n/^two: replace/ REPLACE Two: second\n"

// inOther reports whether an action is tried in parts and folded headers too.
func inOther(action string) bool {
	verb, rest, _ := strings.Cut(action, " ")
	return strings.HasPrefix(rest, "KIND") || strings.HasPrefix(rest, "X-") || rest == "" && slices.Contains([]string{"REJECT", "IGNORE", "HOLD", "DISCARD", "STRIP", "PASS"}, verb) ||
		slices.Contains([]string{"REDIRECT a@r.test", "BCC b@r.test", "REJECT 4.7.1 later", "PREPEND text", "REPLACE text"}, action)
}

// checkParcels meet each action in each place.
func checkParcels() []parcel {
	var list []parcel
	whys := checkWhys()
	add := func(name, text string) { list = append(list, parcel{name: name, text: text, why: whys[name]}) }
	long := strings.Repeat("x", 2048)
	for i, action := range checkActions {
		a := fmt.Sprintf("a%d", i)
		add("header "+action, "Subject: s\nX-T: "+a+"\nX-After: x\n\nbody\n")
		add("body "+action, "Subject: s\n\nfirst\n"+a+"\nlast\n")
		if !inOther(action) {
			continue
		}
		add("folded "+action, "Subject: s\nX-T:\n one\n\ttwo "+a+"\nX-After: x\n\nbody\n")
		add("part "+action, "Content-Type: multipart/mixed; boundary=b\n\n--b\nX-T: "+a+"\nX-After: x\n\ntext\n--b--\n")
		add("mime header "+action, "Subject: s\nContent-Description: "+a+"\nContent-X: "+a+"\nX-After: x\n\ntext\n")
		add("nested "+action, "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\nX-T: "+a+"\nSubject: inner\n\ntext\n--b--\n")
		add("long line "+action, "Subject: s\n\n"+long+a+"\nlast\n")
		if action == "REJECT 4.7.1 later" {
			continue // it stays in maildrop, for the next minute
		}
		add("sendmail header "+action, "Subject: s\nX-T: "+a+"\nX-After: x\n\nbody\n")
		list[len(list)-1].local = true
	}
	for _, words := range checkPairs {
		a, b, _ := strings.Cut(words, " ")
		add("header then header: "+words, "Subject: s\ntwo: "+a+"\ntwo: "+b+"\n\nbody\n")
		add("header then body: "+words, "Subject: s\ntwo: "+a+"\n\ntwo: "+b+"\nbody\n")
	}
	return list
}

// checkWhys returns the reasons for what differs.
func checkWhys() map[string]string {
	whys := map[string]string{"header then header: filter1 filter2": noTransport, "header then body: filter1 filter2": noTransport}
	for _, part := range []string{"header ", "body "} {
		whys[part+"REJECT 5.7.1"] = "Postfix says what its memory holds behind the code"
		whys[part+"FILTER nosuch:x"] = noTransport
		whys[part+"REDIRECT Name <a@r.test>"] = "blanks within what is no address"
	}
	for _, action := range []string{"REJECT", "REJECT KIND text"} {
		whys["sendmail header "+action] = "error bounces it, not cleanup"
	}
	return whys
}

const noTransport = "qmgr itself defers mail for a transport that is not there"

// TestChecksLikePostfix: header and body checks of both do the same to the same
// messages.
func TestChecksLikePostfix(t *testing.T) {
	k := newTaker(t)
	var settings []string
	p := newPair(t, "default_transport = smtp:[127.0.0.1]:"+fmt.Sprint(k.port), "local_recipient_maps =", "alias_maps =", "notify_classes =", "in_flow_delay = 0",
		"smtpd_error_sleep_time = 0", "smtpd_soft_error_limit = 10000", "smtpd_hard_error_limit = 20000", "smtp_connection_cache_on_demand = no", "minimal_backoff_time = 3000s",
		"default_process_limit = 10", "smtp_tls_security_level = none")
	for _, kind := range []string{"header", "mime_header", "nested_header", "body"} {
		rules := ""
		for i, action := range checkActions {
			rules += fmt.Sprintf("/^((X-T|Content-X|Content-Description):[[:space:]]*(one[[:space:]]*two )?)?a%d$/ %s\n", i, action)
		}
		rules = strings.ReplaceAll(strings.ReplaceAll(rules+checkPairRules, "KIND", kind), "PORT", fmt.Sprint(k.port))
		p.ours.Write(t, kind+"_checks", rules)
		settings = append(settings, fmt.Sprintf("%s_checks = regexp:%s", kind, filepath.Clean(p.ours.Etc(kind+"_checks"))))
	}
	p.ours.Set(t, settings...)
	p.theirs.Set(t, settings...)
	p.compareParcels(t, k, checkParcels())
}
