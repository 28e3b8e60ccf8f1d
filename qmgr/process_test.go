package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// programs are the real binaries of a test.
type programs struct {
	h   *house
	bin string
}

// build makes the programs that this package and its neighbours are.
func build(h *house, repo string) *programs {
	p := &programs{h: h, bin: h.TempDir()}
	cmd := exec.Command("go", "build", "-o", p.bin+"/", "./qmgr", "./bounce", "./error", "./discard")
	cmd.Dir = repo
	if out, err := cmd.CombinedOutput(); err != nil {
		h.Fatalf("build: %v\n%s", err, out)
	}
	return p
}

// run starts one service, and returns what kills it.
func (p *programs) run(program, name, typ, listen string) (kill func()) {
	p.h.Helper()
	cmd := exec.Command(filepath.Join(p.bin, program), "-c", p.h.dir, "-n", name, "-t", typ, "-l", "--listen", listen)
	cmd.Dir = p.h.dir
	cmd.Stderr = p.h.log
	if err := cmd.Start(); err != nil {
		p.h.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	p.h.Cleanup(kill)
	p.h.wait(listen, func() bool { _, err := os.Stat(listen); return err == nil })
	return kill
}

// cleanup takes messages as package inject sends them, and notes where they
// go.
func (h *house) cleanup(raw net.Conn, got func(to string)) {
	defer raw.Close()
	c := ipc.NewConn(raw)
	for {
		if _, err := c.Receive(); err != nil {
			return
		}
		c.Send(ipc.List{}.Str("queue_id", "NEWID"))
		to := ""
		for typ := byte(0); typ != 'E'; {
			var err error
			if typ, err = c.Reader().ReadByte(); err != nil {
				return
			}
			n, _ := binary.ReadUvarint(c.Reader())
			data := make([]byte, n)
			if _, err := io.ReadFull(c.Reader(), data); err != nil {
				return
			}
			if typ == 'R' {
				to = string(data)
			}
		}
		got(to)
		c.Send(ipc.List{}.Int("status", 0).Str("reason", ""))
	}
}

// ledger counts the notices by sender.
type ledger struct {
	mu      sync.Mutex
	notices map[string]int
}

func (l *ledger) add(to string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.notices[to]++
}

// startProcesses runs all but the queue manager.
func startProcesses(h *house, repo string) (*programs, *ledger) {
	for _, name := range []string{"bounce", "defer", "trace"} {
		os.Remove("private/" + name) // the real ones are run below
	}
	text := fmt.Sprintf("compatibility_level = 3.6\nqueue_directory = %s\ndata_directory = %s\nmail_owner = %s\n"+
		"myhostname = mail.example\nmaillog_file =\n", h.dir, h.dir, owner())
	for name, content := range map[string]string{"main.cf": text, "master.cf": ""} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			h.Fatal(err)
		}
	}
	p := build(h, repo)
	for _, name := range []string{"bounce", "defer", "trace"} {
		p.run("bounce", name, "unix", "private/"+name)
	}
	p.run("error", "error", "unix", "private/error")
	p.run("discard", "discard", "unix", "private/discard")
	l, err := net.Listen("unix", "public/cleanup")
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { l.Close() })
	book := &ledger{notices: map[string]int{}}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go h.cleanup(c, book.add)
		}
	}()
	return p, book
}

// drained waits until no message is left, with flush requests.
func drained(h *house) {
	deadline := time.Now().Add(2 * time.Minute)
	for _, q := range []string{"incoming", "active", "deferred"} {
		for h.count(q) > 0 {
			if time.Now().After(deadline) {
				h.Fatalf("%d messages left in %s", h.count(q), q)
			}
			time.Sleep(20 * time.Millisecond)
			ipc.Trigger("public/qmgr", []byte("FDA"))
		}
	}
}

func (h *house) count(queueName string) int {
	n := 0
	for range h.queue.Scan(queueName) {
		n++
	}
	return n
}

// TestProcesses runs the real programs, and kills the queue manager again and
// again: each recipient is reached, or its sender is told.
func TestProcesses(t *testing.T) {
	if testing.Short() {
		t.Skip("builds programs")
	}
	repo, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	h := newHouse(t)
	p, book := startProcesses(h, repo)
	h.outcome = func(*deliver.Request) (deliver.Reply, bool) {
		time.Sleep(3 * time.Millisecond)
		return deliver.Reply{}, false
	}
	kill := p.run("qmgr", "qmgr", "fifo", "public/qmgr")
	const messages = 150
	for i := range messages {
		h.put("incoming", fmt.Sprintf("s%d@x", i), fmt.Sprintf("r%d@agent.one", i), "x@discard.one", "nobody@error.one")
		if i%30 == 20 {
			kill()
			kill = p.run("qmgr", "qmgr", "fifo", "public/qmgr")
		}
		if err := ipc.Trigger("public/qmgr", []byte("I")); err != nil {
			t.Logf("trigger: %v", err)
		}
	}
	drained(h)
	h.mu.Lock()
	defer h.mu.Unlock()
	book.mu.Lock()
	defer book.mu.Unlock()
	seen := map[string]int{}
	for _, r := range h.requests {
		for _, rcpt := range r.Recipients {
			seen[rcpt.Address]++
		}
	}
	twice := 0
	for i := range messages {
		n := seen[fmt.Sprintf("r%d@agent.one", i)]
		if n == 0 {
			t.Errorf("r%d was not reached", i)
		}
		twice += n - 1
		if book.notices[fmt.Sprintf("s%d@x", i)] == 0 {
			t.Errorf("s%d was not told", i)
		}
	}
	t.Logf("%d messages, %d duplicates", messages, twice)
	for _, dir := range []string{"bounce", "defer", "trace", "corrupt"} {
		if n := h.count(dir); n > 0 {
			t.Errorf("%d files left behind in %s", n, dir)
		}
	}
}

// owner is a user that the programs can take for mail_owner.
func owner() string {
	if u, err := user.Current(); err == nil {
		return u.Username
	}
	return "root"
}
