package smtpwire

import (
	"bytes"
	"errors"
	"io"
)

// BareLF says what to do with LF that has no CR before it
// (smtpd_forbid_bare_newline).
type BareLF int

// The modes. Only BareOff takes anything but CR LF "." CR LF as the end of
// DATA: there LF ends a line in every respect.
const (
	BareNormalize BareLF = iota // LF ends a line, but no end of data
	BareReject                  // as normalize, and the caller refuses the message
	BareOff                     // LF is as good as CR LF
)

// MaxFragment is the longest piece of a line that is handed out in one part;
// it must be well below the size of a buffer.
const MaxFragment = 16 << 10

// ContentFunc is given a message line by line, without line ends. eol is
// false for a part of a line that is longer than the fragment size: the next
// call has more of it. b is valid during the call. An error from it ends the
// reading at once and comes back to the caller.
type ContentFunc func(b []byte, eol bool) error

// ContentInfo says what was seen in a message.
type ContentInfo struct {
	Size    int64 // bytes of content, with each line end as two bytes
	BareLF  bool  // there was a line that ended in LF alone
	StrayCR bool  // there was CR without LF; it was handed out as it came
	NUL     bool  // there was a zero byte
	Eight   bool  // there was a byte above 127
}

// Content takes message content apart into lines. One Content lives for one
// message: BDAT chunks of a message go through the same.
type Content struct {
	// Fragment is the longest part of a line that is handed out at once;
	// zero means 2048, Postfix's line_length_limit.
	Fragment int
	// Mode is what a bare LF does.
	Mode BareLF
	// Info grows with the content.
	Info ContentInfo

	inLine  bool // a part of the current line was handed out
	bareEOL bool // the line before ended in bare LF
	cr      bool // BDAT: a CR at the end of a piece was kept back
}

func (c *Content) fragment() int {
	if c.Fragment <= 0 {
		return 2048
	}
	return min(c.Fragment, MaxFragment)
}

// ReadData reads the content of DATA up to and including its end mark,
// removes the dots that the client added (RFC 5321 4.5.2) and gives each line
// to fn. It is to be called after the 354 reply.
//
// A line that is a lone dot, and is not the end since a line end beside it is
// a bare LF, keeps its dot: a relay must not change what it cannot explain.
func (r *Reader) ReadData(c *Content, fn ContentFunc) error {
	scanned := 0
	limit := c.fragment()
	for {
		if i := bytes.IndexByte(r.buf[r.r+scanned:r.w], '\n'); i >= 0 {
			raw := r.buf[r.r : r.r+scanned+i]
			r.r += len(raw) + 1
			scanned = 0
			end, err := c.dataLine(raw, limit, fn)
			if end || err != nil {
				return err
			}
			continue
		}
		scanned = r.w - r.r
		// Keep back what may turn out to be CR LF, and a dot's company.
		if scanned > limit+3 {
			b := c.unstuff(r.buf[r.r : r.r+limit])
			r.r += limit
			scanned -= limit
			if err := c.emit(b, false, fn); err != nil {
				return err
			}
			continue
		}
		if err := r.fillLarge(); err != nil {
			return unexpected(err)
		}
	}
}

// dataLine handles the last part of a line, its LF removed. end tells that
// it was the end of data.
func (c *Content) dataLine(raw []byte, limit int, fn ContentFunc) (end bool, err error) {
	bare := true
	if n := len(raw); n > 0 && raw[n-1] == '\r' {
		bare = false
		raw = raw[:n-1]
	}
	if !c.inLine && len(raw) == 1 && raw[0] == '.' {
		if c.Mode == BareOff || !bare && !c.bareEOL {
			c.Info.BareLF = c.Info.BareLF || bare
			return true, nil
		}
	} else {
		raw = c.unstuff(raw)
	}
	c.Info.BareLF = c.Info.BareLF || bare
	for len(raw) > limit {
		if err := c.emit(raw[:limit], false, fn); err != nil {
			return false, err
		}
		raw = raw[limit:]
	}
	err = c.emit(raw, true, fn)
	c.bareEOL = bare
	return false, err
}

// unstuff removes the first dot of a line.
func (c *Content) unstuff(b []byte) []byte {
	if !c.inLine && len(b) > 0 && b[0] == '.' {
		return b[1:]
	}
	return b
}

// emit counts and looks at a part of a line, and hands it out.
func (c *Content) emit(b []byte, eol bool, fn ContentFunc) error {
	c.inLine = !eol
	c.Info.Size += int64(len(b))
	if eol {
		c.Info.Size += 2
	}
	c.look(b)
	return fn(b, eol)
}

func (c *Content) look(b []byte) {
	if !c.Info.StrayCR && bytes.IndexByte(b, '\r') >= 0 {
		c.Info.StrayCR = true
	}
	if !c.Info.NUL && bytes.IndexByte(b, 0) >= 0 {
		c.Info.NUL = true
	}
	if !c.Info.Eight {
		for _, x := range b {
			if x >= 0x80 {
				c.Info.Eight = true
				break
			}
		}
	}
}

// ReadChunk reads n bytes, one BDAT chunk (RFC 3030 section 2), and gives the
// lines in it to fn. A line may go on in the next chunk of the message; the
// caller calls [Content.Finish] after the last. There is no dot coding here.
func (r *Reader) ReadChunk(n int64, c *Content, fn ContentFunc) error {
	for n > 0 {
		if r.r == r.w {
			if err := r.fillLarge(); err != nil {
				return unexpected(err)
			}
		}
		part := r.buf[r.r:r.w]
		if int64(len(part)) > n {
			part = part[:n]
		}
		r.r += len(part)
		n -= int64(len(part))
		if err := c.chunkPart(part, fn); err != nil {
			return err
		}
	}
	return nil
}

// SkipChunk reads n bytes and throws them away: a chunk that came after an
// error (RFC 3030 section 2). Callers bound n.
func (r *Reader) SkipChunk(n int64) error {
	for n > 0 {
		if r.r == r.w {
			if err := r.fillLarge(); err != nil {
				return unexpected(err)
			}
		}
		k := min(int64(r.w-r.r), n)
		r.r += int(k)
		n -= k
	}
	return nil
}

// chunkPart splits a piece of a chunk at its line ends.
func (c *Content) chunkPart(b []byte, fn ContentFunc) error {
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		if i < 0 {
			return c.chunkRest(b, fn)
		}
		line := b[:i]
		b = b[i+1:]
		bare := !c.cr
		if i > 0 {
			if err := c.flushCR(fn); err != nil {
				return err
			}
			bare = line[i-1] != '\r'
			if !bare {
				line = line[:i-1]
			}
		}
		c.cr = false
		c.Info.BareLF = c.Info.BareLF || bare
		if err := c.parts(line, true, fn); err != nil {
			return err
		}
	}
	return nil
}

// chunkRest handles a piece without a line end. A CR at its end is kept back,
// for the next piece may begin with LF.
func (c *Content) chunkRest(b []byte, fn ContentFunc) error {
	if err := c.flushCR(fn); err != nil {
		return err
	}
	if b[len(b)-1] == '\r' {
		c.cr = true
		b = b[:len(b)-1]
	}
	if len(b) == 0 {
		return nil
	}
	return c.parts(b, false, fn)
}

// flushCR hands out a CR that was kept back and turned out to be stray.
func (c *Content) flushCR(fn ContentFunc) error {
	if !c.cr {
		return nil
	}
	c.cr = false
	return c.emit([]byte{'\r'}, false, fn)
}

// parts hands out b in parts of the fragment size.
func (c *Content) parts(b []byte, eol bool, fn ContentFunc) error {
	limit := c.fragment()
	for len(b) > limit {
		if err := c.emit(b[:limit], false, fn); err != nil {
			return err
		}
		b = b[limit:]
	}
	return c.emit(b, eol, fn)
}

// Finish ends a message that came in chunks: a last line that has no end gets
// one.
func (c *Content) Finish(fn ContentFunc) error {
	if err := c.flushCR(fn); err != nil {
		return err
	}
	if !c.inLine {
		return nil
	}
	return c.emit(nil, true, fn)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
