package scenario

import (
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestIndependentClient: the client of emersion/go-smtp, which knows nothing of
// our engine, understands what our server says, and the other way round.
func TestIndependentClient(t *testing.T) {
	t.Parallel()
	mail := testkit.New(t)
	mail.Start(t)
	c, err := smtp.Dial(mail.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.Hello("c.test"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"SIZE", "8BITMIME", "DSN", "SMTPUTF8", "ENHANCEDSTATUSCODES", "CHUNKING", "PIPELINING"} {
		if ok, _ := c.Extension(name); !ok {
			t.Errorf("the client sees no %s", name)
		}
	}
	err = c.Mail("a@sender.test", &smtp.MailOptions{Body: smtp.Body8BitMIME, Size: 100, UTF8: true, Return: smtp.DSNReturnHeaders, EnvelopeID: "id+1"})
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("nosuch@example.test", nil); err == nil || !strings.Contains(err.Error(), "User unknown") {
		t.Errorf("unknown recipient: %v", err)
	}
	if err := c.Rcpt("you@example.test", &smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyNever}}); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("Subject: Grüße\r\n\r\n.one\r\n..two\r\nlast\r\n")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
	if text := mail.WaitMailbox(t, "you", 1)[0]; !strings.Contains(text, "Subject: Grüße\n") || !strings.HasSuffix(text, "\n\n.one\n..two\nlast\n") {
		t.Errorf("delivered\n%s", text)
	}
}
