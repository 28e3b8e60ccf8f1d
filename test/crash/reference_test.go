package crash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestReference puts Debian's Postfix through the power cuts of
// powerCutSingle, with the same ledger and checker: queue and Maildirs on two
// file systems, one message just before the cut. Its figures are there to
// compare with; they fail nothing.
func TestReference(t *testing.T) {
	needFaults(t)
	if !*campaign {
		t.Skip("SKIPPED: only in the campaign")
	}
	root := refpostfix.Root(t)
	sink := newSink(t)
	boxes := testkit.NewImage(t, filepath.Join(os.TempDir(), "refmail"), 96)
	os.Chmod(boxes.At, 0o755)
	p := refpostfix.New(t, fmt.Sprintf(`myhostname = mail.example.test
mydestination =
mynetworks = 127.0.0.0/8
virtual_mailbox_domains = example.test
virtual_mailbox_base = %s
virtual_mailbox_maps = static:u0/
virtual_minimum_uid = 1
virtual_uid_maps = static:65534
virtual_gid_maps = static:65534
transport_maps = inline:{ok.test=smtp:[127.0.0.1]:%d}
minimal_backoff_time = 1s
maximal_backoff_time = 2s
queue_run_delay = 1s
`, boxes.At, sink.port))
	os.Chown(boxes.At, 65534, 65534)
	queue := testkit.NewImage(t, filepath.Join(os.TempDir(), "refspool"), 96)
	spool := filepath.Join(p.Dir, "spool")
	if out, err := exec.Command("cp", "-a", spool+"/.", queue.At).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v\n%s", err, out)
	}
	queue.Unmount(t)
	queue.At = spool
	queue.Mount(t)
	r := &reference{t: t, p: p, daemons: filepath.Join(root, "usr/lib/postfix/sbin"), queue: queue, boxes: boxes,
		ledger: newLedger(t, 2), fig: &figures{Fault: "postfix-3.7.11-powercut-ext4-two-fs-single", Seed: 2}}
	t.Cleanup(r.killAll)
	r.start()
	r.send(toMaildir("u0")) // makes the Maildir
	r.settle()
	unix.Sync()
	for n := range 40 {
		r.cycle(n)
	}
	r.settle()
	copies := sink.found()
	copies = append(copies, maildirCopies(filepath.Join(boxes.At, "u0"), "u0@example.test")...)
	judge(r.fig, r.ledger.list(), copies)
	report(t, r.fig)
}

// reference is a Postfix on file systems of its own.
type reference struct {
	t            *testing.T
	p            *refpostfix.Instance
	daemons      string
	queue, boxes *testkit.Image
	ledger       *ledger
	fig          *figures
}

func (r *reference) start() {
	r.t.Helper()
	begin := time.Now()
	r.p.Start(r.t)
	testWait(r.t, "a greeting", func() bool {
		c, err := dialSMTP(r.p.Addr)
		if err == nil {
			c.close()
		}
		return err == nil
	})
	if r.fig.Cycles > 0 {
		r.fig.Recover = append(r.fig.Recover, time.Since(begin))
	}
}

func testWait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timeout: no %s", what)
		}
	}
}

func (r *reference) send(rcpt recipient) {
	r.t.Helper()
	c, err := dialSMTP(r.p.Addr)
	if err != nil {
		r.t.Fatal(err)
	}
	defer c.close()
	e, text := r.ledger.begin("smtpd", 3000, rcpt)
	reply, why, _ := c.send(e, text, false)
	r.ledger.end(e, reply, why)
	if reply != ack {
		r.t.Fatalf("not accepted: %s", why)
	}
}

// cycle is one of powerCutSingle, to a Maildir.
func (r *reference) cycle(n int) {
	r.t.Helper()
	r.fig.Cycles++
	r.send(toMaildir("u0"))
	switch n % 3 {
	case 1:
		time.Sleep(time.Duration(n*7919%30000) * time.Microsecond)
	case 2:
		r.settle()
		r.send(recipient{"r@ok.test", classOK, []string{"r@ok.test"}})
	}
	testkit.Cut(r.t, r.boxes, r.queue)
	r.killAll()
	for _, i := range []*testkit.Image{r.boxes, r.queue} {
		i.Unmount(r.t)
		i.Mount(r.t)
	}
	r.start()
}

// settle waits until the queue is empty, which a file that was never complete
// does not prevent.
func (r *reference) settle() {
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		busy := false
		for _, name := range []string{"incoming", "active", "deferred"} {
			busy = busy || slices.ContainsFunc(files(r.p.Dir+"/spool/"+name), complete)
		}
		if !busy {
			return
		}
	}
}

func (r *reference) killAll() {
	for range 12000 {
		left := 0
		dirs, _ := filepath.Glob("/proc/[0-9]*/exe")
		for _, d := range dirs {
			exe, err := os.Readlink(d)
			if err != nil || !strings.HasPrefix(exe, r.daemons+"/") {
				continue
			}
			var pid int
			fmt.Sscanf(d, "/proc/%d/", &pid)
			syscall.Kill(pid, syscall.SIGKILL)
			left++
		}
		if left == 0 {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	r.t.Error("processes of the reference do not die")
}
