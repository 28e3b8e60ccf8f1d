package imapserver

import (
	"compress/flate"
	"io"
	"sync"

	"github.com/posthouse-mail/posthouse/pkg/inflate"
)

// compress is COMPRESS (RFC 4978).
func (c *conn) compress() error {
	c.dec.SP()
	method := c.dec.Word()
	if !c.dec.End() {
		return nil
	}
	if method != "DEFLATE" || !c.has("COMPRESS=DEFLATE") {
		if c.compressed {
			return refuse("COMPRESSIONACTIVE", "DEFLATE is active already.")
		}
		return badArgs("Unknown compression mechanism.")
	}
	c.okNow("Begin compression.")
	if err := c.enc.Flush(); err != nil {
		return err
	}
	// What the client sent behind the command is compressed already.
	if err := c.dec.Finish(); err != nil {
		return err
	}
	rest := c.dec.SetReader(c.in)
	c.in.inflate(inflate.NewReader(c.in.raw(rest)))
	c.enc.SetWriter(deflater{out: deadlineWriter{c.fast}, pool: c.o.Deflaters})
	c.compressed = true
	c.setCapabilities()
	return nil
}

// deflater flushes after each write: a write is a whole answer. A flush ends
// at a whole byte, so that another compressor may go on from there. A
// connection has none for itself, which would cost it most of a megabyte while
// its client waits.
type deflater struct {
	out  io.Writer
	pool *Deflaters
}

// Deflaters are compressors that the sessions of a process share. The zero
// value is ready.
type Deflaters struct{ pool sync.Pool }

func (d deflater) Write(p []byte) (int, error) {
	w, ok := d.pool.pool.Get().(*flate.Writer)
	if !ok {
		var err error
		if w, err = flate.NewWriter(d.out, flate.DefaultCompression); err != nil {
			return 0, err
		}
	}
	w.Reset(d.out)
	n, err := w.Write(p)
	if err == nil {
		err = w.Flush()
	}
	w.Reset(io.Discard)
	d.pool.pool.Put(w)
	return n, err
}
