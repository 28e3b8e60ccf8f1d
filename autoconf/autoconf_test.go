package main

import (
	"context"
	"encoding/xml"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/maillog"
)

func testServer() *server {
	return &server{log: maillog.Discard(), params: params{Domains: []string{"Example.test", "other.test"}, Host: "mail.example.test",
		IMAP: 143, IMAPS: 993, POP3S: 995, Submission: 587, Submissions: 465}}
}

// ask sends bytes and returns all of the reply.
func ask(t testing.TB, request string) string {
	t.Helper()
	a, b := net.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- testServer().session(context.Background(), b)
		b.Close()
	}()
	a.SetDeadline(time.Now().Add(time.Minute))
	go io.WriteString(a, request)
	reply, _ := io.ReadAll(a)
	a.Close()
	<-done
	return string(reply)
}

func TestThunderbird(t *testing.T) {
	for _, target := range []string{"/mail/config-v1.1.xml?emailaddress=you%40example.test", "/.well-known/autoconfig/mail/config-v1.1.xml"} {
		reply := ask(t, "GET "+target+" HTTP/1.1\r\nHost: autoconfig.example.test:80\r\n\r\n")
		head, body, _ := strings.Cut(reply, "\r\n\r\n")
		if !strings.HasPrefix(head, "HTTP/1.1 200 OK\r\n") {
			t.Fatal(reply)
		}
		var doc struct {
			EmailProvider struct {
				ID       string `xml:"id,attr"`
				Incoming []struct {
					Type     string `xml:"type,attr"`
					Hostname string `xml:"hostname"`
					Port     int    `xml:"port"`
					Socket   string `xml:"socketType"`
					Username string `xml:"username"`
				} `xml:"incomingServer"`
				Outgoing []struct {
					Port int `xml:"port"`
				} `xml:"outgoingServer"`
			} `xml:"emailProvider"`
		}
		if err := xml.Unmarshal([]byte(body), &doc); err != nil {
			t.Fatal(err)
		}
		p := doc.EmailProvider
		if p.ID != "example.test" || len(p.Incoming) != 3 || p.Incoming[0].Port != 993 || p.Incoming[0].Socket != "SSL" ||
			p.Incoming[0].Username != "%EMAILADDRESS%" || p.Incoming[0].Hostname != "mail.example.test" || len(p.Outgoing) != 2 || p.Outgoing[0].Port != 465 {
			t.Errorf("%+v", p)
		}
	}
}

func TestOutlook(t *testing.T) {
	post := func(body string) string {
		req, _ := http.NewRequest(http.MethodPost, "http://autodiscover.example.test/Autodiscover/Autodiscover.xml", strings.NewReader(body))
		var b strings.Builder
		req.Write(&b)
		return ask(t, b.String())
	}
	const start = `<?xml version="1.0"?><Autodiscover xmlns="http://schemas.microsoft.com/exchange/autodiscover/outlook/requestschema/2006"><Request><EMailAddress>`
	const end = `</EMailAddress><AcceptableResponseSchema>x</AcceptableResponseSchema></Request></Autodiscover>`
	reply := post(start + "a&amp;b@example.test" + end)
	for _, want := range []string{" 200 OK\r\n", "<Type>IMAP</Type>", "<LoginName>a&amp;b@example.test</LoginName>", "<Type>SMTP</Type>", "<Port>465</Port>"} {
		if !strings.Contains(reply, want) {
			t.Errorf("no %q in\n%s", want, reply)
		}
	}
	for body, want := range map[string]string{start + "a@foreign.test" + end: " 404 ", start + end: " 400 ", "nonsense": " 400 "} {
		if reply := post(body); !strings.Contains(reply, want) {
			t.Errorf("%q: %q", body, reply)
		}
	}
}

func TestRefused(t *testing.T) {
	for request, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: x\r\n\r\n": " 404 ",
		"GET /mail/config-v1.1.xml?emailaddress=a@foreign.test HTTP/1.1\r\nHost: autoconfig.example.test\r\n\r\n": " 404 ",
		"POST /mail/config-v1.1.xml HTTP/1.1\r\nHost: autoconfig.example.test\r\n\r\n":                            " 405 ",
		"GET /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: x\r\n\r\n":                                          " 405 ",
		"SSH-2.0-x\r\n\r\n": " 400 ",
		"GET /" + strings.Repeat("x", 2*maxRequest) + " HTTP/1.1\r\n\r\n": " 400 ",
		"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n":               " 404 ",
	} {
		if reply := ask(t, request); !strings.HasPrefix(reply, "HTTP/1.1"+want) {
			t.Errorf("%.60q: %.100q", request, reply)
		}
	}
}

func FuzzSession(f *testing.F) {
	f.Add("GET /mail/config-v1.1.xml?emailaddress=a@example.test HTTP/1.1\r\nHost: x\r\n\r\n")
	f.Add("POST /autodiscover/autodiscover.xml HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n<a>")
	f.Fuzz(func(t *testing.T, in string) {
		reply := ask(t, in+"\r\n\r\n")
		if !strings.HasPrefix(reply, "HTTP/1.1 ") {
			t.Errorf("%q", reply)
		}
	})
}
