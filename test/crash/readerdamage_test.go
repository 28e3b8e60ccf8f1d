package crash

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// storeFiles are what the store keeps beside the messages.
var storeFiles = []string{"posthouse.index", "posthouse.log", "posthouse-uidlist", "posthouse.cache", "posthouse.cachemap", "posthouse.lock"}

// TestReadersDamage damages the store's own files while the system works on
// them: no message is lost, none gets another UID. Flags beyond those that are
// in the names of messages may go with the index.
func TestReadersDamage(t *testing.T) {
	s, m := newReaderSite(t, "imap-damage", true)
	random := rand.New(rand.NewPCG(14, 14))
	for n := range size(18, 180) {
		ctx, stop := context.WithCancel(t.Context())
		working := s.people(ctx, m, uint64(200+n))
		time.Sleep(time.Duration(20+random.IntN(100)) * time.Millisecond)
		box := s.mail.Maildir("u0")
		if n/len(storeFiles)%2 == 1 {
			box = filepath.Join(box, ".Other")
		}
		file := filepath.Join(box, storeFiles[n%len(storeFiles)])
		how := damage(t, file, random)
		time.Sleep(time.Duration(20+random.IntN(100)) * time.Millisecond)
		stop()
		working.Wait()
		m.fig.cycles++
		s.compare(m, "u0")
		if len(m.fig.findings) > 0 {
			t.Errorf("after %s of %s", how, file)
			break
		}
		// One damage at a time: the check mends what it tells of.
		out, err := s.mail.Command("posthouse", "mailbox", "check", "u0@example.test").CombinedOutput()
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			t.Fatalf("check: %v: %s", err, out)
		}
	}
	m.report(t)
}

// damage does something to a file that no program of ours does.
func damage(t *testing.T, path string, random *rand.Rand) string {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return "the absence"
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	size := max(info.Size(), 1)
	switch random.IntN(6) {
	case 0:
		os.Remove(path)
		return "the removal"
	case 1:
		f.Truncate(0)
		return "the emptying"
	case 2:
		f.Truncate(random.Int64N(size))
		return "the cutting"
	case 3:
		f.WriteAt([]byte("garbage\n1 2 3\n"), info.Size())
		return "garbage at the end"
	case 4:
		f.WriteAt(make([]byte, 200), random.Int64N(size))
		return "zeros"
	}
	b, at := []byte{0}, random.Int64N(size)
	f.ReadAt(b, at)
	b[0] ^= 1 << random.IntN(8)
	f.WriteAt(b, at)
	return "a turned bit"
}

// TestReadersLyingDisk proves that the checker sees what it is there to see.
func TestReadersLyingDisk(t *testing.T) {
	s, m := newReaderSite(t, "selftest-imap-lying-fsync", true)
	c := s.mustLogin("u0")
	(&person{s: s, m: m, name: "before", user: "u0", random: rand.New(rand.NewPCG(1, 1))}).deliver()
	in := s.inject(injection{act: actLie, calls: "fsync,fdatasync", pids: s.procs("mailuser", "sessiond", "asuser", "deposit")})
	// Long enough for something to be acknowledged.
	for end := time.Now().Add(time.Minute); m.fig.acked < 20 && time.Now().Before(end); {
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		s.people(ctx, m, 300).Wait()
		stop()
	}
	c.conn.Close()
	for _, p := range s.procs("mailuser", "asuser") {
		syscall.Kill(p.pid, syscall.SIGKILL) // before the injector lets them go
	}
	s.powerCut()
	in.stop()
	s.compare(m, "u0")
	reportLine(t, m.fig.String())
	if m.fig.lost == 0 {
		t.Error("syncs that do nothing and a power cut lost nothing: the checker is blind")
	}
}
