package dovecotauth

import (
	"bufio"
	"context"
	"encoding/base64"
	"net"
	"path/filepath"
	"strings"
	"testing"
)

const greeting = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tCRAM-MD5\tdictionary\tactive\nMECH\tSECRET\tprivate\nSPID\t1\nCUID\t2\nCOOKIE\tx\nDONE\n"

// server answers each line by a function; "" closes the connection.
func server(t *testing.T, hello string, answer func(fields []string) string) (*Client, func() int) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "auth")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	conns := make(chan struct{}, 100)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			conns <- struct{}{}
			go func() {
				defer c.Close()
				c.Write([]byte(hello))
				r := bufio.NewReader(c)
				for {
					f, err := ReadLine(r)
					if err != nil {
						return
					}
					if f[0] == "VERSION" || f[0] == "CPID" {
						continue
					}
					reply := answer(f)
					if reply == "" {
						return
					}
					c.Write([]byte(reply))
				}
			}()
		}
	}()
	c, err := New(path, "smtp")
	if err != nil {
		t.Fatal(err)
	}
	return c, func() int { return len(conns) }
}

func TestPlain(t *testing.T) {
	var got string
	c, conns := server(t, greeting, func(f []string) string {
		got = strings.Join(f, " ")
		return "FAIL\t999\nOK\t" + f[1] + "\tuser=me\x01tyou\n"
	})
	for range 3 {
		_, r, err := c.Begin(context.Background(), Peer{RemoteIP: "192.0.2.1", Secured: true}, "PLAIN", []byte("\x00a\x00b"))
		if err != nil || r.Outcome != OK || r.User != "me\tyou" {
			t.Fatalf("%+v %v", r, err)
		}
	}
	if want := "AUTH 3 PLAIN service=smtp nologin rip=192.0.2.1 secured resp=" + base64.StdEncoding.EncodeToString([]byte("\x00a\x00b")); got != want {
		t.Errorf("request %q, want %q", got, want)
	}
	if n := conns(); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestMechanisms(t *testing.T) {
	c, _ := server(t, greeting, func([]string) string { return "" })
	m, err := c.Mechanisms(context.Background())
	if err != nil || strings.Join(m, " ") != "PLAIN CRAM-MD5" {
		t.Errorf("%q %v", m, err)
	}
}

func TestDialogue(t *testing.T) {
	c, _ := server(t, greeting, func(f []string) string {
		if f[0] == "AUTH" {
			return "CONT\t" + f[1] + "\t" + base64.StdEncoding.EncodeToString([]byte("<1@x>")) + "\n"
		}
		return "FAIL\t" + f[1] + "\tuser=me\treason=no way\n"
	})
	x, r, err := c.Begin(context.Background(), Peer{}, "CRAM-MD5", nil)
	if err != nil || r.Outcome != Continue || string(r.Challenge) != "<1@x>" {
		t.Fatalf("%+v %v", r, err)
	}
	r, err = x.Next(context.Background(), []byte("me digest"))
	if err != nil || r.Outcome != Failed || r.User != "me" || r.Reason != "no way" {
		t.Errorf("%+v %v", r, err)
	}
	x.Abort()
}

// TestNeverSuccess: whatever else happens, nobody is logged in.
func TestNeverSuccess(t *testing.T) {
	for name, answer := range map[string]func(f []string) string{
		"closes":            func([]string) string { return "" },
		"success of nobody": func(f []string) string { return "OK\t" + f[1] + "\n" },
		"another's success": func([]string) string { return strings.Repeat("OK\t77\tuser=root\n", maxHandshake+1) },
		"temporary":         func(f []string) string { return "FAIL\t" + f[1] + "\ttemp\n" },
		"new temporary":     func(f []string) string { return "FAIL\t" + f[1] + "\tcode=temp_fail\n" },
		"bad challenge":     func(f []string) string { return "CONT\t" + f[1] + "\t???\n" },
		"flood":             func([]string) string { return strings.Repeat("x", MaxLine+10) + "\n" },
	} {
		t.Run(name, func(t *testing.T) {
			c, _ := server(t, greeting, answer)
			_, r, _ := c.Begin(context.Background(), Peer{}, "PLAIN", []byte("x"))
			if r.Outcome != Temporary {
				t.Errorf("%+v", r)
			}
		})
	}
	for name, hello := range map[string]string{"version 2": "VERSION\t2\t0\nDONE\n", "no version": "DONE\n",
		"endless": strings.Repeat("MECH\tA\n", 200), "SMTP": "220 x ESMTP\r\n"} {
		t.Run(name, func(t *testing.T) {
			c, _ := server(t, hello, func(f []string) string { return "OK\t" + f[1] + "\tuser=me\n" })
			if name == "SMTP" {
				ctx, cancel := context.WithCancel(context.Background())
				cancel()
				if _, r, err := c.Begin(ctx, Peer{}, "PLAIN", nil); err == nil || r.Outcome != Temporary {
					t.Errorf("%+v %v", r, err)
				}
				return
			}
			if _, r, err := c.Begin(context.Background(), Peer{}, "PLAIN", nil); err == nil || r.Outcome != Temporary {
				t.Errorf("%+v %v", r, err)
			}
		})
	}
}

// TestRestart: a kept connection of a server that is gone is replaced.
func TestRestart(t *testing.T) {
	n := 0
	c, conns := server(t, greeting, func(f []string) string {
		if n++; n == 2 {
			return ""
		}
		return "OK\t" + f[1] + "\tuser=me\n"
	})
	for range 2 {
		if _, r, err := c.Begin(context.Background(), Peer{}, "PLAIN", nil); err != nil || r.Outcome != OK {
			t.Fatalf("%+v %v", r, err)
		}
	}
	if conns() != 2 {
		t.Errorf("%d connections", conns())
	}
}

func TestEscape(t *testing.T) {
	const s = "a\tb\nc\rd\x01e\x00"
	if got := Escape(s); strings.ContainsAny(got, "\t\n\r\x00") || Unescape(got) != s {
		t.Errorf("%q", got)
	}
}

func FuzzReadLine(f *testing.F) {
	f.Add("OK\t1\tuser=a\x01tb\nFAIL\t2\n")
	f.Fuzz(func(t *testing.T, in string) {
		r := bufio.NewReader(strings.NewReader(in))
		for {
			fields, err := ReadLine(r)
			if err != nil {
				return
			}
			for _, x := range fields {
				if strings.ContainsAny(x, "\t\n") {
					t.Errorf("field %q", x)
				}
				if u := Unescape(x); !strings.Contains(x, "\x01") && u != x {
					t.Errorf("%q becomes %q", x, u)
				}
			}
			result(fields)
		}
	})
}
