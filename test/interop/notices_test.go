package interop

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// noticeReplies are what a server says to recipients, by their local parts.
var noticeReplies = map[string]string{
	"unknown":   "550 5.1.1 unknown here",
	"full":      "552 5.2.2 mailbox full",
	"plain":     "550 no such user",
	"many":      "550-5.7.1 first line\r\n550-5.7.1  second line\r\n550 5.7.1 third line",
	"odd":       "550 5.7.1 t\xfcr \x01 \x1b[1m \x7f \t tab",
	"utf8":      "550 5.7.1 t\u00fcr",
	"long":      "550 5.7.1 " + strings.Repeat("x", 300) + " end",
	"words":     "550 5.7.1 " + strings.Repeat("some words ", 100),
	"mismatch":  "550 4.2.2 which is it",
	"bare":      "550",
	"blank":     "550 ",
	"bareend":   "550-5.1.1 first line\r\n550",
	"codes":     "550-5.1.1 first line\r\n550 5.7.1 second line",
	"grey":      "450 4.2.0 come back",
	"f\u00fcll": "550 5.1.1 f\u00fcll is unknown",
}

// saying is a server that noticeReplies so; features are what it offers.
func saying(t *testing.T, features ...string) string {
	t.Helper()
	var asked atomic.Int32 // for recipients that get in at each second attempt
	ln := testkit.Serve(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(2 * time.Minute))
		r := bufio.NewReader(conn)
		fmt.Fprint(conn, "220 said.test ESMTP\r\n")
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			reply := "250 2.0.0 ok"
			switch verb := strings.ToUpper(strings.Fields(line + " x")[0]); verb {
			case "EHLO":
				reply = "250-said.test\r\n250-" + strings.Join(append(features, "HELP"), "\r\n250-")
				i := strings.LastIndex(reply, "250-")
				reply = reply[:i] + "250 " + reply[i+4:]
			case "RCPT":
				_, rest, _ := strings.Cut(line, "<")
				local, _, _ := strings.Cut(rest, "@")
				if said := noticeReplies[local]; said != "" {
					reply = said
				}
				if strings.Contains(local, "echo") {
					reply = "550 5.1.1 " + strings.TrimSpace(line)
				}
				if strings.HasPrefix(local, "second") && asked.Add(1)%2 == 1 {
					reply = noticeReplies["grey"]
				}
				if reply == noticeReplies["grey"] {
					time.Sleep(1100 * time.Millisecond) // the shortest delay_warning_time, and more
				}
			case "DATA":
				fmt.Fprint(conn, "354 go on\r\n")
				for line != ".\r\n" {
					if line, err = r.ReadString('\n'); err != nil {
						return
					}
				}
			case "QUIT":
				fmt.Fprint(conn, "221 2.0.0 bye\r\n")
				return
			}
			fmt.Fprint(conn, reply+"\r\n")
		}
	})
	return fmt.Sprintf("[127.0.0.1]:%d", ln.Addr().(*net.TCPAddr).Port)
}

const noticeSender = "pxalice@mail.example.test"

// noticeSettings are for a site whose notices all come to a mailbox.
func noticeSettings(t *testing.T, more ...string) []string {
	return append([]string{
		fmt.Sprintf("transport_maps = inline:{said.test=smtp:%s, full.test=smtp:%s, dead.test=smtp:[127.0.0.1]:%d, {bad.test=error:5.1.1 nobody of that name}, off.test=discard:}",
			saying(t), saying(t, "8BITMIME", "DSN", "SMTPUTF8"), testkit.NewClosed(t).Port),
		"alias_maps =", "bounce_notice_recipient = pxbob", "2bounce_notice_recipient = pxbob+2", "delay_notice_recipient = pxbob+late",
		"recipient_delimiter = +", "minimal_backoff_time = 3000s", "queue_run_delay = 3000s"}, more...)
}

const latin = "Subject: gr\xfc\xdfe\nMIME-Version: 1.0\nContent-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\ngr\xfc\xdfe\n"
const utf8Body = "Subject: plain\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\ngr\u00fc\u00dfe\n"

func noticeCases() []twinCase {
	c := func(name string, rcpts ...string) twinCase {
		return twinCase{name: name, sender: noticeSender, rcpts: rcpts}
	}
	with := func(c twinCase, text string, args ...string) twinCase {
		c.text, c.args = text, args
		return c
	}
	cases := []twinCase{
		c("several", "full@said.test", "many@said.test", "unknown@said.test"),
		c("several in no order", "unknown@said.test", "full@said.test", "many@said.test"),
		c("unrouted", "one@bad.test"),
		c("at home", "nosuch@localhost"),

		because(with(c("8 bit", "unknown@said.test"), latin), "Postfix takes any 8-bit byte in a header for SMTPUTF8"),
		with(c("8 bit body", "unknown@said.test"), utf8Body, "-B8BITMIME"),
		with(c("headers", "unknown@said.test"), utf8Body, "-R", "hdrs"),
		with(c("full", "unknown@said.test"), utf8Body, "-R", "full"),
		with(c("envelope id", "unknown@said.test"), "Subject: x\n\nx\n", "-V", "some-id"),
		because(with(c("never", "unknown@said.test"), "Subject: x\n\nx\n", "-N", "never"), "Postfix begins a notice and drops it"),
		with(c("success", "good@said.test", "unknown@said.test"), "Subject: x\n\nx\n", "-N", "success,failure"),
		because(with(c("success only", "good@said.test", "unknown@said.test"), "Subject: x\n\nx\n", "-N", "success"), "Postfix begins a notice and drops it"),
		with(c("verify", "good@said.test", "unknown@said.test"), "To: x@y.test\nSubject: x\n\nx\n", "-bv"),
		with(c("verbose", "unknown@said.test"), "Subject: x\n\nx\n", "-v"),
		{name: "null sender", sender: "<>", rcpts: []string{"unknown@said.test"}},
		{name: "double", sender: "nosuch@mail.example.test", rcpts: []string{"unknown@said.test"}},
		{name: "double bounce sender", sender: "double-bounce@mail.example.test", rcpts: []string{"unknown@said.test"}},
		with(c("large", "unknown@said.test"), "Subject: x\nX-Folded: a\n b\n\n"+strings.Repeat("some text\n", 2000)),
		with(c("large header", "unknown@said.test"), "Subject: x\n"+strings.Repeat("X-Many: value of it\n", 1000)+"\nbody\n"),
		with(c("long line", "unknown@said.test"), "Subject: x\n\n"+strings.Repeat("x", 5000)+"\n"),
		with(c("no body", "unknown@said.test"), "Subject: x\n"),
		with(c("only body", "unknown@said.test"), "\nbody\n"),
		with(c("boundary", "unknown@said.test"), "Subject: x\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain\nContent-Transfer-Encoding: 8bit\n\nt\u00fcr\n--b--\n"),
		because(c("quoted", `"a b"@bad.test`), "Original-Recipient is in external form also for what did not come by SMTP"),
	}
	for _, name := range []string{"plain", "many", "odd", "long", "words", "mismatch", "bare", "codes"} {
		cases = append(cases, c("says "+name, name+"@said.test"))
	}
	cases = append(cases, because(c("says bareend", "bareend@said.test"), "a code of the first line is better than none"), because(c("says blank", "blank@said.test"), "no text is none, with a blank in front of it or not"))
	return append(cases, because(c("says utf8", "utf8@said.test"), "RFC 3464 2.1.2: the report is US-ASCII unless the mail is SMTPUTF8"))
}

// smtpCases are those whose wishes come by SMTP.
func smtpCases() []twinCase {
	smtp := func(name, text string, commands ...string) twinCase {
		return twinCase{name: name, text: text, smtp: commands}
	}
	mail := "MAIL FROM:<" + noticeSender + ">"
	return []twinCase{
		smtp("by SMTP", "Subject: x\n\nx\n", mail+" RET=HDRS ENVID=a+2Bb+3Dc", "RCPT TO:<plain@said.test> ORCPT=rfc822;first+2B2Blast@x.test", "RCPT TO:<unknown@said.test> NOTIFY=FAILURE ORCPT=rfc822;first+2Blast@x.test"),
		smtp("odd ORCPT", "Subject: x\n\nx\n", mail+" RET=FULL ENVID=+7E", "RCPT TO:<unknown@said.test> ORCPT=x-other;a+2Bb+3Dc"),
		smtp("UTF-8", "Subject: gr\u00fc\u00dfe\n\ngr\u00fc\u00dfe\n", mail+" SMTPUTF8 BODY=8BITMIME", "RCPT TO:<f\u00fcll@full.test> ORCPT=utf-8;tr@x.test"),
		smtp("UTF-8 ORCPT", "Subject: x\n\nx\n", mail+" SMTPUTF8", "RCPT TO:<f\u00fcll@full.test> ORCPT=utf-8;t\\x{FC}r\\x{5C}x@x.test"),
		smtp("UTF-8 ORCPT as it is", "Subject: x\n\nx\n", mail+" SMTPUTF8", "RCPT TO:<f\u00fcll@full.test> ORCPT=utf-8;t\u00fcr@x.test"),
		because(smtp("UTF-8 ORCPT in a plain message", "Subject: x\n\nx\n", mail, `RCPT TO:<unknown@said.test> ORCPT=utf-8;t\x{FC}r@x.test`), "RFC 6533 3: a report in US-ASCII has the address encoded"),
		because(smtp("surrogate", "Subject: x\n\nx\n", mail, `RCPT TO:<unknown@said.test> ORCPT=utf-8;t\x{D800}r@x.test`), "it is no character"),
		smtp("bad UTF-8 ORCPT", "Subject: x\n\nx\n", mail, `RCPT TO:<unknown@said.test> ORCPT=utf-8;t\x{FCr@x.test`,
			`RCPT TO:<unknown@said.test> ORCPT=utf-8;t+2Br@x.test`),
		smtp("blank envelope id", "Subject: x\n\nx\n", mail+" ENVID=+20a+20b", "RCPT TO:<unknown@said.test>"),
		smtp("control in an envelope id", "Subject: x\n\nx\n", mail+" ENVID=a+09b", mail+" ENVID=a+0D+0Ab", mail+" ENVID=a+7Fb", mail, "RCPT TO:<unknown@said.test>"),
		smtp("blank ORCPT", "Subject: x\n\nx\n", mail, "RCPT TO:<unknown@said.test> ORCPT=rfc822;+20a+20b"),
		smtp("quoted", "Subject: x\n\nx\n", mail, `RCPT TO:<"echo b"@full.test>`, `RCPT TO:<"echo d"@full.test> ORCPT=rfc822;"c+20d"@bad.test`),
		smtp("UTF-8 passed on", "Subject: x\n\nx\n", mail+" SMTPUTF8", `RCPT TO:<echo1@full.test> ORCPT=utf-8;t\x{FC}r\x{5C}+@x.test`, "RCPT TO:<echo2@full.test> ORCPT=utf-8;t\u00fcr@x.test"),
		because(smtp("UTF-8 address passed on", "Subject: x\n\nx\n", mail+" SMTPUTF8", "RCPT TO:<\u00fcecho@full.test>"), "RFC 6533 3: an address that is not US-ASCII is no rfc822 address"),
		because(smtp("UTF-8 ORCPT passed on", "Subject: x\n\nx\n", mail, `RCPT TO:<echo1@full.test> ORCPT=utf-8;t\x{FC}r\x{5C}+\x{3D}@x.test`, `RCPT TO:<echo2@full.test> ORCPT=rfc822;a+2Bb+3Dc`), "RFC 6533 3: a report in US-ASCII has the address encoded"),
		smtp("UTF-8 headers", "Subject: gr\u00fc\u00dfe\n\ngr\u00fc\u00dfe\n", mail+" SMTPUTF8 RET=HDRS", "RCPT TO:<f\u00fcll@full.test>"),
		smtp("UTF-8 not understood", "Subject: gr\u00fc\u00dfe\n\ngr\u00fc\u00dfe\n", mail+" SMTPUTF8", "RCPT TO:<t\u00fcr@said.test>"),
		smtp("UTF-8 for nothing", "Subject: x\n\nx\n", mail+" SMTPUTF8", "RCPT TO:<unknown@said.test>"),
		smtp("UTF-8 success", "Subject: x\n\nx\n", mail+" SMTPUTF8", "RCPT TO:<t\u00fcr@off.test> NOTIFY=SUCCESS"),
		smtp("success at home", "Subject: x\n\nx\n", mail+" ENVID=q", "RCPT TO:<pxbob@mail.example.test> NOTIFY=SUCCESS ORCPT=rfc822;bob@x.test"),
	}
}

// because marks a case whose outcomes differ for a reason.
func because(c twinCase, why string) twinCase {
	c.why = why
	return c
}

// TestNotices: what fails is told in the same notices, to the byte.
func TestNotices(t *testing.T) {
	twin{name: "notices", settings: noticeSettings(t, "notify_classes = bounce, 2bounce, delay", "bounce_size_limit = 10000"), cases: noticeCases()}.test(t)
}

// TestNoticesBySMTP: the same for what clients ask for in the envelope.
func TestNoticesBySMTP(t *testing.T) {
	twin{name: "notices", settings: noticeSettings(t, "notify_classes = bounce, 2bounce"), cases: smtpCases()}.test(t)
}

// ownTexts are templates of a site, with all headers and expansions.
const ownTexts = `# ours
failure_template = <<EOF
Charset: utf-8
From: Hausmeister <post@mail.example.test>
Subject: Zurueck
postmaster-subject:   Kopie

Hier ist $myhostname, für $$5: ${mydomain} $(myorigin).
  Nach $maximal_queue_lifetime_days Tagen, ${maximal_queue_lifetime_hours} Stunden, $maximal_queue_lifetime_weeks Woche.
\\backslash
EOF

success_template = <<WORD
Subject: Done
From: x@y.test (Someone)

It is done.
WORD
verify_template=<<EOF

only text; ${delay_warning_time_hours} ${delay_warning_time_minutes}

EOF
`

// TestOwnNotices: a site's own texts are used in the same way.
func TestOwnNotices(t *testing.T) {
	c := func(name string, args ...string) twinCase {
		return twinCase{name: name, sender: noticeSender, rcpts: []string{"unknown@said.test"}, text: "Subject: x\n\nx\n", args: args}
	}
	mail := "MAIL FROM:<" + noticeSender + "> SMTPUTF8"
	cases := []twinCase{c("failure"), c("verify", "-bv"), c("verbose", "-v"), {name: "null sender", sender: "<>", rcpts: []string{"unknown@said.test"}},
		{name: "success", sender: noticeSender, rcpts: []string{"good@said.test"}, args: []string{"-N", "success"}},
		{name: "UTF-8", text: "Subject: x\n\nx\n", smtp: []string{mail, "RCPT TO:<füll@full.test>"}}}
	twin{name: "own texts", settings: noticeSettings(t, "notify_classes = bounce, 2bounce", "bounce_template_file = ETC/bounce.cf", "maximal_queue_lifetime = 9d", "delay_warning_time = 2h"),
		files: map[string]string{"bounce.cf": ownTexts}, cases: cases}.test(t)
}
