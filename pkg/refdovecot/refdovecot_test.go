package refdovecot

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestServesMaildir: the reference works here, so that a difference that a test
// finds is one.
func TestServesMaildir(t *testing.T) {
	Need(t)
	home, err := os.MkdirTemp("", "dch")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(home)
	for _, d := range []string{"", "/Maildir", "/Maildir/cur", "/Maildir/new", "/Maildir/tmp"} {
		os.Mkdir(home+d, 0o700)
		os.Chown(home+d, 1, 1)
	}
	os.WriteFile(home+"/Maildir/new/1.a", []byte("Subject: x\n\nx\n"), 0o644)
	d := Start(t, Options{UID: 1, GID: 1, Users: map[string]User{"you": {Password: "secret", Home: home, MailDir: home + "/Maildir"}}})
	conn, err := net.Dial("tcp", d.POP3)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	fmt.Fprint(conn, "USER you\r\nPASS secret\r\nSTAT\r\nQUIT\r\n")
	var got []string
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		got = append(got, lines.Text())
	}
	if len(got) != 5 || got[3] != "+OK 1 17" {
		t.Errorf("got %q\n%s", got, d.Log())
	}
	if !strings.Contains(d.Log(), "Login: user=<you>") {
		t.Errorf("log:\n%s", d.Log())
	}
}
