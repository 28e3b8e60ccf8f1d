package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/intake"
	"github.com/posthouse-mail/posthouse/pkg/mime"
)

// FuzzMessage sends any message as a user who is logged in. Whatever of it is
// accepted must carry what a message must have, say who wrote it once and
// truly, name no blind recipient, and have the body that was sent.
func FuzzMessage(f *testing.F) {
	for _, seed := range []string{
		"From: joe@here.test\nSubject: x\n\nbody\n",
		"From: jim@there.test\n\nx\n",
		"From: joe@here.test\nFrom : jim@there.test\n\nx\n",
		"From: \"joe@here.test\" <jim@there.test>\n\n",
		"From: joe@here.test,(\n jim@there.test\n\n",
		"From joe@here.test Sat\nFrom: joe\nBcc: a@b.test\n\n\n\n",
		">From x\n folded\n\nx",
		" \nfolded first\n\n",
		"Bcc:\n\ta@b.test,\n\t\n\n.\n..\n",
		"Resent-From: a\nResent-Bcc: b\nDate: x\nMessage-ID: y\nMIME-Version: z\n\n\xff\x00\n",
		"To: a:b;,<@x,@y:z@w>,\"\\\"\"@q\nSender: joe@here.test\n\nx\r\ny\n",
		"no header at all",
		"",
	} {
		f.Add([]byte(seed))
	}
	h := newHouse(f, "smtpd_hard_error_limit = 1000000000", "smtpd_junk_command_limit = 1000000000")
	c := h.login(joe)
	f.Fuzz(func(t *testing.T, message []byte) {
		if len(message) > 64<<10 {
			t.Skip("longer than the buffers of a connection")
		}
		c.t, h.t = t, t
		lines := strings.Split(strings.TrimSuffix(strings.NewReplacer("\r\n", "\n", "\r", "\r ").Replace(string(message)), "\n"), "\n")
		c.begin("joe@here.test")
		var b bytes.Buffer
		for _, l := range lines {
			if strings.HasPrefix(l, ".") {
				b.WriteByte('.')
			}
			b.WriteString(l + "\r\n")
		}
		b.WriteString(".\r\n")
		if _, err := c.conn.Write(b.Bytes()); err != nil {
			t.Fatal(err)
		}
		reply := c.reply()
		list := h.queue()
		switch {
		case strings.HasPrefix(reply, "250 ") && len(list) == 1:
			accepted(t, lines, list[0].lines)
		case (reply[0] == '4' || reply[0] == '5') && len(list) == 0:
		default:
			t.Fatalf("%q with %d messages in the queue", reply, len(list))
		}
	})
}

// accepted checks a message of joe's that was queued.
func accepted(t *testing.T, sent, got []string) {
	counts := map[string]int{}
	var field []byte
	end := len(got)
	for i, l := range append(got, "") {
		if l != "" && (l[0] == ' ' || l[0] == '\t') && field != nil {
			field = append(append(field, '\n'), l...)
			continue
		}
		if field != nil {
			checkField(t, counts, field)
		}
		field = []byte(l)
		if mime.HeaderName(field) == 0 {
			end = i
			break
		}
	}
	for _, name := range []string{"from", "date", "message-id", "mime-version"} {
		if counts[name] != 1 {
			t.Errorf("%d fields %s in %q", counts[name], name, got)
		}
	}
	if counts["bcc"]+counts["resent-bcc"]+counts["return-path"] > 0 || counts["sender"] > 1 {
		t.Errorf("fields %v", counts)
	}
	if first := intake.MailboxLine([]byte(sent[0])); len(first) > 0 && mime.HeaderName(first) == 0 {
		sent = append([]string{""}, sent...) // all of it is body
	}
	for i, l := range sent {
		if l == "" {
			want := strings.ReplaceAll(strings.Join(sent[i:], "\n"), "\r", " ")
			if body := strings.Join(got[end:], "\n"); body != want {
				t.Errorf("the body is %q, was %q", body, want)
			}
			break
		}
	}
}

func checkField(t *testing.T, counts map[string]int, field []byte) {
	n := mime.HeaderName(field)
	name := strings.ToLower(string(field[:n]))
	counts[name]++
	if name != "from" && name != "sender" {
		return
	}
	all := address.ListAddresses(string(field[bytes.IndexByte(field, ':')+1:]), 0)
	if len(all) == 0 {
		t.Errorf("no address in %q", field)
	}
	for _, a := range all {
		switch local, domain, _ := strings.Cut(strings.ToLower(a), "@"); {
		case domain == "joe.test", domain == "here.test" && (local == "joe" || local == "joseph" || local == "sales"):
		default:
			t.Errorf("<%s> in %q is not joe's", a, field)
		}
	}
}
