package bench

import (
	"syscall"
	"testing"
	"time"
)

// floor measures the two parts that no mail system can do without: the
// conversation, with smtp-sink, which answers and forgets, and a durable file
// per message. One session does the one after the other, so that the sum of
// both times is the least that a message takes; with more of them they
// overlap, and the slower part is the bound.
func floor(t *testing.T) {
	var cells []cell
	for _, n := range numbers(t, *sessions) {
		cells = append(cells, cell{n, true}, cell{n, false})
	}
	talk, disk := map[cell][]sample{}, map[cell][]sample{}
	for range *rounds {
		for _, c := range cells {
			talk[c] = append(talk[c], converse(t, c))
			cpu := ownCPU(t)
			rate := diskRate(t, c.sessions, time.Second)
			disk[c] = append(disk[c], sample{rate, (ownCPU(t) - cpu) * 1000 / rate})
		}
	}
	rows := [][]string{{"sessions, connections", "msg/s talk", "files/s", "bound msg/s", "CPU s/1000 talk", "file", "sum"}}
	for _, c := range cells {
		s, d := medians(talk[c]), medians(disk[c])
		rows = append(rows, []string{c.String(), f0(s.rate), f0(d.rate), f0(bound(c.sessions, s.rate, d.rate)),
			f2(s.cpu), f2(d.cpu), f2(s.cpu + d.cpu)})
	}
	table("floor: smtp-source to smtp-sink, and one durable file: what no mail system goes below", rows)
}

// converse sends messages to a sink of their own.
func converse(t *testing.T, c cell) sample {
	t.Helper()
	port, sink := startSink(t)
	n := 4 * count(c)
	cmd := source(t, "127.0.0.1:"+port, discard, c, n)
	cpu, start := cpuSeconds(sink.Process.Pid), time.Now()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("smtp-source: %v\n%s", err, out)
	}
	rate := float64(n) / time.Since(start).Seconds()
	return sample{rate, (cpuSeconds(sink.Process.Pid) - cpu) * 1000 / float64(n)}
}

// ownCPU returns the CPU seconds of this process.
func ownCPU(t *testing.T) float64 {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}
