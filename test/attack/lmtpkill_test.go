package attack

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// lmtpLoad sends messages with their own words until stop is closed, and
// returns those that were accepted.
func lmtpLoad(addr string, sender int, stop <-chan struct{}) (accepted []string) {
	for n := 0; ; {
		select {
		case <-stop:
			return accepted
		default:
		}
		conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
		if err != nil {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		conn.SetDeadline(time.Now().Add(30 * time.Second))
		r := bufio.NewReader(conn)
		reply := func() string {
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return ""
				}
				if len(line) > 3 && line[3] == ' ' {
					return line
				}
			}
		}
		reply()
		fmt.Fprint(conn, "LHLO x\r\n")
		for ok := reply() != ""; ok; {
			n++
			word := fmt.Sprintf("word-%d-%d", sender, n)
			fmt.Fprint(conn, "RSET\r\nMAIL FROM:<a@b.test>\r\nRCPT TO:<a@example.test>\r\n")
			reply()
			reply()
			if ok = strings.HasPrefix(reply(), "250"); !ok {
				break
			}
			fmt.Fprint(conn, "DATA\r\n")
			if ok = strings.HasPrefix(reply(), "354"); !ok {
				break
			}
			fmt.Fprintf(conn, "Subject: x\r\n\r\n%s begin\r\n%s%s end\r\n.\r\n", word, strings.Repeat("filling\r\n", 500), word)
			if ok = strings.HasPrefix(reply(), "250"); ok {
				accepted = append(accepted, word)
			}
			select {
			case <-stop:
				ok = false
			default:
			}
		}
		conn.Close()
	}
}

// TestLMTPKilled kills each process on the way of a message again and again:
// what was accepted is in the mailbox, whole, and nothing else is.
func TestLMTPKilled(t *testing.T) {
	testkit.NeedRoot(t)
	mail, _ := popSite(t, 0)
	stop := make(chan struct{})
	var senders sync.WaitGroup
	all := make([][]string, 4)
	for i := range all {
		senders.Add(1)
		go func() {
			defer senders.Done()
			all[i] = lmtpLoad(mail.LMTPAddr(), i, stop)
		}()
	}
	delivered := func() int {
		names, _ := filepath.Glob(mail.Maildir("a") + "/new/*")
		return len(names)
	}
	for range 3 {
		for _, name := range []string{"asuser", "deposit", "lmtpd", "authd"} {
			before := delivered()
			syscall.Kill(pidOf(t, mail, name), syscall.SIGKILL)
			testkit.Wait(t, "deliveries after the end of "+name, func() bool { return delivered() > before+5 })
		}
	}
	close(stop)
	senders.Wait()
	found := map[string]int{}
	names, _ := filepath.Glob(mail.Maildir("a") + "/new/*")
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(text), "\n\n")
		word, _, _ := strings.Cut(body, " ")
		if !strings.HasSuffix(body, word+" end\n") || strings.Count(body, "filling\n") != 500 {
			t.Errorf("%s is not whole", name)
		}
		found[word]++
	}
	total := 0
	for _, list := range all {
		for _, word := range list {
			total++
			if found[word] != 1 {
				t.Errorf("%s was accepted and is there %d times", word, found[word])
			}
		}
	}
	t.Logf("%d accepted, %d in the mailbox", total, len(names))
	if total < 20 {
		t.Errorf("only %d messages were accepted", total)
	}
}
