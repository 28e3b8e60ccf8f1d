package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset"
	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/bounceclient"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// sent is a message that the fake cleanup got.
type sent struct {
	From, To, Content string
	notify            string
	flags             int64
}

// house has the three services and a fake cleanup.
type house struct {
	*testing.T
	queue  *queue.Queue
	client *bounceclient.Client
	log    *bytes.Buffer
	mu     sync.Mutex
	mail   []sent
	refuse bool
}

func newHouse(t *testing.T, settings string) *house {
	dir := t.TempDir()
	t.Chdir(dir)
	for _, d := range []string{"incoming", "active", "bounce", "defer", "trace", "private", "public"} {
		if err := os.Mkdir(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	text := "compatibility_level = 3.6\nmyhostname = mail.example\nmyorigin = example\n" + settings
	if err := os.WriteFile("main.cf", []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	h := &house{T: t, queue: queue.Open(".", queue.Options{}), log: new(bytes.Buffer)}
	for _, kind := range []string{"bounce", "defer", "trace"} {
		s := &server{
			log: maillog.NewWriter(h.log, kind), queue: h.queue, kind: kind, now: time.Now,
			cleanup: inject.NewClient(ipc.NewPool("public/cleanup", time.Minute)),
		}
		if err := cfg.Fill(&s.params); err != nil {
			t.Fatal(err)
		}
		if err := s.loadTemplates(cfg); err != nil {
			t.Fatal(err)
		}
		h.listen("private/"+kind, func(c net.Conn) {
			if err := s.session(context.Background(), c); err != nil {
				t.Logf("session: %v", err)
			}
		})
	}
	h.listen("public/cleanup", h.cleanup)
	h.client = bounceclient.New(bounceclient.Services{Bounce: "bounce", Defer: "defer", Trace: "trace", Timeout: time.Minute})
	return h
}

func (h *house) listen(path string, serve func(net.Conn)) {
	l, err := net.Listen("unix", path)
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
}

// cleanup is the other end of package inject.
func (h *house) cleanup(raw net.Conn) {
	c := ipc.NewConn(raw)
	for {
		l, err := c.Receive()
		if err != nil {
			return
		}
		flags, _ := l.GetInt("flags")
		m := sent{flags: flags}
		c.Send(ipc.List{}.Str("queue_id", "NEWID"))
		for {
			typ, err := c.Reader().ReadByte()
			if err != nil {
				return
			}
			n, _ := binary.ReadUvarint(c.Reader())
			data := make([]byte, n)
			io.ReadFull(c.Reader(), data)
			switch typ {
			case 'S':
				m.From = string(data)
			case 'R':
				m.To = string(data)
			case 'A':
				if v, ok := strings.CutPrefix(string(data), "notify_flags="); ok {
					m.notify = v
				}
			case 'N':
				m.Content += string(data) + "\r\n"
			case 'L':
				m.Content += string(data)
			}
			if typ == 'E' {
				break
			}
		}
		h.mu.Lock()
		code := int64(0)
		if h.refuse {
			code = int64(inject.StatWrite)
		} else {
			h.mail = append(h.mail, m)
		}
		h.mu.Unlock()
		c.Send(ipc.List{}.Int("status", code).Str("reason", ""))
	}
}

// message makes an active message and says how to report about it.
func (h *house) message(sender string, rcpts ...string) (bounceclient.Message, []envelope.Recipient) {
	h.Helper()
	ctx := context.Background()
	w, err := h.queue.CreateIn(ctx, "active", 0o600)
	if err != nil {
		h.Fatal(err)
	}
	w.Size(queue.Size{})
	w.Printf(queue.RecTime, "%d", time.Now().Unix())
	w.RecString(queue.RecFrom, sender)
	var out []envelope.Recipient
	for _, r := range rcpts {
		out = append(out, envelope.Recipient{Address: r, Offset: w.Offset()})
		w.RecString(queue.RecRcpt, r)
	}
	w.RecString(queue.RecMesg, "")
	start := w.Offset()
	for _, l := range []string{"Subject: the original", "From: me", "Message-Id: <1@e>", "", "secret body"} {
		w.RecString(queue.RecNorm, l)
	}
	end := w.Offset()
	w.RecString(queue.RecXtra, "")
	w.RecString(queue.RecEnd, "")
	w.PatchSize(queue.Size{DataSize: end - start, DataOffset: start, RcptCount: 1, ContentLength: end - start})
	if err := w.Commit(ctx); err != nil {
		h.Fatal(err)
	}
	return bounceclient.Message{QueueName: "active", QueueID: w.ID(), Sender: envelope.Sender{Address: sender}}, out
}

func (h *house) append(kind bounceclient.Kind, m bounceclient.Message, r envelope.Recipient, s status.Status, action string) {
	h.Helper()
	err := h.client.Append(context.Background(), kind, m, bounceclient.Entry{
		Recipient: r, Relay: "mx[192.0.2.1]:25", Status: s, Action: action, Time: time.Now(),
		DiagType: "smtp", DiagText: "550 5.1.1 who?", MTAType: "dns", MTA: "mx.example.org",
	})
	if err != nil {
		h.Fatal(err)
	}
}

// parts reads a notice as other software would, with a library that is not ours.
func parts(t *testing.T, content string) (message.Header, []string, []string) {
	t.Helper()
	e, err := message.Read(strings.NewReader(content))
	if err != nil {
		t.Fatalf("%v\n%s", err, content)
	}
	mr := e.MultipartReader()
	if mr == nil {
		t.Fatalf("not multipart:\n%s", content)
	}
	var types, bodies []string
	for {
		p, err := mr.NextPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		typ, _, _ := p.Header.ContentType()
		body, _ := io.ReadAll(p.Body)
		types = append(types, typ)
		bodies = append(bodies, strings.ReplaceAll(string(body), "\r\n", "\n"))
	}
	return e.Header, types, bodies
}

func hasLog(kind string, m bounceclient.Message) bool {
	_, err := os.Stat(kind + "/" + string(m.QueueID))
	return err == nil
}

func TestBounce(t *testing.T) {
	h := newHouse(t, "")
	m, rcpts := h.message("sender@example.org", "nobody@example.com")
	m.Sender.EnvID = "id+2B1"
	rcpts[0].DSNOrcpt = "rfc822;no+body@example.com"
	rcpts[0].Original = "alias@example.com"
	h.append(bounceclient.Bounce, m, rcpts[0], status.New(550, "5.1.1", "host mx said: 550 5.1.1 who?"), "failed")
	if !hasLog("bounce", m) {
		t.Fatal("no log")
	}
	if err := h.client.Flush(context.Background(), bounceclient.Bounce, m); err != nil {
		t.Fatal(err)
	}
	if hasLog("bounce", m) {
		t.Error("the log is still there")
	}
	if len(h.mail) != 1 {
		t.Fatalf("%d notices", len(h.mail))
	}
	n := h.mail[0]
	if n.From != "" || n.To != "sender@example.org" || n.notify != "1" {
		t.Errorf("envelope %q -> %q, notify %q", n.From, n.To, n.notify)
	}
	header, types, bodies := parts(t, n.Content)
	if d := cmp.Diff([]string{"text/plain", "message/delivery-status", "message/rfc822"}, types); d != "" {
		t.Fatal(d)
	}
	if header.Get("Auto-Submitted") != "auto-replied" || !strings.Contains(header.Get("Content-Type"), "report-type=delivery-status") {
		t.Error(n.Content)
	}
	for _, line := range []string{
		"Reporting-MTA: dns; mail.example\n", "Original-Envelope-Id: id+1\n",
		"X-Postfix-Queue-ID: " + string(m.QueueID) + "\n", "X-Postfix-Sender: rfc822; sender@example.org\n",
		"Arrival-Date: ", "\nFinal-Recipient: rfc822; nobody@example.com\n",
		"Original-Recipient: rfc822;no+body@example.com\n", "Action: failed\nStatus: 5.1.1\n",
		"Remote-MTA: dns; mx.example.org\n", "Diagnostic-Code: smtp; 550 5.1.1 who?",
	} {
		if !strings.Contains(bodies[1], line) {
			t.Errorf("no %q in:\n%s", line, bodies[1])
		}
	}
	if !strings.Contains(bodies[0], "<nobody@example.com> (expanded from <alias@example.com>): host mx said:") {
		t.Error(bodies[0])
	}
	if !strings.HasPrefix(bodies[2], "Return-Path: <sender@example.org>\nSubject: the original\n") || !strings.Contains(bodies[2], "secret body") {
		t.Error(bodies[2])
	}
	if !strings.Contains(h.log.String(), string(m.QueueID)+": sender non-delivery notification: NEWID") {
		t.Error(h.log.String())
	}
}

func TestThreaded(t *testing.T) {
	for settings, want := range map[string]string{"": "", "enable_threaded_bounces = yes\n": "<1@e>"} {
		h := newHouse(t, settings)
		m, rcpts := h.message("s@e", "r@e")
		h.append(bounceclient.Bounce, m, rcpts[0], status.New(0, "5.1.1", "no"), "failed")
		if err := h.client.Flush(context.Background(), bounceclient.Bounce, m); err != nil {
			t.Fatal(err)
		}
		header, _, _ := parts(t, h.mail[0].Content)
		if header.Get("In-Reply-To") != want || header.Get("References") != want {
			t.Errorf("with %q: In-Reply-To %q", settings, header.Get("In-Reply-To"))
		}
	}
}

func TestHeadersOnly(t *testing.T) {
	for _, tc := range []struct {
		name, settings string
		ret            envelope.Ret
	}{
		{"asked for", "", envelope.RetHdrs},
		{"too large", "bounce_size_limit = 10\n", envelope.RetFull},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t, tc.settings)
			m, rcpts := h.message("s@e", "r@e")
			m.Sender.Ret = tc.ret
			h.append(bounceclient.Bounce, m, rcpts[0], status.New(0, "5.1.1", "no"), "failed")
			if err := h.client.Flush(context.Background(), bounceclient.Bounce, m); err != nil {
				t.Fatal(err)
			}
			_, types, bodies := parts(t, h.mail[0].Content)
			if types[2] != "text/rfc822-headers" || strings.Contains(bodies[2], "secret") {
				t.Errorf("%s\n%s", types[2], bodies[2])
			}
		})
	}
}

func TestWhoIsTold(t *testing.T) {
	for _, tc := range []struct {
		name, settings, sender string
		notify                 envelope.Notify
		want                   []string // to
	}{
		{"sender", "", "s@e", 0, []string{"s@e"}},
		{"never", "", "s@e", envelope.NotifyNever, nil},
		{"only delay", "", "s@e", envelope.NotifyDelay, nil},
		{"with copy", "notify_classes = bounce\n", "s@e", envelope.NotifyFailure, []string{"s@e", "postmaster"}},
		{"copy even if never", "notify_classes = bounce\n", "s@e", envelope.NotifyNever, []string{"postmaster"}},
		{"null sender", "", "", 0, nil},
		{"double", "notify_classes = 2bounce\n", "", 0, []string{"postmaster"}},
		{"double bounce failed", "notify_classes = 2bounce, bounce\n", "double-bounce@example", 0, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHouse(t, tc.settings)
			m, rcpts := h.message(tc.sender, "r@e")
			rcpts[0].Notify = tc.notify
			h.append(bounceclient.Bounce, m, rcpts[0], status.New(0, "5.1.1", "no"), "failed")
			if err := h.client.Flush(context.Background(), bounceclient.Bounce, m); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, n := range h.mail {
				got = append(got, n.To)
				if n.To == "postmaster" && n.From != "double-bounce@example" {
					t.Errorf("notice from %q", n.From)
				}
			}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if hasLog("bounce", m) {
				t.Error("the log is still there")
			}
		})
	}
}

// TestNotQueued: when the notice cannot be queued, nothing is removed.
func TestNotQueued(t *testing.T) {
	h := newHouse(t, "")
	h.refuse = true
	m, rcpts := h.message("s@e", "r@e")
	h.append(bounceclient.Bounce, m, rcpts[0], status.New(0, "5.1.1", "no"), "failed")
	if err := h.client.Flush(context.Background(), bounceclient.Bounce, m); err == nil {
		t.Error("flush succeeded")
	}
	if !hasLog("bounce", m) {
		t.Error("the log is gone")
	}
}

// TestExpired: all recipients that are left are returned, also one whose log
// entry got lost, and marked.
func TestExpired(t *testing.T) {
	h := newHouse(t, "")
	m, rcpts := h.message("s@e", "one@e", "two@e")
	h.append(bounceclient.Defer, m, rcpts[0], status.New(0, "4.4.1", "no answer"), "delayed")
	if err := h.client.Flush(context.Background(), bounceclient.Defer, m); err != nil {
		t.Fatal(err)
	}
	_, _, bodies := parts(t, h.mail[0].Content)
	for _, text := range []string{"one@e\n", "two@e\n", "Status: 4.4.1", "Status: 4.4.7"} {
		if !strings.Contains(bodies[1], text) {
			t.Errorf("no %q in\n%s", text, bodies[1])
		}
	}
	if strings.Contains(bodies[1], "delayed") {
		t.Error(bodies[1])
	}
	msg, err := h.queue.OpenMessage("active", m.QueueID)
	if err != nil {
		t.Fatal(err)
	}
	defer msg.Close()
	if left, _ := allRecipients(msg); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestDelayWarning(t *testing.T) {
	h := newHouse(t, "maximal_queue_lifetime = 5d\n")
	m, rcpts := h.message("s@e", "r@e")
	h.append(bounceclient.Defer, m, rcpts[0], status.New(0, "4.4.1", "no answer"), "delayed")
	if err := h.client.Warn(context.Background(), m); err != nil {
		t.Fatal(err)
	}
	header, types, bodies := parts(t, h.mail[0].Content)
	if !strings.HasPrefix(header.Get("Subject"), "Delayed Mail") || types[2] != "text/rfc822-headers" ||
		!strings.Contains(bodies[1], "Action: delayed") || !strings.Contains(bodies[1], "Will-Retry-Until: ") ||
		!strings.Contains(bodies[0], "5 days") {
		t.Error(h.mail[0].Content)
	}
	if !hasLog("defer", m) {
		t.Error("the log is gone")
	}
}

func TestTrace(t *testing.T) {
	h := newHouse(t, "")
	m, rcpts := h.message("s@e", "r@e")
	rcpts[0].Notify = envelope.NotifySuccess
	h.append(bounceclient.Trace, m, rcpts[0], status.New(250, "2.0.0", "ok"), "relayed")
	if err := h.client.FlushTrace(context.Background(), m, 0); err != nil {
		t.Fatal(err)
	}
	header, _, bodies := parts(t, h.mail[0].Content)
	if header.Get("Subject") != "Successful Mail Delivery Report" || !strings.Contains(bodies[1], "Action: relayed") {
		t.Error(h.mail[0].Content)
	}
	if hasLog("trace", m) {
		t.Error("the log is still there")
	}
}

func TestUTF8(t *testing.T) {
	h := newHouse(t, "")
	m, rcpts := h.message("jürgen@e", "пётр@e")
	m.UTF8 = envelope.UTF8Requested
	h.append(bounceclient.Bounce, m, rcpts[0], status.New(0, "5.1.1", "kein Briefkasten für пётр"), "failed")
	if err := h.client.Flush(context.Background(), bounceclient.Bounce, m); err != nil {
		t.Fatal(err)
	}
	_, types, bodies := parts(t, h.mail[0].Content)
	if d := cmp.Diff([]string{"text/plain", "message/global-delivery-status", "message/global"}, types); d != "" {
		t.Error(d)
	}
	if !strings.Contains(bodies[1], "Final-Recipient: utf-8; пётр@e") {
		t.Error(bodies[1])
	}
	if h.mail[0].flags&int64(inject.FlagUTF8) == 0 {
		t.Error("cleanup was not told of SMTPUTF8")
	}
}

func TestOneAndWrongService(t *testing.T) {
	h := newHouse(t, "")
	m, rcpts := h.message("s@e", "r@e")
	m.Sender.Address = "owner-list@e"
	ctx := context.Background()
	if err := h.client.One(ctx, m, bounceclient.Entry{
		Recipient: rcpts[0], Status: status.New(0, "5.1.1", "no"), Action: "failed", Time: time.Now(),
	}); err != nil {
		t.Fatal(err)
	}
	if h.mail[0].To != "owner-list@e" {
		t.Errorf("notice to %q", h.mail[0].To)
	}
	if err := h.client.Flush(ctx, bounceclient.Trace, m); err == nil {
		t.Error("trace service took a flush request")
	}
}

func FuzzXtext(f *testing.F) {
	f.Add("a+2Bb")
	f.Add("+")
	f.Fuzz(func(t *testing.T, s string) {
		if len(decodeXtext(s)) > len(s) {
			t.Error("grew")
		}
	})
}
