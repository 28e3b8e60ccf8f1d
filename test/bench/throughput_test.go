package bench

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/refpostfix"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// cell is one way to send: a row of the table.
type cell struct {
	sessions int
	kept     bool // connections are kept
}

func (c cell) String() string {
	if c.kept {
		return fmt.Sprintf("%d, kept", c.sessions)
	}
	return fmt.Sprintf("%d, one each", c.sessions)
}

// sample is one measurement.
type sample struct{ rate, cpu float64 }

func throughput(t *testing.T, k kind) {
	arg := ""
	switch k.name {
	case "relay":
		arg, _ = startSink(t)
	case "maildir":
		arg = aliases(t)
	}
	var cells []cell
	for _, n := range numbers(t, *sessions) {
		cells = append(cells, cell{n, true}, cell{n, false})
	}
	both := systems(t, k, arg)
	got := map[string]map[cell][]sample{}
	disk := map[int][]float64{}
	for range *rounds {
		// Who comes second finds the disk as the other left it.
		slices.Reverse(both)
		for _, s := range both {
			if got[s.name()] == nil {
				got[s.name()] = map[cell][]sample{}
			}
			s.start(t)
			send(t, s, k, cell{5, true}, 100) // warm up
			for _, c := range cells {
				got[s.name()][c] = append(got[s.name()][c], send(t, s, k, c, count(c)))
			}
			s.stop(t)
		}
		for _, n := range numbers(t, *sessions) {
			disk[n] = append(disk[n], diskRate(t, n, time.Second))
		}
	}
	report(k, cells, got, disk)
}

func count(c cell) int {
	if c.sessions == 1 {
		return max(1, *messages/3)
	}
	return *messages
}

// send sends n messages and waits until all are delivered.
func send(t testing.TB, s system, k kind, c cell, n int) sample {
	t.Helper()
	sentBefore := strings.Count(s.log(), "status=sent")
	storedBefore := stored(s)
	cmd := source(t, s.addr(), k, c, n)
	cpu, start := cpuSeconds(s.pid()), time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: smtp-source: %v\n%s", s.name(), err, out)
	}
	drained(t, s)
	seconds := time.Since(start).Seconds()
	cpu = cpuSeconds(s.pid()) - cpu
	if k.name == "maildir" {
		if got := stored(s) - storedBefore; got != n {
			t.Fatalf("%s: %d of %d messages in the mailboxes", s.name(), got, n)
		}
	}
	verify(t, s, sentBefore+n)
	return sample{float64(n) / seconds, cpu * 1000 / float64(n)}
}

// source prepares smtp-source.
func source(t testing.TB, addr string, k kind, c cell, n int) *exec.Cmd {
	t.Helper()
	args := []string{"-s", strconv.Itoa(c.sessions), "-m", strconv.Itoa(n), "-l", "4096",
		"-f", "sender@client.test", "-t", k.recipient, "-M", "client.test"}
	if c.kept {
		args = append(args, "-d")
	}
	if k.numbered {
		args = append(args, "-N")
	}
	// It never gives up by itself on a server that does not answer.
	cmd := refpostfix.Tool(t, "smtp-source", append(args, addr)...)
	cmd.Args = append([]string{"timeout", "60"}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
	if path, err := exec.LookPath("timeout"); err == nil {
		cmd.Path = path
	}
	return cmd
}

// verify looks into the log, which may lag behind, for the fate of each message.
func verify(t testing.TB, s system, want int) {
	t.Helper()
	got := 0
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if got = strings.Count(s.log(), "status=sent"); got >= want {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("%s: %d of %d messages were sent, says the log", s.name(), got, want)
}

// startSink runs smtp-sink and returns its port and process.
func startSink(t testing.TB) (string, *exec.Cmd) {
	t.Helper()
	port := strconv.Itoa(testkit.FreePorts(t))
	cmd := refpostfix.Tool(t, "smtp-sink", "-u", "nobody", "127.0.0.1:"+port, "1000")
	start(t, cmd)
	testkit.Wait(t, "smtp-sink", func() bool {
		c, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return port, cmd
}

func start(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", filepath.Base(cmd.Path), err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

func report(k kind, cells []cell, got map[string]map[cell][]sample, disk map[int][]float64) {
	rows := [][]string{{"sessions, connections", "msg/s A", "msg/s B", "B/A", "disk files/s", "goal", "B/goal", "CPU s/1000 A", "B", "B/A"}}
	for _, c := range cells {
		a, b := medians(got["Postfix"][c]), medians(got["Posthouse"][c])
		d := median(disk[c.sessions])
		want := goal(a.rate, d, k.files)
		rows = append(rows, []string{c.String(), f0(a.rate), f0(b.rate), f2(ratio(b.rate, a.rate)), f0(d), f0(want),
			f2(ratio(b.rate, want)), f2(a.cpu), f2(b.cpu), f2(ratio(b.cpu, a.cpu))})
	}
	table(fmt.Sprintf("%s: 4 KiB messages, until all are delivered; %d durable file(s) per message", k.name, k.files), rows)
}

func medians(samples []sample) sample {
	var rate, cpu []float64
	for _, s := range samples {
		rate, cpu = append(rate, s.rate), append(cpu, s.cpu)
	}
	return sample{median(rate), median(cpu)}
}
