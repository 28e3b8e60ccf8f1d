// Package inflate decompresses DEFLATE (RFC 1951) as a stream that is never
// sure to go on: what the bytes read so far stand for is given out before more
// are asked for. The reader of compress/flate wants bytes ahead of a sync
// flush, and so blocks where a peer waits for an answer; a protocol with
// compression (RFC 4978) needs one that does not.
package inflate

import (
	"errors"
	"io"
)

// ErrCorrupt reports bytes that are no DEFLATE stream.
var ErrCorrupt = errors.New("corrupt deflate stream")

// window is how far back a match may go.
const window = 32 << 10

// Reader decompresses what it reads.
type Reader struct {
	src io.Reader
	in  [4096]byte
	inb []byte // of in, not used yet

	bits  uint32
	nbits uint

	out  []byte // the window, and what was made
	read int    // how much of out the caller has

	state  state
	final  bool
	stored int
	match  int // bytes of a match that are to be copied
	dist   int
	lit    *huffman
	off    *huffman
	fixed  *huffman
	err    error
}

type state int

const (
	atBlock state = iota
	inStored
	inBlock
	atEnd
)

// NewReader returns a reader of what src has compressed.
func NewReader(src io.Reader) *Reader { return &Reader{src: src} }

// Read implements io.Reader. It returns what there is as soon as there is
// something.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.read == len(r.out) {
		if r.err != nil {
			return 0, r.err
		}
		r.shrink()
		r.err = r.step(len(p))
	}
	n := copy(p, r.out[r.read:])
	r.read += n
	return n, nil
}

// shrink forgets what is out of the window.
func (r *Reader) shrink() {
	if len(r.out) > 4*window {
		n := copy(r.out, r.out[len(r.out)-window:])
		r.out = r.out[:n]
		r.read = n
	}
}

// errWait means that the input has to be read, and that something can be given
// out before.
var errWait = errors.New("more input is needed")

// step makes output, up to about want bytes. It reads input only if it has
// made none.
func (r *Reader) step(want int) error {
	start := len(r.out)
	want = min(want, window)
	for len(r.out)-start < want {
		var err error
		switch r.state {
		case atBlock:
			err = r.block(len(r.out) > start)
		case inStored:
			err = r.copyStored(len(r.out) > start)
		case inBlock:
			err = r.symbols(start, want)
		default:
			err = io.EOF
		}
		if err == errWait || err != nil && len(r.out) > start && err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// more reads input into an empty buffer. hasOutput forbids it.
func (r *Reader) more(hasOutput bool) error {
	if hasOutput {
		return errWait
	}
	n, err := r.src.Read(r.in[:])
	r.inb = r.in[:n]
	if n > 0 {
		return nil
	}
	if err == nil {
		return io.ErrNoProgress
	}
	if err == io.EOF && r.state != atEnd && (r.state != atBlock || r.nbits >= 8) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// need gets at least n bits. What was taken stays taken if it has to wait.
func (r *Reader) need(n uint, hasOutput bool) error {
	for r.nbits < n {
		if len(r.inb) == 0 {
			if err := r.more(hasOutput); err != nil {
				return err
			}
		}
		r.bits |= uint32(r.inb[0]) << r.nbits
		r.nbits += 8
		r.inb = r.inb[1:]
	}
	return nil
}

func (r *Reader) take(n uint) int {
	v := r.bits & (1<<n - 1)
	r.bits >>= n
	r.nbits -= n
	return int(v)
}

// block reads the head of a block (RFC 1951 3.2.3).
func (r *Reader) block(hasOutput bool) error {
	if r.final {
		r.state = atEnd
		return io.EOF
	}
	if err := r.need(3, hasOutput); err != nil {
		return err
	}
	r.final = r.take(1) == 1
	r.state = inBlock // an end of the input is one in the middle now
	switch r.take(2) {
	case 0:
		return r.startStored()
	case 1:
		if r.fixed == nil {
			r.fixed = fixedLiterals()
		}
		r.lit, r.off = r.fixed, nil
	case 2:
		if err := r.readTables(); err != nil {
			return err
		}
	default:
		return ErrCorrupt
	}
	return nil
}

// startStored reads the head of a block without compression. The input of it
// was begun, so that it may be waited for.
func (r *Reader) startStored() error {
	r.take(r.nbits % 8)
	if err := r.need(16, false); err != nil {
		return err
	}
	n := r.take(16)
	if err := r.need(16, false); err != nil {
		return err
	}
	if r.take(16) != n^0xffff {
		return ErrCorrupt
	}
	r.stored, r.state = n, inStored
	return nil
}

func (r *Reader) copyStored(hasOutput bool) error {
	for r.stored > 0 && r.nbits >= 8 {
		r.out = append(r.out, byte(r.take(8)))
		r.stored--
		hasOutput = true
	}
	if r.stored > 0 {
		if len(r.inb) == 0 {
			if err := r.more(hasOutput); err != nil {
				return err
			}
		}
		n := min(r.stored, len(r.inb), window)
		r.out = append(r.out, r.inb[:n]...)
		r.inb = r.inb[n:]
		r.stored -= n
	}
	if r.stored == 0 {
		r.state = atBlock
	}
	return nil
}

// symbols decodes literals and matches until there is enough, the block ends,
// or the input does.
func (r *Reader) symbols(start, want int) error {
	for len(r.out)-start < want {
		if r.match > 0 {
			r.copyMatch(want - (len(r.out) - start))
			continue
		}
		sym, err := r.symbol(r.lit, len(r.out) > start)
		switch {
		case err != nil:
			return err
		case sym < 256:
			r.out = append(r.out, byte(sym))
		case sym == 256:
			r.state = atBlock
			return nil
		default:
			if err := r.startMatch(sym - 257); err != nil {
				return err
			}
		}
	}
	return nil
}

// startMatch reads the rest of a length and its distance (RFC 1951 3.2.5). A
// symbol is never left in the middle: it is short, and its sender has written
// it whole.
func (r *Reader) startMatch(sym int) error {
	if sym >= len(lengthBase) {
		return ErrCorrupt
	}
	extra := uint(lengthExtra[sym])
	if err := r.need(extra, false); err != nil {
		return err
	}
	length := int(lengthBase[sym]) + r.take(extra)
	var d int
	if r.off == nil {
		if err := r.need(5, false); err != nil {
			return err
		}
		d = reverse(r.take(5), 5)
	} else {
		var err error
		if d, err = r.symbol(r.off, false); err != nil {
			return err
		}
	}
	if d >= len(distBase) {
		return ErrCorrupt
	}
	extra = uint(distExtra[d])
	if err := r.need(extra, false); err != nil {
		return err
	}
	r.dist = int(distBase[d]) + r.take(extra)
	if r.dist > len(r.out) || r.dist > window {
		return ErrCorrupt
	}
	r.match = length
	return nil
}

func (r *Reader) copyMatch(limit int) {
	n := min(r.match, max(limit, 1))
	from := len(r.out) - r.dist
	for i := range n {
		r.out = append(r.out, r.out[from+i])
	}
	r.match -= n
}

// symbol decodes one symbol. When it has to wait it has taken nothing.
func (r *Reader) symbol(h *huffman, hasOutput bool) (int, error) {
	for {
		if sym, n := h.lookup(r.bits, r.nbits); n > 0 {
			r.take(n)
			return sym, nil
		}
		if r.nbits >= maxCode {
			return 0, ErrCorrupt
		}
		if len(r.inb) == 0 {
			if err := r.more(hasOutput); err != nil {
				return 0, err
			}
		}
		r.bits |= uint32(r.inb[0]) << r.nbits
		r.nbits += 8
		r.inb = r.inb[1:]
	}
}
