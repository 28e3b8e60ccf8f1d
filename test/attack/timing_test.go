package attack

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"net"
	"os/user"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// loginTries is how often each of two logins is tried on each service.
const loginTries = 100

// speak sends lines to a server and returns its answers; the time is that of
// the last one.
func speak(t *testing.T, addr string, lines ...string) (last string, took time.Duration) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	r := bufio.NewReader(conn)
	read := func() string {
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				t.Fatalf("%s: %v", addr, err)
			}
			// SMTP's continued lines, and IMAP's untagged ones after the greeting.
			if len(line) > 3 && line[3] == '-' || strings.HasPrefix(line, "* ") && !strings.Contains(line, "* OK") {
				continue
			}
			return line
		}
	}
	read()
	for _, line := range lines {
		start := time.Now()
		fmt.Fprint(conn, line+"\r\n")
		last = read()
		took = time.Since(start)
	}
	return last, took
}

// TestUserExistence: whoever guesses learns neither from the words nor from the
// time whether there is such a user (AU2). The tries are interleaved, so that
// what else the machine does falls on both.
func TestUserExistence(t *testing.T) {
	testkit.NeedRoot(t)
	mail := testkit.New(t)
	mail.Set(t, "smtpd_sasl_auth_enable = yes", "auth_failure_delay = 0", "password_scheme = SHA512-CRYPT", "smtpd_client_connection_rate_limit = 0",
		"smtpd_error_sleep_time = 0")
	box, err := user.Lookup("posthouse-box")
	if err != nil {
		t.Fatal(err)
	}
	hash, err := password.Hash("SHA512-CRYPT", "secret")
	if err != nil {
		t.Fatal(err)
	}
	mail.WriteUserDB(t, "ann@example.test\tuid="+box.Uid+"|gid="+box.Gid+"|home="+mail.Dir+"/mail/ann|systempw="+hash+"\n")
	mail.Start(t)
	for service, try := range map[string]func(login string) (string, time.Duration){
		"smtp": func(login string) (string, time.Duration) {
			return speak(t, mail.Addr(), "EHLO c.test", "AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00"+login+"\x00wrong")))
		},
		"imap": func(login string) (string, time.Duration) {
			return speak(t, fmt.Sprintf("127.0.0.1:%d", mail.Port+3), "a LOGIN "+login+" wrong")
		},
		"pop3": func(login string) (string, time.Duration) {
			return speak(t, fmt.Sprintf("127.0.0.1:%d", mail.Port+5), "USER "+login, "PASS wrong")
		},
	} {
		t.Run(service, func(t *testing.T) {
			times := map[string][]time.Duration{}
			texts := map[string]string{}
			for range loginTries {
				for _, login := range []string{"ann@example.test", "eve@example.test"} {
					text, took := try(login)
					times[login] = append(times[login], took)
					texts[login] = text
				}
			}
			if texts["ann@example.test"] != texts["eve@example.test"] {
				t.Errorf("the words differ: %q", texts)
			}
			known, unknown := median(times["ann@example.test"]), median(times["eve@example.test"])
			t.Logf("medians: known %v, unknown %v", known, unknown)
			if ratio := float64(known) / float64(unknown); ratio > 1.3 || ratio < 1/1.3 {
				t.Errorf("the time tells: known %v, unknown %v", known, unknown)
			}
		})
	}
}

func median(list []time.Duration) time.Duration {
	slices.Sort(list)
	return list[len(list)/2]
}
