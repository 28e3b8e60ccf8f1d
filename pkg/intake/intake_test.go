package intake

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

func TestTLSComment(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want []string
	}{
		{"TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits) key-exchange X25519 Server-signature ECDSA (P-256)", []string{
			"\t(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384 (256/256 bits)",
			"\t key-exchange X25519 Server-signature ECDSA (P-256))"}},
		{"TLSv1.2 with cipher AES128-SHA (128/128 bits)", []string{
			"\t(using TLSv1.2 with cipher AES128-SHA (128/128 bits))"}},
	} {
		if d := cmp.Diff(tc.want, tlsComment(tc.in)); d != "" {
			t.Error(d)
		}
	}
}

func TestMailboxLine(t *testing.T) {
	for in, want := range map[string]string{
		"From me": "X-Mailbox-Line: From me", ">From me": "X-Mailbox-Line: >From me",
		"From: me": "From: me", "": "", "Fromage": "Fromage",
	} {
		if got := string(MailboxLine([]byte(in))); got != want {
			t.Errorf("%q gives %q", in, got)
		}
	}
}

// TestEndWithoutMessage: an engine that went wrong must not get a 250.
func TestEndWithoutMessage(t *testing.T) {
	h := &Session{srv: &Server{}}
	s := &smtpserver.Session{Client: envelope.Client{}}
	st := h.End(context.Background(), s, smtpwire.ContentInfo{})
	if st.Reply != 451 {
		t.Errorf("got %v", st)
	}
}

func TestNoSuch(t *testing.T) {
	srv := &Server{}
	for _, tc := range []struct {
		class string
		reply int
		want  status.Status
	}{
		{"Recipient address", 550, status.New(550, "5.1.1", "<a@b>: Recipient address rejected: User unknown")},
		{"Recipient address", 450, status.New(450, "4.1.1", "<a@b>: Recipient address rejected: User unknown")},
		{"Sender address", 550, status.New(550, "5.1.0", "<a@b>: Sender address rejected: User unknown")},
	} {
		if got := srv.noSuch("a@b", tc.class, tc.reply, "5.1.1", srv.unknownUser("x")); got != tc.want {
			t.Errorf("got %v, want %v", got, tc.want)
		}
	}
}

func TestReceivedDate(t *testing.T) {
	// One-digit days have two blanks, as in Postfix.
	date := time.Date(2026, 11, 1, 3, 4, 5, 0, time.UTC).Format(ReceivedDate)
	if !strings.HasPrefix(date, "Sun,  1 Nov 2026 03:04:05 +0000") {
		t.Errorf("%q", date)
	}
}
