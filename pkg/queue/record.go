package queue

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// ErrCorrupt reports a malformed record, or a file whose records make no sense.
var ErrCorrupt = errors.New("malformed queue file")

const (
	// MaxRecord is the longest record that a reader accepts unless it is
	// told otherwise. The longest that any writer makes is a header of
	// header_size_limit (102400).
	MaxRecord = 1 << 20

	maxLengthBytes = 5 // of a record length, 7 bits each
	maxReverse     = 10000
	readBuffer     = 16 << 10
	writeBuffer    = 32 << 10
)

// Record is one record. Data is valid until the next one is read.
type Record struct {
	Type   byte
	Data   []byte
	Offset int64 // of the type byte
}

// RecordReader reads records, from a queue file or from a socket.
type RecordReader struct {
	br    *bufio.Reader
	src   io.ReadSeeker    // nil for a stream without pointers
	file  io.SectionReader // src of a file
	off   int64            // of the next record
	limit int
	spill []byte

	size     int64 // of the file, bound for pointers; 0 = unknown
	seen     int64 // bytes read since the start, bound for loops
	reverse  int
	lastJump int64
}

// NewRecordReader returns a reader of the records in r. When r is a
// *bufio.Reader it reads no byte beyond the record that it returns.
func NewRecordReader(r io.Reader) *RecordReader {
	br, ok := r.(*bufio.Reader)
	if !ok {
		br = bufio.NewReaderSize(r, readBuffer)
	}
	return &RecordReader{br: br, limit: MaxRecord}
}

// NewFileReader returns a reader for a file of the given size that can jump.
func NewFileReader(f io.ReaderAt, size int64) *RecordReader {
	r := &RecordReader{br: bufio.NewReaderSize(nil, int(min(size, readBuffer)))}
	r.open(f, size)
	return r
}

// open makes a new reader of one that was used before: nothing but its buffer stays.
func (r *RecordReader) open(f io.ReaderAt, size int64) {
	*r = RecordReader{br: r.br, file: *io.NewSectionReader(f, 0, size), size: size, limit: MaxRecord}
	r.src = &r.file
	r.br.Reset(r.src)
}

// SetLimit sets the longest record that is accepted.
func (r *RecordReader) SetLimit(n int) { r.limit = n }

// Offset returns the position after the last record.
func (r *RecordReader) Offset() int64 { return r.off }

// Next returns the next record as it stands, pointers included. It returns
// io.EOF, bare, at the end between two records, and ErrCorrupt for a record
// that is cut off, too long or of type 0.
func (r *RecordReader) Next() (Record, error) {
	typ, err := r.br.ReadByte()
	if err != nil {
		if err == io.EOF {
			return Record{}, io.EOF
		}
		return Record{}, fmt.Errorf("read record: %w", err)
	}
	start := r.off
	n, used, err := r.length()
	if err != nil {
		return Record{}, fmt.Errorf("record %q at offset %d: %w", typ, start, err)
	}
	if typ == 0 || typ >= 0x80 {
		return Record{}, fmt.Errorf("%w: record type %d at offset %d", ErrCorrupt, typ, start)
	}
	if n > r.limit {
		return Record{}, fmt.Errorf("%w: record %q at offset %d has %d bytes", ErrCorrupt, typ, start, n)
	}
	data, err := r.data(n)
	if err != nil {
		return Record{}, fmt.Errorf("record %q at offset %d: %w", typ, start, err)
	}
	total := int64(1 + used + n)
	r.off += total
	r.seen += total
	if r.size > 0 && r.seen > 2*r.size+1<<16 {
		// More was read than the file holds: records are read again and
		// again through pointers.
		return Record{}, fmt.Errorf("%w: pointer loop", ErrCorrupt)
	}
	return Record{Type: typ, Data: data, Offset: start}, nil
}

// length reads the length of a record and how many bytes it took.
func (r *RecordReader) length() (n, used int, err error) {
	for shift := 0; used < maxLengthBytes; shift += 7 {
		b, err := r.br.ReadByte()
		if err != nil {
			return 0, 0, truncated(err)
		}
		used++
		n |= int(b&0x7f) << shift
		if b&0x80 == 0 {
			return n, used, nil
		}
	}
	return 0, 0, fmt.Errorf("%w: too many length bits", ErrCorrupt)
}

// data returns the next n bytes, in the read buffer where they fit.
func (r *RecordReader) data(n int) ([]byte, error) {
	if n <= r.br.Size() {
		p, err := r.br.Peek(n)
		if err != nil {
			return nil, truncated(err)
		}
		_, _ = r.br.Discard(n)
		return p, nil
	}
	// Grow with what really arrives, not with what a header claims.
	r.spill = r.spill[:0]
	for len(r.spill) < n {
		step := min(n-len(r.spill), 64<<10)
		at := len(r.spill)
		r.spill = append(r.spill, make([]byte, step)...)
		if _, err := io.ReadFull(r.br, r.spill[at:]); err != nil {
			return nil, truncated(err)
		}
	}
	return r.spill, nil
}

func truncated(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return fmt.Errorf("%w: cut off", ErrCorrupt)
	}
	return err
}

// SeekTo continues reading at the given offset. A stream can only go forward.
func (r *RecordReader) SeekTo(off int64) error {
	if r.src == nil && off >= r.off {
		_, err := io.CopyN(io.Discard, r.br, off-r.off)
		r.off = off
		return truncated(err)
	}
	if r.src == nil || off < 0 || r.size > 0 && off > r.size {
		return fmt.Errorf("%w: bad offset %d", ErrCorrupt, off)
	}
	if skip := off - r.off; skip >= 0 && skip <= int64(r.br.Buffered()) {
		_, _ = r.br.Discard(int(skip))
		r.off = off
		return nil
	}
	if _, err := r.src.Seek(off, io.SeekStart); err != nil {
		return err
	}
	r.br.Reset(r.src)
	r.off = off
	return nil
}

// Follow continues where a pointer record says. A pointer to 0 is a
// placeholder.
func (r *RecordReader) Follow(rec Record) error {
	to, err := parseNumber(rec.Data)
	if err != nil {
		return fmt.Errorf("%w: pointer %q at offset %d", ErrCorrupt, rec.Data, rec.Offset)
	}
	if to == 0 {
		return nil
	}
	if to <= r.lastJump {
		if r.reverse++; r.reverse > maxReverse {
			return fmt.Errorf("%w: too many reverse jumps", ErrCorrupt)
		}
	}
	r.lastJump = to
	return r.SeekTo(to)
}

// NextFollow returns the next record that is neither a pointer, which it
// follows, nor deleted text, which it skips.
func (r *RecordReader) NextFollow() (Record, error) {
	for {
		rec, err := r.Next()
		if err != nil {
			return rec, err
		}
		switch rec.Type {
		case RecPtr:
			if err := r.Follow(rec); err != nil {
				return Record{}, err
			}
		case RecDtxt:
		default:
			return rec, nil
		}
	}
}

// parseNumber reads a decimal number with blanks in front.
func parseNumber(b []byte) (int64, error) {
	for len(b) > 0 && b[0] == ' ' {
		b = b[1:]
	}
	if len(b) == 0 || len(b) > 18 {
		return 0, ErrCorrupt
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, ErrCorrupt
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

// RecordWriter writes records to a stream, such as the cleanup service's.
type RecordWriter struct {
	bw  *bufio.Writer
	hdr [1 + maxLengthBytes]byte
}

// NewRecordWriter returns a writer of records to w. When w is a *bufio.Writer
// it is used as it is.
func NewRecordWriter(w io.Writer) *RecordWriter {
	bw, ok := w.(*bufio.Writer)
	if !ok {
		bw = bufio.NewWriterSize(w, writeBuffer)
	}
	return &RecordWriter{bw: bw}
}

// Rec writes a record.
func (w *RecordWriter) Rec(typ byte, data []byte) error {
	if _, err := w.bw.Write(appendHeader(w.hdr[:0], typ, len(data))); err != nil {
		return err
	}
	_, err := w.bw.Write(data)
	return err
}

// RecString writes a record.
func (w *RecordWriter) RecString(typ byte, data string) error {
	if _, err := w.bw.Write(appendHeader(w.hdr[:0], typ, len(data))); err != nil {
		return err
	}
	_, err := w.bw.WriteString(data)
	return err
}

// Printf writes a record with formatted text.
func (w *RecordWriter) Printf(typ byte, format string, args ...any) error {
	return w.RecString(typ, fmt.Sprintf(format, args...))
}

// Flush sends what is buffered.
func (w *RecordWriter) Flush() error { return w.bw.Flush() }

// AppendRecord appends a record to dst.
func AppendRecord(dst []byte, typ byte, data []byte) []byte {
	return append(appendHeader(dst, typ, len(data)), data...)
}

func appendHeader(dst []byte, typ byte, n int) []byte {
	dst = append(dst, typ)
	for n >= 0x80 {
		dst = append(dst, byte(n)|0x80)
		n >>= 7
	}
	return append(dst, byte(n))
}
