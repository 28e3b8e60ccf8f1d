package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// TestCommandInput: what a command reads is whole, from the beginning, and
// nobody can change it; small messages leave the disk alone.
func TestCommandInput(t *testing.T) {
	for _, size := range []int{0, 1, inputInMemory, inputInMemory + 1, 3 << 20} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			want := bytes.Repeat([]byte("line of text 16\n"), size/16+1)[:size]
			f, err := commandInput(new(safefile.FS), func(w io.Writer) error {
				for rest := want; len(rest) > 0; {
					n := min(5000, len(rest))
					if _, err := w.Write(rest[:n]); err != nil {
						return err
					}
					rest = rest[n:]
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			got, err := io.ReadAll(f)
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("read %d bytes of %d, %v", len(got), len(want), err)
			}
			if _, err := f.Write([]byte("x")); err == nil {
				t.Error("the input can be written to")
			}
			_, err = unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
			if memory := err == nil; memory != (size <= inputInMemory) {
				t.Errorf("in memory: %v", memory)
			}
		})
	}
}

// TestCommandInputFails: no input rather than a part of one.
func TestCommandInputFails(t *testing.T) {
	why := errors.New("bad record")
	f, err := commandInput(new(safefile.FS), func(w io.Writer) error {
		io.WriteString(w, "half")
		return why
	})
	if f != nil || !errors.Is(err, why) {
		t.Errorf("got %v, %v", f, err)
	}
	full := &safefile.FS{Fault: func(safefile.Op, string) error { return os.ErrPermission }}
	if _, err := commandInput(full, func(w io.Writer) error {
		_, err := w.Write(make([]byte, inputInMemory+1))
		return err
	}); err == nil {
		t.Error("a large message without a place to keep it")
	}
}
