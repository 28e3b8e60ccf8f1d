package queue

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// Buffers are those of readers of queue files, each used again for the next
// file. The zero value works. They are safe for concurrent use.
type Buffers struct{ reads, writes sync.Pool }

// MessageForDelivery is [Queue.OpenForDelivery] for an open queue file that was passed
// by another process. Where the content begins is read from the file.
func (b *Buffers) MessageForDelivery(f *os.File) (*Message, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, &os.PathError{Op: "fstat", Path: f.Name(), Err: err}
	}
	m := newMessage(f, new(safefile.FS), b, "", "", &st)
	if err := m.readSize(); err != nil {
		return nil, fmt.Errorf("%s: %w", f.Name(), err)
	}
	return m, nil
}

// reader is [NewFileReader], whose buffer goes back by putReader.
func (b *Buffers) reader(f io.ReaderAt, size int64) *RecordReader {
	br, ok := b.reads.Get().(*bufio.Reader)
	if !ok {
		br = bufio.NewReaderSize(nil, readBuffer)
	}
	return newFileReader(f, size, br)
}

// putReader takes a buffer back: neither r nor data of its records may be used
// any more.
func (b *Buffers) putReader(r *RecordReader) {
	r.br.Reset(nil)
	b.reads.Put(r.br)
}

func (b *Buffers) writer(w io.Writer) *bufio.Writer {
	bw, ok := b.writes.Get().(*bufio.Writer)
	if !ok {
		bw = bufio.NewWriterSize(nil, writeBuffer)
	}
	bw.Reset(w)
	return bw
}

func (b *Buffers) putWriter(bw *bufio.Writer) {
	bw.Reset(nil)
	b.writes.Put(bw)
}
