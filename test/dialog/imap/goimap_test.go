package imap

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/imapserver"
	"github.com/posthouse-mail/posthouse/pkg/session"
)

// odd are messages that are hard to describe.
func odd() []string {
	return []string{
		"Subject: plain\nFrom: a@x.test\n\ntext\n",
		"",
		"\n\n",
		"no header at all\n",
		"Subject: \xff\xfe 8 bit\nFrom: \"Q \\\" ( \" <a@x.test>\nTo: g: b@y.test, c@z.test;, <>, broken\nDate: nonsense\n\n\x00\xff\n",
		"Subject: =?utf-8?b?w7w=?=\n folded\n\ttwice\nMessage-ID: <a@b>\nIn-Reply-To: <c@d>\nContent-Type: multipart/mixed; boundary=\"a b\"\n\n--a b\n\none\n--a b\nContent-Type: image/png; name*0=\"x\"; name*1=y\nContent-Disposition: attachment; filename=\"f \\\" g\"\nContent-Language: en, de\nContent-ID: <id@x>\nContent-MD5: abc\nContent-Location: http://x/\nContent-Transfer-Encoding: BASE64\n\nAAAA\n--a b--\n",
		"Content-Type: multipart/mixed\n\nno boundary\n",
		"Content-Type: multipart/mixed; boundary=x\n\nno parts\n",
		"Content-Type: message/rfc822\n\nSubject: in\n\nside\n",
		"Content-Type: multipart/digest; boundary=x\n\n--x\n\nSubject: one\n\n1\n--x\n\nSubject: two\n\n2\n--x--\n",
		"Content-Type: text\nContent-Transfer-Encoding: x-unknown\n\nx\n",
		"Subject: " + strings.Repeat("long ", 1000) + "\n\nx\n",
		"From: " + strings.Repeat("a@x.test, ", 300) + "\n\nx\n",
	}
}

// independent connects go-imap's client, which reads our responses with a
// parser of its own. An error of it is an error of ours.
func independent(t *testing.T, srv *server) *imapclient.Client {
	t.Helper()
	client, sc := net.Pipe()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer sc.Close()
		// The tag makes a greeting of the answer to the login.
		start := &session.Start{Service: "imap", Tag: "* PREAUTH", User: &authclient.User{Login: "you@example.test"}}
		imapserver.Serve(ctx, sc, start, srv.open("you@example.test"), srv.opts)
	}()
	c := imapclient.New(client, nil)
	t.Cleanup(func() { c.Close(); cancel(); <-done })
	if err := c.WaitGreeting(); err != nil {
		t.Fatal(err)
	}
	return c
}

// must fails the test for an error of a command.
func must[T any](t *testing.T, what string, wait func() (T, error)) T {
	t.Helper()
	v, err := wait()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return v
}

func TestIndependentParser(t *testing.T) {
	srv := newServer(t)
	srv.quota = "1000000S,1000C"
	for _, text := range odd() {
		srv.deliver(text)
	}
	c := independent(t, srv)
	must(t, "capability", c.Capability().Wait)
	sel := must(t, "select", c.Select("INBOX", &imap.SelectOptions{CondStore: true}).Wait)
	if int(sel.NumMessages) != len(odd()) || sel.HighestModSeq == 0 {
		t.Errorf("%+v", sel)
	}
	all := imap.SeqSetNum()
	all.AddRange(1, 0)
	msgs := must(t, "fetch", c.Fetch(all, &imap.FetchOptions{Envelope: true, Flags: true, InternalDate: true, RFC822Size: true, UID: true, ModSeq: true,
		BodyStructure: &imap.FetchItemBodyStructure{Extended: true},
		BodySection: []*imap.FetchItemBodySection{{Peek: true}, {Specifier: imap.PartSpecifierHeader, Peek: true}, {Part: []int{1}, Peek: true},
			{Specifier: imap.PartSpecifierText, Peek: true, Partial: &imap.SectionPartial{Offset: 1, Size: 3}},
			{Specifier: imap.PartSpecifierHeader, HeaderFields: []string{"Subject", "X-None"}, Peek: true}},
	}).Collect)
	if len(msgs) != len(odd()) {
		t.Fatalf("%d messages", len(msgs))
	}
	for i, m := range msgs {
		want := strings.ReplaceAll(odd()[i], "\n", "\r\n")
		if m.RFC822Size != int64(len(want)) || m.Envelope == nil || m.BodyStructure == nil || m.UID == 0 {
			t.Errorf("message %d: %+v", i+1, m)
		}
		if got := string(m.FindBodySection(&imap.FetchItemBodySection{Peek: true})); got != want {
			t.Errorf("message %d is %q, want %q", i+1, got, want)
		}
	}
	must(t, "fetch body", c.Fetch(all, &imap.FetchOptions{BodyStructure: &imap.FetchItemBodyStructure{}}).Collect)
	independentCommands(t, c, all)
}

func independentCommands(t *testing.T, c *imapclient.Client, all imap.SeqSet) {
	must(t, "store", c.Store(all, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Flags: []imap.Flag{imap.FlagSeen, "$Label"}}, nil).Collect)
	for _, o := range []*imap.SearchOptions{nil, {ReturnMin: true, ReturnMax: true, ReturnAll: true, ReturnCount: true}, {ReturnSave: true}} {
		must(t, "search", c.UIDSearch(&imap.SearchCriteria{Flag: []imap.Flag{imap.FlagSeen}}, o).Wait)
	}
	must(t, "search in text", c.Search(&imap.SearchCriteria{Text: []string{"side"}, Body: []string{"side"}}, nil).Wait)
	if nums := must(t, "sort", c.Sort(&imapclient.SortOptions{SortCriteria: []imapclient.SortCriterion{{Key: imapclient.SortKeySize, Reverse: true}},
		SearchCriteria: &imap.SearchCriteria{}}).Wait); len(nums) != len(odd()) {
		t.Errorf("sort: %v", nums)
	}
	must(t, "thread", c.Thread(&imapclient.ThreadOptions{Algorithm: imap.ThreadReferences, SearchCriteria: &imap.SearchCriteria{}}).Wait)
	if err := c.Create("Entwürfe & mehr/\"x\"", nil).Wait(); err != nil {
		t.Fatal(err)
	}
	found := must(t, "list", c.List("", "*", &imap.ListOptions{ReturnSubscribed: true, ReturnChildren: true, ReturnSpecialUse: true,
		ReturnStatus: &imap.StatusOptions{NumMessages: true, UIDNext: true, NumUnseen: true}}).Collect)
	names := ""
	for _, l := range found {
		names += l.Mailbox + "|"
	}
	if names != "INBOX|Entwürfe & mehr|Entwürfe & mehr/\"x\"|" {
		t.Errorf("folders %q", names)
	}
	must(t, "status", c.Status("INBOX", &imap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true, NumUnseen: true, NumDeleted: true, Size: true, HighestModSeq: true, AppendLimit: true}).Wait)
	copied := must(t, "copy", c.Copy(all, "Entwürfe & mehr/\"x\"").Wait)
	if copied.UIDValidity == 0 || copied.DestUIDs == nil {
		t.Errorf("copy: %+v", copied)
	}
	must(t, "move", c.Move(imap.SeqSetNum(1), "Entwürfe & mehr/\"x\"").Wait)
	app := c.Append("INBOX", 6, &imap.AppendOptions{Flags: []imap.Flag{imap.FlagDraft}, Time: time.Now()})
	io.WriteString(app, "a: b\r\n")
	app.Close()
	if data := must(t, "append", app.Wait); data.UID == 0 {
		t.Errorf("append: %+v", data)
	}
	must(t, "namespace", c.Namespace().Wait)
	must(t, "id", c.ID(&imap.IDData{Name: "test"}).Wait)
	must(t, "quota", c.GetQuotaRoot("INBOX").Wait)
	must(t, "acl", c.GetACL("INBOX").Wait)
	must(t, "rights", c.MyRights("INBOX").Wait)
	value := []byte("a\r\nb")
	if err := c.SetMetadata("INBOX", map[string]*[]byte{"/private/comment": &value}).Wait(); err != nil {
		t.Fatal(err)
	}
	if got := must(t, "metadata", c.GetMetadata("INBOX", []string{"/private/comment"}, nil).Wait); got.Entries["/private/comment"] == nil || string(*got.Entries["/private/comment"]) != string(value) {
		t.Errorf("metadata: %+v", got)
	}
	if err := c.Unselect().Wait(); err != nil {
		t.Fatal(err)
	}
	must(t, "select", c.Select("INBOX", nil).Wait)
	if _, err := c.Store(imap.SeqSetNum(1), &imap.StoreFlags{Op: imap.StoreFlagsSet, Flags: []imap.Flag{imap.FlagDeleted}}, nil).Collect(); err != nil {
		t.Fatal(err)
	}
	must(t, "expunge", c.Expunge().Collect)
	if err := c.Logout().Wait(); err != nil {
		t.Fatal(err)
	}
}
