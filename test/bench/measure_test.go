package bench

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// ticksPerSecond is the unit of CPU time in /proc on every Linux that Go runs on.
const ticksPerSecond = 100

// process is what /proc tells about a process.
type process struct {
	parent int
	ticks  int64 // its CPU time and that of its children that ended
}

func parseStat(line string) (process, error) {
	end := strings.LastIndexByte(line, ')')
	fields := strings.Fields(line[end+1:])
	if end < 0 || len(fields) < 15 {
		return process{}, errors.New("short stat line")
	}
	var p process
	var err error
	if p.parent, err = strconv.Atoi(fields[1]); err != nil {
		return p, err
	}
	for _, f := range fields[11:15] { // utime stime cutime cstime
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return p, err
		}
		p.ticks += n
	}
	return p, nil
}

// tree returns a process and all its live descendants.
func tree(root int) map[int]process {
	all := map[int]process{}
	names, _ := filepath.Glob("/proc/[0-9]*")
	for _, name := range names {
		text, err := os.ReadFile(name + "/stat")
		if err != nil {
			continue // it ended
		}
		if p, err := parseStat(string(text)); err == nil {
			pid, _ := strconv.Atoi(filepath.Base(name))
			all[pid] = p
		}
	}
	out := map[int]process{}
	for pid, p := range all {
		for up := pid; up > 1; up = all[up].parent {
			if up == root {
				out[pid] = p
				break
			}
		}
	}
	return out
}

// cpuSeconds returns the CPU time of a process tree, including what ended.
func cpuSeconds(root int) float64 {
	var ticks int64
	for _, p := range tree(root) {
		ticks += p.ticks
	}
	return float64(ticks) / ticksPerSecond
}

// parts returns the CPU time in seconds of the daemons that live, by name: what
// the scheduler counted for each thread, which is finer than ticks.
func parts(root int) map[string]float64 {
	out := map[string]float64{}
	for pid := range tree(root) {
		name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
		threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		for _, file := range threads {
			text, _ := os.ReadFile(file)
			first, _, _ := strings.Cut(string(text), " ")
			ns, _ := strconv.ParseFloat(first, 64)
			out[strings.TrimSpace(string(name))] += ns / 1e9
		}
	}
	return out
}

// pssKiB returns the memory of a process tree; pages that several processes
// share count in part.
func pssKiB(root int) float64 {
	var sum float64
	for pid := range tree(root) {
		f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			continue
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if rest, ok := strings.CutPrefix(s.Text(), "Pss:"); ok {
				n, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64)
				sum += n
			}
		}
		f.Close()
	}
	return sum
}

// diskRate returns how many files of 4.5 KiB per second the file system keeps
// durably, each with its name, when so many write at once.
func diskRate(t testing.TB, writers int, d time.Duration) float64 {
	t.Helper()
	dir, err := os.MkdirTemp("", "disk")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	var done atomic.Int64
	var failed atomic.Value
	var wg sync.WaitGroup
	start := time.Now()
	for w := range writers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := 0; time.Since(start) < d; i++ {
				if err := durableFile(dir, fmt.Sprintf("%d.%d", w, i)); err != nil {
					failed.Store(err)
					return
				}
				done.Add(1)
			}
		}()
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		t.Fatal(err)
	}
	return float64(done.Load()) / time.Since(start).Seconds()
}

// durableFile writes a file, syncs it and its directory, and removes it, as
// every message leaves the queue again.
func durableFile(dir, name string) error {
	path := filepath.Join(dir, name)
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 4608))
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return err
	}
	return os.Remove(path)
}
