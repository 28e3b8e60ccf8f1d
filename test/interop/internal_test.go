package interop

import (
	"fmt"
	"strings"
	"testing"
)

// internalChecks act on the notices that both systems write, and on nothing else.
const internalChecks = `/^Subject: (Undelivered|Postmaster Copy|Delayed|Successful|Mail Delivery Status)/ WARN a notice
/^Subject: Post\w+ SMTP server: errors/ WARN a transcript
/^Subject: Undelivered.*/ PREPEND X-Seen: undelivered
`

// internalCases make notices of each kind.
func internalCases() []twinCase {
	return []twinCase{
		mixed("failure", []string{"unknown@said.test"}),
		mixed("success", []string{"good@v.test"}, "-N", "success"),
		mixed("verified", []string{"good@said.test"}, "-bv"),
		{name: "null sender", sender: "<>", rcpts: []string{"unknown@said.test"}},
		{name: "list", sender: noticeSender, rcpts: []string{"owned@localhost"}},
		{name: "transcript", text: "Subject: x\n\nx\n", smtp: []string{"MAIL FROM:<" + noticeSender + ">", "FOO"}, after: func(t *testing.T, _ *pair, s side) {
			s.count(t, 1, `to=<errors@off\.test>, .*status=sent`)
		}},
	}
}

// internalTwin is a site that filters mail of its own making of some classes.
func internalTwin(t *testing.T, name, classes string, settings ...string) twin {
	settings = append([]string{"notify_classes = bounce, 2bounce, protocol", "error_notice_recipient = errors@off.test", "internal_mail_filter_classes = " + classes, "header_checks = regexp:ETC/checks",
		"body_checks = regexp:{{/^Diagnostic-Code:.*unknown here/ WARN a reason}}", "nested_header_checks = regexp:{{/^Subject: (.*)/ WARN an original}}"}, settings...)
	tw := manyAgents(t, name, settings...)
	tw.files["checks"] = internalChecks
	tw.cases = internalCases()
	return tw
}

// TestInternalMailFilters: header_checks and the like see the notices of the
// classes of internal_mail_filter_classes.
func TestInternalMailFilters(t *testing.T) {
	for _, classes := range []string{"", "bounce", "notify"} {
		t.Run("classes "+classes, internalTwin(t, classes, classes).test)
	}
}

// TestInternalMailContentFilter: content_filter gets them, too.
func TestInternalMailContentFilter(t *testing.T) {
	filter := fmt.Sprintf("content_filter = smtp:%s", saying(t, "8BITMIME", "DSN", "SMTPUTF8"))
	internalTwin(t, "content filter", "bounce, notify", filter).test(t)
}

// TestInternalMailActions: the other actions on a notice.
func TestInternalMailActions(t *testing.T) {
	filter := saying(t, "8BITMIME", "DSN", "SMTPUTF8")
	for _, action := range []string{"REJECT no notices", "DISCARD no notices", "HOLD look", "IGNORE", "FILTER smtp:" + filter, "BCC pxbob@mail.example.test"} {
		tw := internalTwin(t, action, "bounce, notify", "notify_classes =")
		tw.files["checks"] = "/^Subject: Undelivered/ " + action + "\n"
		tw.cases = tw.cases[:1]
		if strings.HasPrefix(action, "REJECT") {
			tw.cases[0].why = "the log says why the notice is not accepted; the message waits in both"
		}
		t.Run(action, tw.test)
	}
}
