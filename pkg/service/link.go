package service

import (
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/service/masterlink"
)

// link is the status channel to master. A nil link is that of a process
// without master.
type link struct {
	generation int
	solitary   bool
	conn       net.Conn
	gone       chan struct{}

	mu   sync.Mutex
	last masterlink.State
}

// openLink takes over the inherited status channel.
func openLink(generation int, solitary bool) (*link, error) {
	f := os.NewFile(masterlink.StatusFD, "status channel")
	defer f.Close()
	conn, err := net.FileConn(f)
	if err != nil {
		return nil, fmt.Errorf("adopt status channel: %w", err)
	}
	return &link{generation: generation, solitary: solitary, conn: conn, gone: make(chan struct{})}, nil
}

// watch closes l.gone when master closed the channel, which it does when it
// ends and when it wants this process replaced. It runs until then.
func (l *link) watch() {
	defer close(l.gone)
	buf := make([]byte, 16)
	for {
		if _, err := l.conn.Read(buf); err != nil {
			return
		}
	}
}

// done returns a channel that closes when master wants no more of us.
func (l *link) done() <-chan struct{} {
	if l == nil {
		return nil
	}
	return l.gone
}

// report tells master what this process can do now; a state that master knows
// already is not repeated. An error is not reported: watch sees it too.
func (l *link) report(s masterlink.State) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if s == l.last || l.last == masterlink.Retiring {
		return
	}
	l.last = s
	l.conn.SetWriteDeadline(time.Now().Add(time.Second))
	l.conn.Write(masterlink.Report{
		PID: os.Getpid(), Generation: l.generation, State: s, Solitary: l.solitary,
	}.Encode())
}
