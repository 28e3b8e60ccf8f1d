package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
	"github.com/posthouse-mail/posthouse/pkg/smtpwire"
)

// Content that must be kept until it is complete stays in memory up to
// spoolMemory, then goes to one of spoolFiles files: the process may open none
// once it is in its jail.
const (
	spoolMemory = 64 << 10
	spoolFiles  = 64
)

// errSpools means that all files are in use.
var errSpools = errors.New("too many large messages at the same time")

// spools are the files of a process. They have no names.
type spools chan *os.File

func openSpools(dir string) (spools, error) {
	all := make(spools, spoolFiles)
	for range spoolFiles {
		f, err := safefile.Scratch(dir)
		if err != nil {
			return nil, fmt.Errorf("files for messages in transit: %w", err)
		}
		all <- f
	}
	return all, nil
}

// spool is the content of one message. Lines end in LF there.
type spool struct {
	all  spools
	mem  []byte
	file *os.File // nil while all is in memory
	size int64    // of what the file has
	err  error
}

// line adds a line, or where eol is false a part of one.
func (s *spool) line(b []byte, eol bool) {
	if s.err != nil {
		return
	}
	s.mem = append(s.mem, b...)
	if eol {
		s.mem = append(s.mem, '\n')
	}
	if len(s.mem) >= spoolMemory {
		s.flush()
	}
}

func (s *spool) flush() {
	if s.file == nil {
		select {
		case s.file = <-s.all:
		default:
			s.err = errSpools
			return
		}
	}
	n, err := s.file.WriteAt(s.mem, s.size)
	s.size += int64(n)
	s.mem, s.err = s.mem[:0], err
}

// each gives the content line by line; a long line comes in parts.
func (s *spool) each(fn smtpwire.ContentFunc) error {
	if s.err != nil {
		return s.err
	}
	if s.file != nil {
		if s.flush(); s.err != nil {
			return s.err
		}
		return eachLine(bufio.NewReaderSize(io.NewSectionReader(s.file, 0, s.size), spoolMemory), fn)
	}
	return eachLine(bufio.NewReaderSize(&memReader{s.mem}, 4<<10), fn)
}

// memReader reads bytes without a copy of its own.
type memReader struct{ rest []byte }

func (m *memReader) Read(b []byte) (int, error) {
	if len(m.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

func eachLine(r *bufio.Reader, fn smtpwire.ContentFunc) error {
	for {
		line, more, err := r.ReadLine()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = fn(line, !more)
		}
		if err != nil {
			return err
		}
	}
}

// release gives the file back, empty. One that cannot be emptied is not used
// again: its room on the disk would never be free.
func (s *spool) release() {
	if s.file == nil {
		return
	}
	if s.file.Truncate(0) == nil {
		s.all <- s.file
	} else {
		s.file.Close()
	}
	s.file = nil
}
