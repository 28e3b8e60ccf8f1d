package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
)

// lines feeds a message to a filter.
func lines(text string) func(smtpwire.ContentFunc) error {
	return func(fn smtpwire.ContentFunc) error {
		for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
			if err := fn([]byte(line), true); err != nil {
				return err
			}
		}
		return nil
	}
}

func TestOutgoing(t *testing.T) {
	const message = "From: \"J. R.\" <joe+x@local.test> (home)\nTo: other@a.test,\n joe@local.test\nSubject: secret\nX-A: 1\nMIME-Version: 1.0\n" +
		"Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/plain; name=evil.exe\n\nhello\nbad word\n--b--\n"
	for _, test := range []struct {
		name     string
		settings []string
		replace  []string // in the message, old and new
		log      string
	}{
		{"generic", []string{"smtp_generic_maps = inline:{joe@local.test=joe@isp.example}"},
			[]string{"joe+x@local.test", "joe@isp.example", "joe@local.test", "joe@isp.example"}, ""},
		{"generic with extension", []string{"recipient_delimiter = +", "propagate_unmatched_extensions = generic", "smtp_generic_maps = inline:{joe@local.test=joe@isp.example}"},
			[]string{"joe+x@local.test", "joe+x@isp.example", "joe@local.test", "joe@isp.example"}, ""},
		{"generic domain", []string{"smtp_generic_maps = inline:{@local.test=@isp.example}"}, []string{"@local.test", "@isp.example"}, ""},
		{"generic without domain", []string{"smtp_generic_maps = inline:{joe@local.test=isp}"},
			[]string{"joe+x@local.test", "isp@me.test", "joe@local.test", "isp@me.test"}, ""},
		{"generic with the same user", []string{"smtp_generic_maps = inline:{joe@local.test=@isp.example}"},
			[]string{"joe+x@local.test", "joe@isp.example", "joe@local.test", "joe@isp.example"}, ""},
		{"generic with two", []string{"smtp_generic_maps = inline:{{joe@local.test=joe@isp.example, ann@isp.example}}"},
			[]string{"joe+x@local.test", "joe@isp.example", "joe@local.test", "joe@isp.example"}, "warning: multi-valued smtp_generic_maps result for joe+x@local.test"},
		{"ignore", []string{"smtp_header_checks = regexp:{{/^X-/ IGNORE}}"}, []string{"X-A: 1\n", ""}, ""},
		{"replace", []string{"smtp_header_checks = regexp:{{/^Subject: (.*)/ REPLACE X-Subject: $$1}}"},
			[]string{"Subject: ", "X-Subject: "}, "replace: header Subject: secret: X-Subject: secret"},
		{"prepend", []string{"smtp_header_checks = regexp:{{/^Subject/ PREPEND X-B: 2}}"},
			[]string{"Subject: ", "X-B: 2\nSubject: "}, "prepend: header Subject: secret: X-B: 2"},
		{"folded", []string{"smtp_header_checks = regexp:{{/^To:.*joe/ WARN both}}"}, nil,
			"warning: header To: other@a.test,? joe@local.test: both"},
		{"part", []string{"smtp_mime_header_checks = regexp:{{/evil/ REPLACE Content-Type: text/plain}}"},
			[]string{"; name=evil.exe", ""}, "replace: header Content-Type: text/plain; name=evil.exe: Content-Type: text/plain"},
		{"body", []string{"smtp_body_checks = regexp:{{/bad/ REPLACE good word}}"}, []string{"bad word", "good word"}, "replace: body bad word: good word"},
		{"body gone", []string{"smtp_body_checks = regexp:{{/bad/ STRIP}}"}, []string{"bad word\n", ""}, "strip: body bad word"},
		{"not here", []string{"smtp_header_checks = regexp:{{/^X-/ REJECT}}"}, nil, "warning: unsupported or incomplete command in header checks: REJECT"},
		{"bad text", []string{"smtp_header_checks = regexp:{{/^X-/ REPLACE nonsense}}"}, nil, "warning: unsupported or incomplete command"},
		{"other protocol", []string{"lmtp_header_checks = regexp:{{/^X-/ IGNORE}}"}, nil, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := newHarness(t, "smtp", testZone, append(test.settings, "recipient_delimiter = +")...)
			var got strings.Builder
			out := func(b []byte, eol bool) error {
				got.Write(b)
				got.WriteByte('\n')
				return nil
			}
			note := func(format string, args ...any) { h.agent.log.Info("", format, args...) }
			if err := h.agent.out.through(t.Context(), lines(message), note)(out); err != nil {
				t.Fatal(err)
			}
			want := message
			for i := 0; i < len(test.replace); i += 2 {
				want = strings.ReplaceAll(want, test.replace[i], test.replace[i+1])
			}
			if diff := cmp.Diff(want, got.String()); diff != "" {
				t.Errorf("-want +got\n%s", diff)
			}
			if log := h.log.String(); !strings.Contains(log, test.log) || test.log == "" && strings.Contains(log, "X-") {
				t.Errorf("log: %s\nwant: %s", log, test.log)
			}
		})
	}
}

// TestGenericEnvelope holds that the server sees mapped addresses and the log
// those of the queue file.
func TestGenericEnvelope(t *testing.T) {
	sink, port := startSink(t)
	h := newHarness(t, "smtp", testZone, "smtp_generic_maps = inline:{sender@a.test=me@isp.example, r@nomx.test=s@nomx.test}")
	_, log := h.deliver(h.request("[127.0.0.1]:"+port, "r@nomx.test"))
	if len(sink.messages) != 1 || !strings.HasPrefix(sink.messages[0], "me@isp.example -> s@nomx.test:") {
		t.Errorf("got %q", sink.messages)
	}
	if all := strings.Join(log, "\n"); !strings.Contains(all, "to=<r@nomx.test>") {
		t.Errorf("log: %s", all)
	}
}
