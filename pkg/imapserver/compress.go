package imapserver

import (
	"compress/flate"

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
	w, err := flate.NewWriter(deadlineWriter{c.net}, flate.DefaultCompression)
	if err != nil {
		return err
	}
	c.enc.SetWriter(deflater{w})
	c.compressed = true
	c.setCapabilities()
	return nil
}

// deflater flushes after each write: a write is a whole answer.
type deflater struct{ w *flate.Writer }

func (d deflater) Write(p []byte) (int, error) {
	n, err := d.w.Write(p)
	if err == nil {
		err = d.w.Flush()
	}
	return n, err
}
