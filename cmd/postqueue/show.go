package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/queue"
	"github.com/posthouse-mail/posthouse/pkg/queue/listing"
	"github.com/posthouse-mail/posthouse/pkg/queuetool"
)

// listTimeout is how long showq may be silent.
const listTimeout = 10 * time.Minute

// show prints the queue, as showq tells it or, for the superuser while the
// mail system is down, from the files.
func show(t *queuetool.Tool, stdout io.Writer, asJSON bool) error {
	src, err := connect(t)
	if err != nil {
		return err
	}
	defer src.Close()
	out := bufio.NewWriterSize(stdout, 32<<10)
	var p presenter = &table{w: out, longIDs: t.LongIDs}
	if asJSON {
		p = &jsonLines{w: out}
	}
	err = read(bufio.NewReaderSize(src, 32<<10), p)
	if err == nil {
		err = out.Flush()
	}
	if errors.Is(err, syscall.EPIPE) {
		return nil // the reader has seen enough
	}
	return err
}

// connect opens the stream of showq.
func connect(t *queuetool.Tool) (io.ReadCloser, error) {
	conn, err := net.DialTimeout("unix", "public/"+t.ShowqService, dialTimeout)
	if err == nil {
		return &patient{conn}, nil
	}
	why := fmt.Sprintf("Connect to the %s %s service: %s", t.MailName, t.ShowqService, queuetool.ErrnoText(err))
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fail(exSoftware, "%s", why)
	case os.Geteuid() == 0 || os.Getuid() == t.OwnerUID:
		t.Warn("Mail system is down -- accessing queue directly (%s)", why)
		return direct(t)
	}
	return nil, fail(exUnavailable, "Queue report unavailable - mail system is down (%s)", why)
}

// direct lists the files in this process, as the mail owner.
func direct(t *queuetool.Tool) (io.ReadCloser, error) {
	var p struct {
		EmptyAddress string `param:"empty_address_recipient"`
		DupLimit     int    `param:"duplicate_filter_limit"`
	}
	if err := t.Config.Fill(&p); err != nil {
		return nil, err
	}
	if err := t.DropToOwner(); err != nil {
		return nil, err
	}
	// A queue that cannot be read is not an empty one.
	for _, name := range []string{queue.Maildrop, queue.Active, queue.Incoming, queue.Deferred, queue.Hold} {
		dir, err := os.Open(name)
		if err != nil {
			return nil, fail(exUnavailable, "open queue %s: %s", name, queuetool.ErrnoText(err))
		}
		dir.Close()
	}
	l := &listing.Lister{Queue: t.Queue("."), EmptyAddress: p.EmptyAddress, DupLimit: p.DupLimit, Warn: t.Warn}
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(l.Write(bufio.NewWriter(w))) }()
	return r, nil
}

// patient gives each read its own time.
type patient struct{ net.Conn }

func (p *patient) Read(b []byte) (int, error) {
	if err := p.SetReadDeadline(time.Now().Add(listTimeout)); err != nil {
		return 0, err
	}
	return p.Conn.Read(b)
}
