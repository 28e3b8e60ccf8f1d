package scenario

import (
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestSubmissionStream: of a user who sends one message after the other some are
// counted ahead, and yet the limit is where it should be. MAIL alone counts.
func TestSubmissionStream(t *testing.T) {
	const limit = 200
	i := testkit.New(t, testkit.Users("you", "other"))
	submissionUsers(t, i, "you", "other")
	i.Set(t, "submission_messages_per_hour = 200", "submission_messages_per_day = 200", "submission_recipients_per_hour = 300",
		"smtpd_junk_command_limit = 1000")
	i.Start(t)
	a, b := dialSubmission(t, i), dialSubmission(t, i)
	for _, c := range []*submitClient{a, b} {
		c.want("235", submitLogin)
	}
	accepted := 0
	for n := range limit + 8 {
		c := a
		if n%3 == 0 {
			c = b
		}
		if reply := c.want("", "MAIL FROM:<you@example.test>"); strings.HasPrefix(reply, "450 4.7.1 ") && strings.Contains(reply, "200 messages per ") {
			continue
		} else if !strings.HasPrefix(reply, "250") {
			t.Fatalf("%q", reply)
		}
		accepted++
		c.want("250", "RCPT TO:<other@example.test>")
		c.want("250", "RSET")
	}
	if accepted != limit {
		t.Errorf("%d messages within a limit of %d", accepted, limit)
	}
	i.WaitLog(t, `sending limit reached: 200 messages per (hour|day) by user you@example.test`)
}
