package scenario

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/refdovecot"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// mailServer has conversations that are written down in advance. Its dialect of
// folder names is that of the server: a is the path of a folder, "Work/Deep".
type mailServer struct {
	name   string
	imap   func(t *testing.T, script string) string
	pop3   func(t *testing.T, script string) string
	folder func(path string) string
}

// overTCP sends a script at once and returns all that the server says.
func overTCP(addr string, login string) func(t *testing.T, script string) string {
	return func(t *testing.T, script string) string {
		t.Helper()
		conn, err := net.DialTimeout("tcp", addr, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conn.SetDeadline(time.Now().Add(2 * time.Minute))
		r := bufio.NewReader(conn)
		greeting, err := r.ReadString('\n')
		for err == nil && strings.Contains(greeting, "OK Waiting") {
			// Dovecot on a busy machine; it takes little before its greeting.
			greeting, err = r.ReadString('\n')
		}
		if err != nil {
			t.Fatalf("%s: %v after %q", addr, err, greeting)
		}
		go io.WriteString(conn, login+script)
		out, err := io.ReadAll(r)
		if err != nil {
			t.Fatalf("%s: %v after\n%s", addr, err, out)
		}
		return greeting + string(out)
	}
}

func dotted(path string) string { return strings.ReplaceAll(path, "/", ".") }

func dovecotServer(d *refdovecot.Instance) mailServer {
	return mailServer{name: "Dovecot", imap: overTCP(d.IMAP, "l LOGIN you@example.test secret\r\n"),
		pop3: overTCP(d.POP3, "USER you@example.test\r\nPASS secret\r\n"), folder: dotted}
}

func posthouseServer(mail *testkit.Instance) mailServer {
	return mailServer{name: "Posthouse", imap: overTCP(pop3Addr(mail, 3), "l LOGIN you@example.test secret\r\n"),
		pop3: overTCP(pop3Addr(mail, 5), "USER you@example.test\r\nPASS secret\r\n"), folder: func(p string) string { return p }}
}

func courierServer(home string, uid, gid int) mailServer {
	run := func(protocol string) func(t *testing.T, script string) string {
		return func(t *testing.T, script string) string {
			return refdovecot.Courier(t, protocol, home, uid, gid, script)
		}
	}
	return mailServer{name: "Courier", imap: run("imap"), pop3: run("pop3"), folder: func(p string) string {
		if p == "INBOX" {
			return p
		}
		return "INBOX." + dotted(p)
	}}
}

// appendCmd is an APPEND with its literal.
func appendCmd(folder, flags, text string) string {
	return fmt.Sprintf("a APPEND \"%s\" (%s) {%d}\r\n%s\r\n", folder, flags, len(text), text)
}

// messageState is what a client knows of a message.
type messageState struct {
	UID   int
	Flags string
	Size  int
	Date  string
}

// folderState is what a client knows of a folder.
type folderState struct {
	Validity string
	Messages []messageState
}

var (
	reValidity = regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`)
	reUID      = regexp.MustCompile(`[( ]UID (\d+)`)
	reFlags    = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	reSize     = regexp.MustCompile(`RFC822\.SIZE (\d+)`)
	reSubject  = regexp.MustCompile(`(?m)^Subject: (.*)\r$`)
	reDate     = regexp.MustCompile(`INTERNALDATE "([^"]+)"`)
	reList     = regexp.MustCompile(`(?m)^\* LSUB \([^)]*\) "?[^ ]+"? "?([^"\r\n]+)"?\r?$`)
)

// state asks a server about a folder.
func (s mailServer) state(t *testing.T, path string) folderState {
	t.Helper()
	out := s.imap(t, fmt.Sprintf("s SELECT \"%s\"\r\nf UID FETCH 1:* (UID FLAGS RFC822.SIZE INTERNALDATE)\r\nz LOGOUT\r\n", s.folder(path)))
	var st folderState
	m := reValidity.FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("%s: SELECT %s:\n%s", s.name, path, out)
	}
	st.Validity = m[1]
	for line := range strings.Lines(out) {
		if !strings.Contains(line, " FETCH (") {
			continue
		}
		get := func(re *regexp.Regexp) string {
			if m := re.FindStringSubmatch(line); m != nil {
				return m[1]
			}
			t.Fatalf("%s: no %v in %q", s.name, re, line)
			return ""
		}
		var msg messageState
		msg.UID, _ = strconv.Atoi(get(reUID))
		msg.Size, _ = strconv.Atoi(get(reSize))
		msg.Flags = sortedFlags(get(reFlags))
		at, err := time.Parse("_2-Jan-2006 15:04:05 -0700", get(reDate))
		if err != nil {
			t.Fatal(err)
		}
		msg.Date = at.UTC().Format(time.RFC3339)
		st.Messages = append(st.Messages, msg)
	}
	return st
}

// sortedFlags leaves \Recent out, which says nothing about the message.
func sortedFlags(flags string) string {
	words := slices.DeleteFunc(strings.Fields(flags), func(f string) bool { return f == `\Recent` })
	slices.Sort(words)
	return strings.Join(words, " ")
}

// subscribed lists subscriptions as paths.
func (s mailServer) subscribed(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, m := range reList.FindAllStringSubmatch(s.imap(t, "b LSUB \"\" \"*\"\r\nz LOGOUT\r\n"), -1) {
		name := strings.ReplaceAll(m[1], ".", "/")
		if name != "INBOX" {
			name = strings.TrimPrefix(name, "INBOX/")
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// uidls returns the unique ids that a POP3 client sees, with the subjects of
// their messages. Numbers are those of one session: Courier goes by the names of
// files.
func (s mailServer) uidls(t *testing.T) (bySubject map[string]string, numbers map[string]int) {
	t.Helper()
	out := s.pop3(t, "UIDL\r\nQUIT\r\n")
	_, list, ok := strings.Cut(out, "+OK\r\n1 ")
	list, _, ended := strings.Cut("1 "+list, "\r\n.\r\n")
	if !ok || !ended {
		t.Fatalf("%s: UIDL:\n%s", s.name, out)
	}
	ids := strings.Split(list, "\r\n")
	var script strings.Builder
	for i := range ids {
		fmt.Fprintf(&script, "TOP %d 0\r\n", i+1)
	}
	subjects := reSubject.FindAllStringSubmatch(s.pop3(t, script.String()+"QUIT\r\n"), -1)
	if len(subjects) != len(ids) {
		t.Fatalf("%s: %d ids, %d subjects", s.name, len(ids), len(subjects))
	}
	bySubject, numbers = map[string]string{}, map[string]int{}
	for i, id := range ids {
		_, bySubject[subjects[i][1]], _ = strings.Cut(id, " ")
		numbers[subjects[i][1]] = i + 1
	}
	return bySubject, numbers
}
