package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// rotation are the parameters of logrotate.
type rotation struct {
	File       string `param:"maillog_file"`
	Suffix     string `param:"maillog_file_rotate_suffix"`
	Compressor string `param:"maillog_file_compressor"`
}

// logrotate renames the log file, has a new one opened, and compresses the old
// one.
func (a *app) logrotate(args []string) error {
	pid, running, _, err := a.findMaster("logrotate", args)
	if err != nil {
		return err
	}
	cfg, _, err := a.load()
	if err != nil {
		return err
	}
	var r rotation
	if err := cfg.Fill(&r); err != nil {
		return err
	}
	if r.File == "" || strings.HasPrefix(r.File, "/dev/") {
		return fmt.Errorf("maillog_file = %s: there is no file to rotate", r.File)
	}
	suffix, err := timeText(r.Suffix, time.Now())
	if err != nil {
		return fmt.Errorf("maillog_file_rotate_suffix: %w", err)
	}
	old := r.File + "." + suffix
	if _, err := os.Lstat(old); err == nil {
		return fmt.Errorf("%s exists already", old)
	}
	if err := new(safefile.FS).Rename(r.File, old); err != nil {
		return err
	}
	if running {
		if err := syscall.Kill(pid, syscall.SIGHUP); err != nil {
			return fmt.Errorf("signal master, process %d: %w", pid, err)
		}
		awaitFile(r.File)
	}
	return a.compress(r.Compressor, old)
}

// awaitFile waits until the new log file is there: what is logged before that
// goes into the old one.
func awaitFile(path string) {
	for range 20 {
		if _, err := os.Stat(path); err == nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// compress runs the site's compressor on a file.
func (a *app) compress(program, path string) error {
	words := strings.Fields(program)
	if len(words) == 0 {
		return errors.New("maillog_file_compressor is empty")
	}
	cmd := exec.Command(words[0], append(words[1:], path)...)
	cmd.Stdout, cmd.Stderr = a.out, a.err
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s %s: %w", program, path, err)
	}
	return nil
}

// timeText expands the letters of strftime(3) that make sense in a file's name.
func timeText(format string, t time.Time) (string, error) {
	forms := map[byte]string{'Y': "2006", 'y': "06", 'm': "01", 'd': "02", 'H': "15", 'M': "04", 'S': "05",
		'j': "002", 'F': "2006-01-02", 'T': "15:04:05", 'b': "Jan", 'a': "Mon", 'Z': "MST", 'z': "-0700"}
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		c := format[i]
		switch {
		case c == '/':
			return "", errors.New("no / is possible here")
		case c != '%':
			b.WriteByte(c)
			continue
		}
		if i++; i == len(format) {
			return "", errors.New("% at the end")
		}
		switch form, ok := forms[format[i]]; {
		case ok:
			b.WriteString(t.Format(form))
		case format[i] == '%':
			b.WriteByte('%')
		case format[i] == 's':
			fmt.Fprint(&b, t.Unix())
		default:
			return "", fmt.Errorf("%%%c is not known", format[i])
		}
	}
	if b.Len() == 0 {
		return "", errors.New("it is empty")
	}
	return b.String(), nil
}
