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
	"syscall"

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
	return &service.Hooks{Packet: func(_ context.Context, data []byte) { writeLine(out, data) }}, nil
}

// writeLine appends one line with one write. An error, such as a full disk,
// has nowhere to go.
func writeLine(w io.Writer, data []byte) {
	w.Write(append(line(data), '\n'))
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
