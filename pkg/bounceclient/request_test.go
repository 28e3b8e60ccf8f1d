package bounceclient

import (
	"bufio"
	"bytes"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

func sample() *Request {
	return &Request{
		Verb: VerbAppend,
		Message: Message{QueueName: "active", QueueID: "51DF69903E9", Encoding: "8bit", UTF8: 1,
			Sender: envelope.Sender{Address: "a@b", EnvID: "id", Ret: envelope.RetFull}},
		Entry: Entry{
			Recipient: envelope.Recipient{Address: "r@e", Original: "o@e", DSNOrcpt: "rfc822;o@e", Notify: 4, Offset: 77},
			Relay:     "mx[192.0.2.1]:25", Status: status.New(550, "5.1.1", "no"), Action: "failed",
			DiagType: "smtp", DiagText: "550 no", MTAType: "dns", MTA: "mx", Time: time.Unix(1700000000, 0),
		},
	}
}

func TestRoundTrip(t *testing.T) {
	got, err := ParseRequest(sample().List())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(sample(), got); d != "" {
		t.Error(d)
	}
}

func TestRefused(t *testing.T) {
	for name, change := range map[string]func(*Request){
		"id":     func(r *Request) { r.Message.QueueID = "../../x" },
		"queue":  func(r *Request) { r.Message.QueueName = "private" },
		"status": func(r *Request) { r.Entry.Status.Code = "6.1.1" },
		"action": func(r *Request) { r.Entry.Action = "eaten" },
		"verb":   func(r *Request) { r.Verb = 9 },
		"offset": func(r *Request) { r.Entry.Recipient.Offset = -5 },
	} {
		t.Run(name, func(t *testing.T) {
			r := sample()
			change(r)
			if _, err := ParseRequest(r.List()); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func FuzzRequest(f *testing.F) {
	var b bytes.Buffer
	for _, a := range sample().List() {
		b.WriteString(a.Name + "\x00" + a.Value + "\x00")
	}
	b.WriteByte(0)
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := ipc.ReadList(bufio.NewReader(bytes.NewReader(data)))
		if err != nil {
			return
		}
		r, err := ParseRequest(l)
		if err != nil {
			return
		}
		if _, err := ParseRequest(r.List()); err != nil {
			t.Errorf("cannot read what was written: %v", err)
		}
	})
}
