package ipc

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestTriggerer fires at a FIFO, at another one in its place, and at nothing.
func TestTriggerer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fifo")
	tr := NewTriggerer(path, "I")
	tr.Fire()
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
		for range 3 {
			tr.Fire()
			tr.Wait()
			b := make([]byte, 8)
			if n, err := r.Read(b); string(b[:n]) != "I" || err != nil {
				t.Fatalf("read %q, %v", b[:n], err)
			}
		}
		// Its reader gone, the old FIFO takes no more.
		r.Close()
		os.Remove(path)
	}
}
