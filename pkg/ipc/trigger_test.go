package ipc

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// which tells the second bytes of a trigger.
func which(request []byte) []byte { return append(request, 'x') }

// TestTriggerer fires at a FIFO, at another one in its place, and at nothing.
func TestTriggerer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	tr := NewTriggerer(path, "I")
	tr.Fire(which)
	tr.Wait()
	for range 2 {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		r.SetReadDeadline(time.Now().Add(30 * time.Second))
		// Who opens the FIFO does not know what went before.
		for _, want := range []string{"I", "Ix", "Ix"} {
			tr.Fire(which)
			tr.Wait()
			b := make([]byte, 8)
			if n, err := r.Read(b); string(b[:n]) != want || err != nil {
				t.Fatalf("read %q, %v", b[:n], err)
			}
		}
		// Its reader gone, the old FIFO takes no more.
		r.Close()
		os.Remove(path)
	}
}

// TestTriggerFull: what does not fit into a full FIFO is told when there is
// room again, without what followed.
func TestTriggerFull(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	r, err := os.OpenFile(path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	r.SetReadDeadline(time.Now().Add(30 * time.Second))
	tr := NewTriggerer(path, "I")
	tr.Fire(which)
	tr.Wait()
	filled := 1
	for page := make([]byte, 4096); ; {
		n, err := syscall.Write(int(r.Fd()), page)
		if n <= 0 {
			if err != syscall.EAGAIN {
				t.Fatal(err)
			}
			if len(page) == 1 {
				break
			}
			page = page[:len(page)/2]
			continue
		}
		filled += n
	}
	syscall.SetNonblock(int(r.Fd()), true)
	tr.Fire(which)
	got := make([]byte, filled+8)
	n := 0
	for n <= filled {
		k, err := syscall.Read(int(r.Fd()), got[n:])
		if err == syscall.EAGAIN {
			time.Sleep(time.Millisecond)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	tr.Wait()
	if tail := string(got[filled:n]); tail != "I" {
		t.Errorf("after the full FIFO came %q", tail)
	}
}
