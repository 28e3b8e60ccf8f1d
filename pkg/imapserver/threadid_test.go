package imapserver

import (
	"regexp"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// TestThreadID: RFC 8474 5.2, RFC 8621 3. Messages of one letter are in one
// conversation, and no others.
func TestThreadID(t *testing.T) {
	long := strings.Repeat(" <x@y>", 4000)
	seen := map[string]string{} // by id, the letter
	of := map[string]string{}   // by letter, the id
	for n, tc := range []struct{ letter, header string }{
		{"a", "Message-ID: <1@x>\r\nSubject: Hello  world\r\n"},
		{"a", "subject: Re: hello world\r\nMessage-id: <2@x>\r\nIn-Reply-To: <1@x>\r\n"},
		{"a", "Subject: AW: Re: [list] Hello\r\n world\r\nReferences: <1@x>\r\n <2@x>\r\nIn-Reply-To: <2@x>\r\nMessage-ID: <3@x>\r\n"},
		{"a", "Subject: =?utf-8?q?Antw=3A_Hello_world?= (fwd)\r\nReferences:" + " <1@x>" + long + "\r\n"},
		{"a", "Subject: Automatische Antwort: Hello world\r\nIn-Reply-To: Your message of \"Mon, 1 Jan\" <1@x>\r\n"},
		{"a", "Subject: SV[2]: HELLO WORLD\r\nReferences: <\"1\"@x>\r\n"},
		{"b", "Message-ID: <2@x>\r\nSubject: Hello world\r\n"}, // nothing says what it answers
		{"c", "Message-ID: <4@x>\r\nReferences: <1@x>\r\nSubject: something else\r\n"},
		{"d", "Message-ID: <9@x>\r\n"},
		{"d", "References: <9@x>\r\nSubject: Re:\r\n"},
		{"e", "Message-ID: <10@x>\r\nSubject: Grüße\r\n"},
		{"e", "References: <10@x>\r\nSubject: =?iso-8859-1?q?Re=3A_Gr=FC=DFe?=\r\n"},
		{"e", "References: <10@x>\r\nSubject: 回复：GRÜßE\r\n"},
		{"f", "Subject: Hello world\r\n"}, // without any id each is alone
		{"g", "Subject: Hello world\r\nMessage-ID: nonsense\r\n"},
	} {
		msg := &mailstore.Message{}
		msg.GUID[0] = byte(n)
		id := string(threadID(nil, msg, []byte(tc.header+"\r\n")))
		if !regexp.MustCompile(`^T[0-9a-f]{32}$`).MatchString(id) {
			t.Errorf("%d: %s", n, id)
		}
		if other, ok := of[tc.letter]; ok && other != id {
			t.Errorf("%d: %.60q is not with the others of %s", n, tc.header, tc.letter)
		}
		if letter, ok := seen[id]; ok && letter != tc.letter {
			t.Errorf("%d: %.60q is with those of %s", n, tc.header, letter)
		}
		seen[id], of[tc.letter] = tc.letter, id
	}
	// What was told once is told for ever: a change of how this is found would
	// give clients other ids for the same messages.
	const first = "Te1212f0110cc9ecb20972dec271b57a4"
	if of["a"] != first {
		t.Errorf("the id of a is %s, and was %s", of["a"], first)
	}
}

// FuzzThreadID: any header has an id, and another time the same. A subject with
// one more "Re:" is the same subject.
func FuzzThreadID(f *testing.F) {
	f.Add([]byte("Message-ID: <1@x>\r\nSubject: =?utf-8?q?Re=3A?= [x] y\r\n"), "AW: y (fwd)")
	f.Add([]byte("References:<\r\n>"), "[fwd: [a] =?x?y?z?=]")
	f.Fuzz(func(t *testing.T, header []byte, subject string) {
		var msg mailstore.Message
		a, b := threadID(nil, &msg, header), threadID(nil, &msg, header)
		if string(a) != string(b) || len(a) != 33 {
			t.Errorf("%s and %s", a, b)
		}
		if len(subject) > 200 || !strings.Contains(subject, " ") {
			return
		}
		if s := threadSubject(subject); len(s) > 16*len(subject)+64 {
			t.Errorf("%d bytes of a subject became %d", len(subject), len(s))
		}
	})
}

func BenchmarkThreadID(b *testing.B) {
	for name, subject := range map[string]string{"plain": "Hello world", "reply": "Re: [list] Hello world", "encoded": "=?utf-8?q?Gr=C3=BC=C3=9Fe_von_hier?="} {
		b.Run(name, func(b *testing.B) {
			header := []byte("From: A B <a@x.test>\r\nTo: c@x.test\r\nDate: Mon, 1 Jan 2024 10:00:00 +0000\r\nSubject: " + subject +
				"\r\nMessage-ID: <1234567890.abcdef@mail.x.test>\r\nReferences: <1@x.test> <2@x.test> <3@x.test>\r\nContent-Type: text/plain\r\n\r\n")
			var msg mailstore.Message
			var dst []byte
			for b.Loop() {
				dst = threadID(dst[:0], &msg, header)
			}
		})
	}
}
