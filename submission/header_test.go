package main

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/smtpserver"
)

func TestLowerName(t *testing.T) {
	for _, name := range []string{"From", "MIME-Version", "X-Other", "content-type", "X", strings.Repeat("Long-", maxNameKnown)} {
		if got := lowerName([]byte(name)); got != strings.ToLower(name) {
			t.Errorf("%q becomes %q", name, got)
		}
	}
}

// TestHeaderMemory has fields in common memory, which must not run into each
// other.
func TestHeaderMemory(t *testing.T) {
	var h header
	for _, f := range []string{"A: 1", "B: 2", "A: 3\n folded", "C: 4"} {
		h.begin(lowerName([]byte(f[:1])))
		h.extend([]byte(f), 100)
		h.end()
	}
	h.fields[1].text = append(h.fields[1].text, " and more"...)
	h.remove("c", "d")
	h.add("E", "5")
	var got []string
	for line := range h.lines {
		got = append(got, string(line))
	}
	if want := []string{"A: 1", "B: 2 and more", "A: 3", " folded", "E: 5"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if h.count("a") != 2 || h.count("c") != 0 || !h.has("e") || h.get("b").value() != " 2 and more" {
		t.Errorf("%+v", h)
	}
	h.forget()
	h.begin("z")
	h.extend([]byte("Z: 1 or more"), 2)
	h.extend([]byte(" 1 and more"), 4)
	h.extend([]byte("no room"), 4)
	h.end()
	if len(h.fields) != 1 || h.has("a") || !bytes.Equal(h.get("z").text, []byte("Z: 1")) {
		t.Errorf("%+v", h)
	}
}

// BenchmarkHeader collects, checks and completes the header of a message.
func BenchmarkHeader(b *testing.B) {
	h := newHouse(b)
	srv, err := open(h.env)
	if err != nil {
		b.Fatal(err)
	}
	s := &smtpserver.Session{}
	s.Client.SASLMethod, s.Client.SASLUser = "PLAIN", joe.Login
	user, err := srv.users.find(context.Background(), joe.Login, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	client := &session{Session: srv.Session(), srv: srv, user: user}
	lines := strings.Split(`From: Joe Doe <joe@here.test>
To: "Doe, Jim" <jim@there.test>, jane@there.test
Cc: jack@there.test
Subject: a message
 of two lines
Date: Sat, 28 Nov 2026 12:00:00 +0000
Message-ID: <1.2@here.test>
MIME-Version: 1.0
Content-Type: text/plain; charset=utf-8
Content-Transfer-Encoding: 8bit
User-Agent: benchmark`, "\n")
	b.ReportAllocs()
	for b.Loop() {
		o := newOutgoing(context.Background(), client, s)
		for _, l := range lines {
			o.line([]byte(l), true)
		}
		o.complete()
		if client.Refused() || o.header.from != "joe@here.test" {
			b.Fatal("the header is refused")
		}
		o.release()
	}
}
