package imap

import (
	"bufio"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// proof is where an extension is tried: the file has the words in it.
type proof struct{ file, words string }

// proofs has all that a server of ours may offer.
var proofs = map[string]proof{
	"IMAP4rev1":             {"change.txt", "EXPUNGE"},
	"IMAP4rev2":             {"other.txt", "ENABLE IMAP4rev2"},
	"ID":                    {"other.txt", "ID (\"name\""},
	"ENABLE":                {"other.txt", "ENABLE CONDSTORE X-NONE"},
	"IDLE":                  {"idle.txt", "b IDLE"},
	"LITERAL+":              {"more.txt", "SEARCH SUBJECT {3+}"},
	"NAMESPACE":             {"list.txt", "z4 NAMESPACE"},
	"UIDPLUS":               {"change.txt", "UID EXPUNGE"},
	"MOVE":                  {"change.txt", "MOVE 2 T"},
	"UNSELECT":              {"change.txt", "UNSELECT"},
	"CHILDREN":              {"list.txt", `\HasChildren`},
	"LIST-EXTENDED":         {"list.txt", "LIST (SUBSCRIBED RECURSIVEMATCH)"},
	"LIST-STATUS":           {"list.txt", "RETURN (STATUS (MESSAGES UNSEEN))"},
	"LIST-MYRIGHTS":         {"list.txt", "RETURN (MYRIGHTS)"},
	"LIST-METADATA":         {"more.txt", "RETURN (METADATA ("},
	"SPECIAL-USE":           {"list.txt", "LIST (SPECIAL-USE)"},
	"CREATE-SPECIAL-USE":    {"list.txt", `CREATE Sent (USE (\Sent))`},
	"SASL-IR":               {"../../scenario/imap_test.go", "AUTHENTICATE PLAIN AHlv"},
	"CONDSTORE":             {"condstore.txt", "UNCHANGEDSINCE"},
	"QRESYNC":               {"qresync.txt", "QRESYNC ($V $M"},
	"ESEARCH":               {"search.txt", "RETURN (MIN MAX COUNT)"},
	"SEARCHRES":             {"search.txt", "RETURN (SAVE)"},
	"WITHIN":                {"search.txt", "OLDER 10 YOUNGER"},
	"SORT":                  {"sort.txt", "SORT (DATE)"},
	"SORT=DISPLAY":          {"sort.txt", "SORT (DISPLAYFROM)"},
	"ESORT":                 {"sort.txt", "SORT RETURN (MIN COUNT ALL)"},
	"PARTIAL":               {"search.txt", "PARTIAL -1:-2"},
	"MULTISEARCH":           {"search.txt", "ESEARCH IN (mailboxes"},
	"CONTEXT=SEARCH":        {"search.txt", "UID SEARCH RETURN (UPDATE COUNT)"},
	"CONTEXT=SORT":          {"more.txt", "UID SORT RETURN (UPDATE ALL)"},
	"THREAD=REFERENCES":     {"sort.txt", "THREAD REFERENCES"},
	"THREAD=REFS":           {"sort.txt", "THREAD REFS"},
	"THREAD=ORDEREDSUBJECT": {"sort.txt", "THREAD ORDEREDSUBJECT"},
	"STATUS=SIZE":           {"more.txt", "STATUS INBOX (SIZE)"},
	"UTF8=ACCEPT":           {"append.txt", "APPEND INBOX UTF8"},
	"MULTIAPPEND":           {"append.txt", "4:5"},
	"BINARY":                {"fetch.txt", "BINARY.PEEK[1]<6.5>"},
	"CATENATE":              {"append.txt", "CATENATE (TEXT"},
	"URL-PARTIAL":           {"more.txt", ";PARTIAL=2.3"},
	"PREVIEW":               {"fetch.txt", "PREVIEW SAVEDATE"},
	"PREVIEW=FUZZY":         {"more.txt", "PREVIEW (LAZY)"},
	"SAVEDATE":              {"fetch.txt", "PREVIEW SAVEDATE"},
	"OBJECTID":              {"fetch.txt", "EMAILID THREADID"},
	"REPLACE":               {"append.txt", "UID REPLACE 1 INBOX"},
	"INPROGRESS":            {"../../../pkg/imapserver/progress_test.go", "INPROGRESS"},
	"UIDONLY":               {"fetch.txt", "ENABLE UIDONLY"},
	"I18NLEVEL=1":           {"more.txt", "SUBJECT \"grün\""},
	"APPENDLIMIT":           {"append.txt", "limit 1000"},
	"QUOTA":                 {"other.txt", "GETQUOTAROOT"},
	"QUOTA=RES-STORAGE":     {"other.txt", "STORAGE"},
	"QUOTA=RES-MESSAGE":     {"other.txt", "MESSAGE 1 100"},
	"NOTIFY":                {"idle.txt", "NOTIFY SET STATUS"},
	"ACL":                   {"other.txt", "SETACL INBOX"},
	"RIGHTS=kxte":           {"other.txt", "lrswipkxtea"},
	"METADATA":              {"other.txt", "SETMETADATA INBOX"},
	"METADATA-SERVER":       {"other.txt", `SETMETADATA ""`},
	"COMPRESS=DEFLATE":      {"compress_test.go", "COMPRESS DEFLATE"},
	"UNAUTHENTICATE":        {"../../scenario/imap_test.go", "UNAUTHENTICATE"},
	"STARTTLS":              {"../../scenario/imap_test.go", "STARTTLS"},
	"LOGINDISABLED":         {"../../scenario/imapplain_test.go", "LOGINDISABLED"},
	"AUTH=PLAIN":            {"../../scenario/imap_test.go", "AUTHENTICATE PLAIN"},
}

// TestEveryCapability fails when something is offered, before login or after,
// that no conversation tries.
func TestEveryCapability(t *testing.T) {
	srv := newServer(t)
	srv.proxied = true
	r := bufio.NewReader(srv.dial())
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(line, "[CAPABILITY ")
	list, _, ok := strings.Cut(list, "]")
	if !ok || len(strings.Fields(list)) < 50 {
		t.Fatalf("no capabilities in %q", line)
	}
	offered := append(strings.Fields(list), beforeLogin(t)...)
	for _, name := range offered {
		p, ok := proofs[name]
		if !ok && strings.HasPrefix(name, "AUTH=") {
			continue // pkg/sasl and test/scenario have each mechanism
		}
		if !ok {
			t.Errorf("%s is offered, and nothing here tries it", name)
			continue
		}
		text, err := os.ReadFile(p.file)
		if err != nil || !strings.Contains(string(text), p.words) {
			t.Errorf("%s: %s has no %q (%v)", name, p.file, p.words, err)
		}
	}
	for name := range proofs {
		if !strings.Contains(" "+strings.Join(offered, " ")+" ", " "+name+" ") {
			t.Errorf("%s is not offered", name)
		}
	}
}

// beforeLogin finds what imapd offers in its source: it depends on TLS and the
// mechanisms of the site.
func beforeLogin(t *testing.T) []string {
	t.Helper()
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(filepath.Join(root, "imapd/imapd.go"))
	if err != nil {
		t.Fatal(err)
	}
	_, body, ok := strings.Cut(string(source), "func (s *session) capabilities(")
	if !ok {
		t.Fatal("imapd/imapd.go has no capabilities")
	}
	var names []string
	for i, part := range strings.Split(body, `"`) {
		if i%2 == 1 && part == strings.ToUpper(part) && part != " " && part != "AUTH=" {
			names = append(names, part)
		}
	}
	return append(names, "AUTH=PLAIN")
}
