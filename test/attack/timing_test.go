package attack

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// Tries of AU2. Of samples of one kind, one in a hundred differs by chance as much
// as leastLikely says, so a difference counts when it is there again, and again, in
// the same direction.
const (
	loginTries  = 500
	leastLikely = 0.01
	timingRuns  = 4
)

// speak sends lines to a server and returns its answers; the time is that of
// the last one.
func speak(t *testing.T, addr string, lines ...string) (last string, took time.Duration) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, time.Minute)
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
// what else the machine does falls on both, and the delays that hide the time of a
// verification are off.
func TestUserExistence(t *testing.T) {
	testkit.NeedRoot(t)
	const scheme = "SHA512-CRYPT"
	mail := testkit.New(t)
	mail.Set(t, "smtpd_sasl_auth_enable = yes", "auth_failure_delay = 0", "password_scheme = "+scheme, "smtpd_client_connection_rate_limit = 0",
		"smtpd_error_sleep_time = 0")
	hash, err := password.Hash(scheme, "secret")
	if err != nil {
		t.Fatal(err)
	}
	uid, gid := testkit.BoxOwner(t)
	mail.WriteUserDB(t, fmt.Sprintf("ann@example.test\tuid=%d|gid=%d|home=%s/mail/ann|systempw=%s\n", uid, gid, mail.Dir, hash))
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
			var first float64
			for run := range timingRuns {
				known, unknown := sampleLogins(t, try)
				z, p := rankSum(known, unknown)
				t.Logf("medians: known %v, unknown %v; z %.2f, p %.4f", median(known), median(unknown), z, p)
				if run == 0 {
					first = z
				}
				if p > leastLikely || (z > 0) != (first > 0) {
					return
				}
			}
			t.Errorf("%d times in a row, the time told whether there is such a user", timingRuns)
		})
	}
}

// sampleLogins tries a login that is there and one that is not in turn, now the
// one first, now the other.
func sampleLogins(t *testing.T, try func(login string) (string, time.Duration)) (known, unknown []time.Duration) {
	t.Helper()
	texts := map[string]bool{}
	times := map[bool][]time.Duration{}
	logins := map[bool]string{true: "ann@example.test", false: "eve@example.test"}
	for range loginTries {
		first := rand.IntN(2) == 0
		for _, is := range []bool{first, !first} {
			text, took := try(logins[is])
			times[is] = append(times[is], took)
			texts[text] = true
		}
	}
	if len(texts) != 1 {
		t.Errorf("the words differ: %v", texts)
	}
	return times[true], times[false]
}

func median(list []time.Duration) time.Duration {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}
