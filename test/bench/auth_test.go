package bench

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// The authentication scenario: so many users, of whom some log in so often
// that their passwords are known to be right.
const (
	authUsers   = 100_000
	authActive  = 20_000
	authTime    = 10 * time.Second
	authClients = 16
	authGuesses = 64 // guessers at a time, each from an address of its own
)

// startAuthd runs authd alone, with a database of authUsers users. Those whose
// number ends in 7 have an argon2id hash, which guesses are made for.
func startAuthd(t *testing.T) (socket string, pid int) {
	t.Helper()
	dir, err := os.MkdirTemp("", "auth")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	for _, d := range []string{"etc", "spool", "data"} {
		os.Mkdir(filepath.Join(dir, d), 0o755)
	}
	slow, err := password.Hash("ARGON2ID", "secret")
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "etc/userdb"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	w := bufio.NewWriter(f)
	for i := range authUsers {
		hash := slow
		if i%10 != 7 {
			if hash, err = password.Hash("SSHA256", "secret"); err != nil {
				t.Fatal(err)
			}
		}
		fmt.Fprintf(w, "u%d@d.test\tuid=2000|gid=2000|home=/var/vmail/d.test/u%d|quota=1000000000S|systempw=%s\n", i, i, hash)
	}
	w.Flush()
	f.Close()
	main := fmt.Sprintf("queue_directory = %[1]s/spool\ndata_directory = %[1]s/data\nmaillog_file = %[1]s/log\nmail_owner = daemon\nauth_owner = daemon\n", dir)
	os.WriteFile(filepath.Join(dir, "etc/main.cf"), []byte(main), 0o644)
	os.WriteFile(filepath.Join(dir, "etc/master.cf"), nil, 0o644)
	socket = filepath.Join(dir, "s")
	cmd := exec.Command(filepath.Join(testkit.Bin(t), "authd"), "-c", filepath.Join(dir, "etc"), "-n", "authd", "-t", "unix", "-o", "client_limit=10000", "--listen", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	testkit.Wait(t, "authd", func() bool { _, err := os.Stat(socket); return err == nil })
	return socket, cmd.Process.Pid
}

// rss returns the memory of a process in kilobytes.
func rss(t *testing.T, pid int) int {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, _ := strconv.Atoi(strings.Fields(v)[0])
			return n
		}
	}
	return 0
}

// active returns a user that is no target of guesses.
func active(i int) string {
	if i%10 == 7 {
		i++
	}
	return fmt.Sprintf("u%d@d.test", i)
}

// loginRate lets clients log in for a while and returns how many did in a second,
// and the time that the slowest of a hundred took.
func loginRate(t *testing.T, socket string) (rate float64, slow time.Duration) {
	t.Helper()
	var count atomic.Int64
	var mu sync.Mutex
	var times []time.Duration
	var wg sync.WaitGroup
	end := time.Now().Add(authTime)
	for n := range authClients {
		wg.Go(func() {
			c := authclient.New(socket)
			defer c.Close()
			p := authclient.Peer{Service: "smtp", RemoteIP: fmt.Sprintf("192.0.2.%d", n), TLS: true}
			var own []time.Duration
			for time.Now().Before(end) {
				user := active(rand.IntN(authActive))
				start := time.Now()
				_, step, err := c.Begin(context.Background(), p, "PLAIN", []byte("\x00"+user+"\x00secret"))
				own = append(own, time.Since(start))
				if err != nil || step.Outcome != authclient.OK {
					t.Errorf("%s: %+v %v", user, step, err)
					return
				}
				count.Add(1)
			}
			mu.Lock()
			times = append(times, own...)
			mu.Unlock()
		})
	}
	wg.Wait()
	slices.Sort(times)
	if len(times) == 0 {
		t.Fatal("nobody logged in")
	}
	return float64(count.Load()) / authTime.Seconds(), times[len(times)*99/100]
}

// guess floods authd with wrong passwords for users whose hash is expensive,
// each from a new address, until stop is closed.
func guess(socket string, stop <-chan struct{}) (wait func() int64) {
	var wg sync.WaitGroup
	var made atomic.Int64
	for n := range authGuesses {
		wg.Go(func() {
			c := authclient.New(socket)
			defer c.Close()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			go func() { <-stop; cancel() }()
			for i := 0; ctx.Err() == nil; i++ {
				p := authclient.Peer{Service: "smtp", RemoteIP: fmt.Sprintf("10.%d.%d.%d", n, i/250%250, i%250), TLS: true}
				c.Plain(ctx, p, fmt.Sprintf("u%d7@d.test", rand.IntN(authUsers/10)), fmt.Sprint("guess", i))
				made.Add(1)
			}
		})
	}
	return func() int64 { wg.Wait(); return made.Load() }
}

// TestAuth measures logins with PLAIN, alone and under a flood of wrong
// passwords, and the memory of authd.
func TestAuth(t *testing.T) {
	if !*full {
		t.Skip("SKIPPED: measures only with -args -full, as `make bench` does")
	}
	if !slices.Contains(strings.Split(*scenarios, ","), "auth") {
		t.Skip("not among -scenarios")
	}
	socket, pid := startAuthd(t)
	c := authclient.New(socket)
	for i := range authActive { // each password once
		p := authclient.Peer{Service: "smtp", RemoteIP: fmt.Sprintf("192.0.2.%d", i%authClients), TLS: true}
		if step, err := c.Plain(context.Background(), p, active(i), "secret"); err != nil || step.Outcome != authclient.OK {
			t.Fatalf("%s: %+v %v", active(i), step, err)
		}
	}
	t.Logf("%d users, %d processors, %d MB of memory", authUsers, runtime.GOMAXPROCS(0), rss(t, pid)/1024)
	alone, slow := loginRate(t, socket)
	t.Logf("alone:  %6.0f logins/s, 99%% within %v", alone, slow)
	stop := make(chan struct{})
	wait := guess(socket, stop)
	time.Sleep(2 * time.Second)
	flooded, slow := loginRate(t, socket)
	close(stop)
	guesses := wait()
	again, _ := loginRate(t, socket)
	t.Logf("again:  %6.0f logins/s", again)
	alone = (alone + again) / 2
	t.Logf("flood:  %6.0f logins/s, 99%% within %v, beside %d guesses; %.0f%% of alone; %d MB of memory",
		flooded, slow, guesses, 100*flooded/alone, rss(t, pid)/1024)
}
