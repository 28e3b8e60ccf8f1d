package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// state is the part of the message in which the reader is.
type state int

const (
	inEnvelope state = iota
	inHeader
	inBody
)

// printer shows one file.
type printer struct {
	options
	out  *bufio.Writer
	warn func(string, ...any)
	path string

	r          *queue.RecordReader
	state      state
	show       bool // the current part is wanted
	prev       byte // type of the last text, 0 after an ended line
	dataOffset int64
	dataSize   int64
	fileSize   int64 // 0 for a stream
	stop       bool
	untitled   bool // the title of the envelope comes before its first record
}

// file shows a file from its start, or from the wanted offset.
func (p *printer) file(f *os.File, seekable bool) error {
	p.state, p.show, p.dataOffset, p.dataSize = inEnvelope, p.envelope, -1, -1
	if err := p.open(f, seekable); err != nil {
		return err
	}
	for !p.stop {
		offset := p.r.Offset()
		rec, err := p.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			p.warn("%s: %v", p.path, err)
			return errors.New("record read error")
		}
		if p.untitled {
			p.untitled = false
			fmt.Fprintf(p.out, "*** ENVELOPE RECORDS %s ***\n", p.path)
		}
		if err := p.record(rec, offset); err != nil {
			return err
		}
	}
	return nil
}

// open prepares the reader and checks that this looks like a queue file.
func (p *printer) open(f *os.File, seekable bool) error {
	st, err := f.Stat()
	if err != nil {
		return err
	}
	if st.Mode().IsRegular() && seekable {
		p.fileSize = st.Size()
		p.r = queue.NewFileReader(f, st.Size())
		if p.start == 0 && !plausible(f) {
			p.notQueueFile()
			return nil
		}
	} else {
		br := bufio.NewReader(f)
		if first, err := br.Peek(1); p.start == 0 && err == nil && !strings.Contains(queue.EnvelopeRecords, string(first)) {
			p.notQueueFile()
			return nil
		}
		p.r = queue.NewRecordReader(br)
	}
	if p.start > 0 {
		if err := p.r.SeekTo(p.start); err != nil {
			return fmt.Errorf("%s: seek to %d: %w", p.path, p.start, err)
		}
		return nil
	}
	p.untitled = p.envelope
	return nil
}

func (p *printer) notQueueFile() {
	p.warn("%s: input is not a valid queue file", p.path)
	p.stop = true
}

// plausible reports whether a file is empty or begins like an envelope.
func plausible(f *os.File) bool {
	var b [1]byte
	n, _ := f.ReadAt(b[:], 0)
	return n == 0 || strings.Contains(queue.EnvelopeRecords, string(b[:]))
}

// next returns the next record: all of them when everything is to be seen.
func (p *printer) next() (queue.Record, error) {
	if !p.verbose && !p.raw {
		return p.r.NextFollow()
	}
	for {
		rec, err := p.r.Next()
		if err != nil || p.verbose || rec.Type != queue.RecDtxt {
			return rec, err
		}
	}
}

// record handles the records that change the state, and prints the others.
func (p *printer) record(rec queue.Record, offset int64) error {
	switch {
	case rec.Type == queue.RecNorm || rec.Type == queue.RecCont:
		if err := p.text(rec); err != nil || p.stop {
			return err
		}
	case rec.Type == queue.RecMesg:
		return p.message(rec, offset)
	case rec.Type == queue.RecXtra:
		p.extracted(rec, offset)
		return nil
	case rec.Type == queue.RecEnd:
		if p.state != inEnvelope {
			p.warn("%s: out-of-order message end marker", p.path)
		}
		if p.envelope {
			p.marker(offset, rec.Type, "MESSAGE FILE END")
		}
		p.stop = !p.raw
		return nil
	case rec.Type == queue.RecPtr:
		if p.show {
			p.line(offset, rec.Type, rec.Data)
		}
		if !p.raw && p.r.Follow(rec) != nil {
			return errors.New("bad pointer record, or input is not seekable")
		}
		return nil
	case rec.Type == queue.RecSize:
		return p.size(rec, offset)
	}
	if p.show {
		p.print(rec, offset)
	}
	return nil
}

// text watches for the end of the header.
func (p *printer) text(rec queue.Record) error {
	if p.state != inHeader || !p.header && !p.body || p.prev == queue.RecCont || headerLine(rec.Data) {
		return nil
	}
	p.state, p.show = inBody, p.body
	if p.show {
		return nil
	}
	if !p.envelope {
		p.stop = true
		return nil
	}
	return p.skipContent()
}

// headerLine reports whether a line continues the header: a field name of
// printable characters and a colon, or a folded line.
func headerLine(line []byte) bool {
	if len(line) > 0 && (line[0] == ' ' || line[0] == '\t') {
		return true
	}
	for i, c := range line {
		if c == ':' {
			return i > 0
		}
		if c == ' ' || c == '\t' {
			rest := bytes.TrimLeft(line[i:], " \t")
			return i > 0 && len(rest) > 0 && rest[0] == ':'
		}
		if c < 33 || c > 126 {
			return false
		}
	}
	return false
}

// skipContent goes to the records after the content, when it is known where.
func (p *printer) skipContent() error {
	if p.dataOffset <= 0 || p.dataSize < 0 {
		return nil
	}
	return p.seek(p.dataOffset + p.dataSize)
}

// seek goes to an offset; nothing is shown from beyond the end.
func (p *printer) seek(off int64) error {
	if p.fileSize > 0 && off >= p.fileSize {
		p.stop = true
		return nil
	}
	if err := p.r.SeekTo(off); err != nil {
		return fmt.Errorf("seek error: %w", err)
	}
	return nil
}

func (p *printer) message(rec queue.Record, offset int64) error {
	if p.state != inEnvelope {
		p.warn("%s: out-of-order message content marker", p.path)
	}
	if p.envelope {
		p.marker(offset, rec.Type, "MESSAGE CONTENTS")
	}
	p.state, p.show = inHeader, p.header
	if !p.header && !p.body {
		return p.skipContent()
	}
	return nil
}

func (p *printer) extracted(rec queue.Record, offset int64) {
	if p.state != inHeader && p.state != inBody {
		p.warn("%s: out-of-order extracted segment marker", p.path)
	}
	if p.show && p.prev == queue.RecCont {
		p.out.WriteByte('\n')
	}
	if p.envelope {
		p.marker(offset, rec.Type, "HEADER EXTRACTED")
	}
	p.state, p.show = inEnvelope, p.envelope
	p.stop = !p.show
}

func (p *printer) size(rec queue.Record, offset int64) error {
	if p.show {
		p.line(offset, rec.Type, rec.Data)
	}
	if strings.HasPrefix(p.path, queue.Maildrop+"/") {
		return nil
	}
	if p.dataOffset >= 0 || p.dataSize >= 0 {
		p.warn("file contains multiple size records")
		return nil
	}
	fields := strings.Fields(string(rec.Data))
	ok := len(fields) >= 2
	if ok {
		size, err1 := strconv.ParseInt(fields[0], 10, 64)
		offset, err2 := strconv.ParseInt(fields[1], 10, 64)
		if ok = err1 == nil && err2 == nil && size > 0 && offset > 0; ok {
			p.dataSize, p.dataOffset = size, offset
		}
	}
	if !ok {
		p.warn("invalid size record: %.100s", rec.Data)
		return nil
	}
	if !p.envelope {
		p.state, p.show = inHeader, p.header
		return p.seek(p.dataOffset)
	}
	return nil
}

// prefix prints offset and type where wanted.
func (p *printer) prefix(offset int64, typ byte) {
	if p.offsets {
		fmt.Fprintf(p.out, "%9d ", offset)
	}
	if p.decimal {
		fmt.Fprintf(p.out, "%3d ", typ)
	}
}

func (p *printer) marker(offset int64, typ byte, text string) {
	p.prefix(offset, typ)
	fmt.Fprintf(p.out, "*** %s %s ***\n", text, p.path)
}

func (p *printer) line(offset int64, typ byte, data []byte) {
	p.prefix(offset, typ)
	p.named(queue.RecordName(typ), data)
}

// named prints data up to its first NUL.
func (p *printer) named(name string, data []byte) {
	if i := bytes.IndexByte(data, 0); i >= 0 {
		data = data[:i]
	}
	p.out.WriteString(name)
	p.out.WriteString(": ")
	p.out.Write(data)
	p.out.WriteByte('\n')
}

// print shows a record that has no side effect.
func (p *printer) print(rec queue.Record, offset int64) {
	p.prefix(offset, rec.Type)
	p.prev = rec.Type
	name := queue.RecordName(rec.Type)
	switch rec.Type {
	case queue.RecTime, queue.RecWarn:
		p.time(name, rec.Data)
	case queue.RecCont:
		p.fragment(name, rec.Data)
	case queue.RecNorm, queue.RecDtxt:
		if p.verbose || rec.Type == queue.RecDtxt {
			p.out.WriteString(name)
			p.out.WriteString(": ")
		}
		p.out.Write(rec.Data)
		p.out.WriteByte('\n')
	case queue.RecAttr:
		p.attr(name, rec.Data)
	default:
		p.named(name, rec.Data)
	}
}

// fragment shows part of a long line; in an envelope the type means a filter.
func (p *printer) fragment(name string, data []byte) {
	switch {
	case p.state == inEnvelope:
		p.out.WriteString(name + ": ")
	case p.verbose:
		p.out.WriteString("unterminated_text: ")
	}
	p.out.Write(data)
	if p.state == inEnvelope || p.verbose || p.offsets {
		p.prev = 0
		p.out.WriteByte('\n')
	}
}

func (p *printer) attr(name string, data []byte) {
	key, value, problem := queue.SplitAttr(data)
	switch {
	case problem != "":
		p.warn("%s: malformed attribute: %s: %.100s", p.path, problem, data)
	case key == queue.AttrCreateTime:
		p.time(key, []byte(value))
	default:
		p.named(name, []byte(key+"="+value))
	}
}

// time shows seconds since 1970 as C's asctime does.
func (p *printer) time(name string, data []byte) {
	text := strings.TrimLeft(string(data), " ")
	digits := strings.TrimPrefix(text, "-") // of a delay notice that was sent
	end := strings.IndexFunc(digits, func(r rune) bool { return r < '0' || r > '9' })
	if end >= 0 {
		text = text[:len(text)-len(digits)+end]
	}
	sec, _ := strconv.ParseInt(text, 10, 64)
	fmt.Fprintf(p.out, "%s: %s\n", name, time.Unix(sec, 0).Format("Mon Jan _2 15:04:05 2006"))
}
