package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/maillog"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

// settings are the parameters of postlogd.
type settings struct {
	File     string   `param:"maillog_file"`
	Prefixes []string `param:"maillog_file_prefixes"`
	Mode     int      `param:"maillog_file_permissions"`
}

func prepare(env *service.Env) (*service.Hooks, error) {
	var set settings
	if err := env.Config.Fill(&set); err != nil {
		return nil, err
	}
	out, err := open(&set)
	if err != nil {
		return nil, err
	}
	if out == nil {
		// The others log to syslog; what somebody sends here all the same
		// follows them.
		return &service.Hooks{Packet: func(_ context.Context, data []byte) {
			env.Log.Info("", "%s", line(data))
		}}, nil
	}
	w := &writer{out: out}
	if w.pipe, err = maillog.OpenPipe(maillog.PostlogPipe); err != nil {
		// The socket carries everything then.
		env.Log.Warn("", "%v", err)
		return &service.Hooks{Packet: func(_ context.Context, data []byte) { w.packet(data) }}, nil
	}
	return &service.Hooks{
		Ready:  func(ctx context.Context) error { go w.pump(ctx); return nil },
		Packet: func(_ context.Context, data []byte) { w.packet(data) },
		Drain:  func() { w.take() },
	}, nil
}

// nap is how long postlogd sleeps after it has taken lines from the pipe, so
// that it wakes for many lines and not for each. The pipe holds what comes
// meanwhile.
const nap = 10 * time.Millisecond

// maxBatches bounds what is taken from the pipe in one go.
const maxBatches = 64

// writer appends lines to the log. An error, such as a full disk, has nowhere
// to go.
type writer struct {
	out  io.Writer
	pipe *maillog.PipeReader // or nil
	mu   sync.Mutex
	buf  []byte
}

// packet appends the line of a datagram, after those that were written to the
// pipe before it was sent.
func (w *writer) packet(data []byte) {
	w.take()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.out.Write(append(line(data), '\n'))
}

// pump appends what comes through the pipe, until the process ends. Whoever
// comes after it finds the rest in the pipe.
func (w *writer) pump(ctx context.Context) {
	for ctx.Err() == nil {
		if w.take() {
			time.Sleep(nap)
		} else if err := w.pipe.Wait(); err != nil {
			return
		}
	}
}

// take appends the lines that are in the pipe, and reports whether there were
// any. Many lines are one write.
func (w *writer) take() bool {
	if w.pipe == nil {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	any := false
	for range maxBatches {
		lines, err := w.pipe.Read()
		if err != nil || len(lines) == 0 {
			return any
		}
		any = true
		w.buf = w.buf[:0]
		for l := range bytes.Lines(lines) {
			if text := bytes.TrimRight(l, "\r\n\x00"); len(text) > 0 {
				w.buf = append(append(w.buf, line(text)...), '\n')
			}
		}
		w.out.Write(w.buf)
	}
	return any
}

// line makes one safe line of what a peer sent.
func line(data []byte) []byte {
	return []byte(printable.Text(string(bytes.TrimRight(data, "\r\n\x00"))))
}

// stdout is the name for standard output, which is not opened: it may be a
// pipe of another user.
const stdout = "/dev/stdout"

// open opens the log file, or returns nil if there is none.
func open(set *settings) (*os.File, error) {
	if set.File == "" {
		return nil, nil
	}
	if err := checkName(set.File, set.Prefixes); err != nil {
		return nil, err
	}
	if set.File == stdout {
		return os.Stdout, nil
	}
	f, err := os.OpenFile(set.File, os.O_WRONLY|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW, os.FileMode(set.Mode)&0o777)
	if err != nil {
		return nil, fmt.Errorf("open maillog_file: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("not a regular file")
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("maillog_file %s: %w", set.File, err)
	}
	return f, nil
}

// checkName holds the name against maillog_file_prefixes, so that a slip in
// main.cf cannot make root append to any file.
func checkName(name string, prefixes []string) error {
	if !filepath.IsAbs(name) || filepath.Clean(name) != name {
		return fmt.Errorf("maillog_file = %s: not a plain absolute name", name)
	}
	for _, p := range prefixes {
		if name == p || strings.HasPrefix(name, strings.TrimRight(p, "/")+"/") {
			return nil
		}
	}
	return fmt.Errorf("maillog_file = %s: not below maillog_file_prefixes = %s", name, strings.Join(prefixes, ", "))
}
