package smtpserver

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// eachTaker answers for the recipients of a message by their addresses.
type eachTaker struct {
	taker
	to       []string
	short    bool // one answer too few
	answered int
}

func (h *eachTaker) Rcpt(ctx context.Context, s *Session, r *Rcpt) status.Status {
	if strings.HasPrefix(r.Address, "unknown@") {
		return status.New(550, "5.1.1", "unknown user")
	}
	h.to = append(h.to, r.Address)
	return h.taker.Rcpt(ctx, s, r)
}

func (h *eachTaker) EndEach(ctx context.Context, s *Session, info smtpwire.ContentInfo) []status.Status {
	h.taker.End(ctx, s, info)
	var results []status.Status
	for _, to := range h.to {
		if strings.HasPrefix(to, "full@") {
			results = append(results, status.New(452, "4.2.2", "<"+to+"> mailbox full"))
			continue
		}
		results = append(results, status.New(250, "2.0.0", "<"+to+"> saved"))
	}
	h.answered += len(results)
	if h.short {
		results = results[1:]
	}
	return results
}

func (h *eachTaker) Reset(s *Session) {
	h.to = nil
	h.taker.Reset(s)
}

func TestEachRecipientIsAnswered(t *testing.T) {
	const start = "LHLO c.test\r\nMAIL FROM:<a@b>\r\nRCPT TO:<one@d>\r\nRCPT TO:<unknown@d>\r\nRCPT TO:<full@d>\r\nRCPT TO:<two@d>\r\n"
	const begun = "250 2.1.0 Ok\n250 2.1.5 Ok\n550 5.1.1 unknown user\n250 2.1.5 Ok\n250 2.1.5 Ok\n"
	const each = "250 2.0.0 <one@d> saved\n452 4.2.2 <full@d> mailbox full\n250 2.0.0 <two@d> saved\n"
	const tooBig = "552 5.3.4 Chunk exceeds message size limit\n"
	for _, tc := range []struct {
		name, in, want string
		short          bool
	}{
		{"DATA", start + "DATA\r\nx\r\n.\r\n", begun + "354 End data with <CR><LF>.<CR><LF>\n" + each, false},
		{"BDAT", start + "BDAT 3\r\nx\r\nBDAT 3 LAST\r\ny\r\n", begun + "250 2.0.0 Ok: 3 bytes\n" + each, false},
		{"handler lost count", start + "BDAT 3 LAST\r\ny\r\n", begun + strings.Repeat("451 4.3.0 Error: no result of the delivery\n", 3), true},
		{"last chunk refused", start + "BDAT 30 LAST\r\n" + strings.Repeat("x", 30), begun + strings.Repeat(tooBig, 3), false},
		{"first chunk refused", start + "BDAT 30\r\n" + strings.Repeat("x", 30) + "BDAT 2\r\nyyBDAT 1 LAST\r\nz",
			begun + tooBig + "551 5.0.0 Discarded 2 bytes after earlier error\n" +
				strings.Repeat("551 5.0.0 Discarded 1 bytes after earlier error\n", 3), false},
		{"no recipient", "LHLO c.test\r\nMAIL FROM:<a@b>\r\nDATA\r\n", "250 2.1.0 Ok\n503 5.5.1 Error: no valid recipients\n", false},
		{"not SMTP", "LHLO c.test\r\nEHLO c.test\r\nHELO c.test\r\n", strings.Repeat("500 5.5.2 Error: command not recognized\n", 2), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			opts := testOptions()
			opts.LMTP, opts.SizeLimit = true, 20
			conn := &memConn{in: strings.NewReader(tc.in + "QUIT\r\n")}
			Serve(context.Background(), conn, opts, &eachTaker{taker: taker{t: t}, short: tc.short})
			got := strings.ReplaceAll(conn.out.String(), "\r\n", "\n")
			if _, rest, ok := strings.Cut(got, "250 CHUNKING\n"); !ok || rest != tc.want+"221 2.0.0 Bye\n" {
				t.Errorf("got\n%s\nwant, after the greeting,\n%s", got, tc.want)
			}
		})
	}
}

// FuzzLMTP feeds an LMTP session with anything. For each message that the
// handler got, each recipient has a reply of its own.
func FuzzLMTP(f *testing.F) {
	f.Add([]byte("LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<one@d>\r\nRCPT TO:<full@d>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n"))
	f.Add([]byte("LHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<one@d>\r\nRCPT TO:<two@d>\r\nBDAT 3\r\nabcBDAT 30\r\nxBDAT 0 LAST\r\nMAIL FROM:<>\r\n"))
	opts := testOptions()
	opts.LMTP, opts.SizeLimit, opts.ErrorSleep = true, 1000, 0
	f.Fuzz(func(t *testing.T, in []byte) {
		conn := &memConn{in: bytes.NewReader(in)}
		h := &eachTaker{taker: taker{t: t}}
		Serve(context.Background(), conn, opts, h)
		out := conn.out.String()
		if got := strings.Count(out, "> saved\r\n") + strings.Count(out, "> mailbox full\r\n"); got != h.answered {
			t.Errorf("%d results of %d recipients in\n%s", got, h.answered, out)
		}
		for line := range strings.Lines(out) {
			if len(line) < 6 || !strings.HasSuffix(line, "\r\n") || strings.Trim(line[:3], "0123456789") != "" {
				t.Errorf("reply line %q", line)
			}
		}
	})
}
