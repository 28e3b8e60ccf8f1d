package queue

import (
	"bufio"
	"io"
	"sync"
)

// Buffers are those of readers of queue files, each used again for the next
// file. The zero value works. They are safe for concurrent use.
type Buffers struct{ reads, writes sync.Pool }

// reader is [NewFileReader], whose memory goes back by putReader.
func (b *Buffers) reader(f io.ReaderAt, size int64) *RecordReader {
	r, ok := b.reads.Get().(*RecordReader)
	if !ok {
		r = &RecordReader{br: bufio.NewReaderSize(nil, readBuffer)}
	}
	r.open(f, size)
	return r
}

// putReader takes a reader back: neither it nor data of its records may be used
// any more.
func (b *Buffers) putReader(r *RecordReader) {
	*r = RecordReader{br: r.br}
	r.br.Reset(nil)
	b.reads.Put(r)
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
