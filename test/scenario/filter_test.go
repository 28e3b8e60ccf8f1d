package scenario

import (
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestContentFilter: mail by SMTP and by sendmail goes to the filter first,
// whatever its destination; a FILTER action counts before content_filter; and
// what comes back by the filter's own service goes on.
func TestContentFilter(t *testing.T) {
	t.Parallel()
	filter, other := newSink(t), newSink(t)
	mail := testkit.New(t)
	mail.Set(t, "content_filter = smtp:"+filter.hop(), "smtp_tls_security_level = none",
		"smtpd_sender_restrictions = check_sender_access inline:{ {other@sender.test=FILTER smtp:"+other.hop()+"} }")
	mail.Start(t)
	s := session(t, mail)
	id := s.Message("a@sender.test", "you@example.test", "Subject: by SMTP\n\nx\n")
	mail.WaitLog(t, id+`: to=<you@example\.test>, relay=127\.0\.0\.1\[127\.0\.0\.1\]:\d+, .*status=sent`)
	filter.find(t, "Subject: by SMTP\n")
	mail.Send(t, "Subject: by sendmail\n\nx\n", "you@example.test")
	filter.find(t, "Subject: by sendmail\n")
	s.Message("other@sender.test", "you@example.test", "Subject: other\n\nx\n")
	other.find(t, "Subject: other\n")
	if n := len(mail.Mailbox(t, "you")); n != 0 {
		t.Errorf("%d messages passed by the filter", n)
	}
}
