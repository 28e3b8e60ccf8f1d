package main

import (
	"bufio"
	"io"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mime"
)

// messageKeys calls ask with each header of a message (-h), with embedded
// newlines if it is folded, and with each line of its body (-b). With -m the
// headers of MIME parts and of messages inside count as headers too.
func messageKeys(r io.Reader, o *options, ask func(key string) error) error {
	k := &keyHandler{o: o, ask: ask}
	s := mime.NewScanner(k, mime.Limits{Header: maxKey, Plain: !o.mime})
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxKey)
	for in.Scan() {
		if err := s.Line([]byte(strings.TrimSuffix(in.Text(), "\r")), true); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	return s.End()
}

// keyHandler makes lookup keys of the parts of a message.
type keyHandler struct {
	o      *options
	ask    func(key string) error
	inBody bool
}

func (k *keyHandler) Header(_ mime.Class, text []byte) error {
	if !k.o.header {
		return nil
	}
	return k.ask(string(mime.TrimName(text)))
}

func (k *keyHandler) HeaderEnd() error { return nil }

func (k *keyHandler) Body(line []byte, _ bool) error {
	if !k.o.body {
		return nil
	}
	// The end of the header is a line of the body, present or not.
	if !k.inBody && len(line) > 0 {
		if err := k.ask(""); err != nil {
			return err
		}
	}
	k.inBody = true
	return k.ask(string(line))
}
