package interop

import (
	"bufio"
	stdcmp "cmp"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// refusals are what servers say at a stage.
var refusals = []map[string]string{
	{"greeting": "421 4.3.2 not now"},
	{"greeting": "521 5.3.2 never"},
	{"greeting": "554 5.7.1 go away"},
	{"greeting": "354 what"},
	{"EHLO": "550 5.7.1 no", "HELO": "550 5.7.1 no"},
	{"EHLO": "502 5.5.1 no", "HELO": "450 4.7.1 no"},
	{"EHLO": "502 5.5.1 no", "HELO": "354 what"},
	{"EHLO": "550 5.7.1 no", "HELO": "421 4.3.2 no"},
	{"EHLO": "421 4.3.2 busy"},
	{"EHLO": "354 what"},
	{"EHLO": "550 5.7.1 no"},
	{"MAIL": "421 4.3.2 busy"},
	{"MAIL": "451 4.3.0 later"},
	{"MAIL": "550 5.1.8 no"},
	{"MAIL": "354 what"},
	{"RCPT": "421 4.3.2 busy"},
	{"RCPT": "450 4.2.1 later"},
	{"RCPT": "550 5.1.1 no"},
	{"RCPT": "354 what"},
	{"DATA": "421 4.3.2 busy"},
	{"DATA": "451 4.3.0 later"},
	{"DATA": "550 5.7.1 no"},
	{"DATA": "250 what"},
	{".": "421 4.3.2 busy"},
	{".": "451 4.3.0 later"},
	{".": "550 5.7.1 no"},
	{".": "354 what"},
	{"QUIT": "500 what"},
	{},
}

// recorder notes the commands of each of its connections.
type recorder struct {
	mu    sync.Mutex
	lines map[string]string
}

// serve is a server that says something else at a stage.
func (k *recorder) serve(conn net.Conn, name string, odd map[string]string) {
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	fmt.Fprint(conn, stdcmp.Or(odd["greeting"], "220 said.test ESMTP")+"\r\n")
	usual := map[string]string{"EHLO": "250-said.test\r\n250 8BITMIME", "DATA": "354 go on", "QUIT": "221 bye"}
	seen := ""
	defer func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.lines[name] += seen + "closed;"
	}()
	in := bufio.NewScanner(conn)
	for text := false; in.Scan(); {
		verb, _, _ := strings.Cut(in.Text(), " ")
		if text && verb != "." {
			continue
		}
		seen += verb + " "
		answer := stdcmp.Or(odd[verb], usual[verb], "250 2.0.0 ok")
		text = strings.HasPrefix(answer, "354") && verb == "DATA"
		if fmt.Fprint(conn, answer+"\r\n"); verb == "QUIT" {
			return
		}
	}
}

// TestLastWords: what a server refuses ends the session with the same commands,
// and the same lines in the log.
func TestLastWords(t *testing.T) {
	k := &recorder{}
	routes := ""
	for i, odd := range refusals {
		name := fmt.Sprintf("n%d", i)
		ln := testkit.Serve(t, "tcp", "127.0.0.1:0", func(conn net.Conn) { k.serve(conn, name, odd) })
		routes += fmt.Sprintf("{%s.test=smtp:[127.0.0.1]:%d} ", name, ln.Addr().(*net.TCPAddr).Port)
	}
	p := newPair(t, "transport_maps = inline:{"+routes+"}", "alias_maps =", "notify_classes =", "smtp_tls_security_level = none",
		"smtp_connection_cache_on_demand = no", "bounce_queue_lifetime = 0", "default_process_limit = 10", "smtp_skip_5xx_greeting = no", "in_flow_delay = 0")
	words, logs := map[string]map[string]string{}, map[string][]string{}
	for _, s := range p.sides(t) {
		k.lines = map[string]string{}
		before := len(s.log())
		s.start()
		for i := range refusals {
			s.send("Subject: x\n\ntext\n", "-f", "", fmt.Sprintf("a@n%d.test", i), fmt.Sprintf("b@n%d.test", i))
		}
		testkit.Wait(t, s.name+": deliveries", func() bool {
			return strings.Count(strings.Join(clientLines(s.log()[before:], s.name), "\n"), ", status=") >= 2*len(refusals)
		})
		testkit.Wait(t, s.name+": ends", func() bool {
			k.mu.Lock()
			defer k.mu.Unlock()
			return len(k.lines) == len(refusals)
		})
		words[s.name], logs[s.name] = k.lines, clientLines(s.settled(t, p)[before:], s.name)
		s.stop()
	}
	for i, odd := range refusals {
		name := fmt.Sprintf("n%d", i)
		// QUIT ends a transaction, too, and a server that says 421 closes.
		theirs := strings.ReplaceAll(words["theirs"][name], "RSET QUIT", "QUIT")
		if strings.HasPrefix(odd["RCPT"], "421") {
			theirs = strings.Replace(theirs, "RCPT RCPT", "RCPT", 1)
		}
		if ours := words["ours"][name]; theirs != ours {
			t.Errorf("%v: they say %q, we say %q", odd, theirs, ours)
		}
	}
	if d := cmp.Diff(logs["theirs"], logs["ours"]); d != "" {
		t.Errorf("the logs differ (-theirs +ours):\n%s", d)
	}
}
