package imapserver

import (
	"bytes"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mime/structure"
)

// finding is memory for looking into messages one after another. What was
// found stays good.
type finding struct {
	many   bool // there are more to come
	parts  structure.Scratch
	buf    []byte // what was found, and room for more
	fields []mailstore.Field
}

// Room is made for what may be found in one message, or for many at once.
const (
	roomForOne  = 2 << 10
	roomForMany = 64 << 10
	manyFields  = 256
	mostFields  = 8 // of a message
)

// add adds a field that is appended to what is there; false leaves it out.
func (w *finding) add(id uint16, appendTo func(b []byte) ([]byte, bool)) {
	if cap(w.buf)-len(w.buf) < roomForOne/2 {
		room := roomForOne
		if w.many {
			room = roomForMany
		}
		w.buf = make([]byte, 0, room)
	}
	start := len(w.buf)
	b, ok := appendTo(w.buf)
	if !ok {
		return
	}
	w.buf = b
	w.fields = append(w.fields, mailstore.Field{ID: id, Data: b[start:len(b):len(b)]})
}

// begin begins with a message and returns where its fields will be.
func (w *finding) begin() int {
	if cap(w.fields)-len(w.fields) < mostFields {
		n := mostFields
		if w.many {
			n = manyFields
		}
		w.fields = make([]mailstore.Field, 0, n)
	}
	return len(w.fields)
}

// find finds in a message what is lacking.
func (n needs) find(content *mailstore.Content, w *finding) ([]mailstore.Field, error) {
	header, err := readHeader(content)
	if err != nil {
		return nil, err
	}
	start := w.begin()
	if !n.body && !n.preview {
		parsed := structure.ParseFields(header)
		w.addHeader(header, &parsed.Envelope)
		return w.fields[start:len(w.fields):len(w.fields)], nil
	}
	var root *structure.Part
	if b := content.Bytes(); b != nil {
		root = structure.ParseIn(b, &w.parts)
	} else if root, err = parseContent(content); err != nil {
		return nil, err
	}
	w.addHeader(header, &root.Header.Envelope)
	w.add(cacheBodyStructure, func(b []byte) ([]byte, bool) { return root.AppendBody(b, true), true })
	w.add(cacheBody, func(b []byte) ([]byte, bool) { return root.AppendBody(b, false), true })
	if n.preview {
		w.add(cachePreview, func(b []byte) ([]byte, bool) { return append(b, previewOf(content, root)...), true })
	}
	return w.fields[start:len(w.fields):len(w.fields)], nil
}

// addHeader adds what the cache keeps of a header.
func (w *finding) addHeader(header []byte, envelope *structure.Envelope) {
	w.add(cacheEnvelope, func(b []byte) ([]byte, bool) { return envelope.Append(b), true })
	w.add(cacheFields, func(b []byte) ([]byte, bool) { return keptFields(b, header) })
}

// headerFacts are what the cache keeps of a header, until the next call.
func (w *finding) headerFacts(header []byte) []mailstore.Field {
	w.buf, w.fields = w.buf[:0], w.fields[:0]
	parsed := structure.ParseFields(header)
	w.begin()
	w.addHeader(header, &parsed.Envelope)
	return w.fields
}

// keptFields appends the fields that are kept out of a header; ok is false if
// one is too long.
func keptFields(kept, header []byte) (_ []byte, ok bool) {
	ok = true
	structure.EachRaw(header, func(field, name, _ []byte) {
		var low [30]byte
		if len(name) > len(low) {
			return
		}
		for i, c := range name {
			if c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			low[i] = c
		}
		if !cachedField(string(low[:len(name)])) {
			return
		}
		if len(field) > maxCachedField {
			ok = false
			return
		}
		kept = append(kept, field...)
		if !bytes.HasSuffix(field, []byte("\n")) {
			kept = append(kept, '\r', '\n')
		}
	})
	return kept, ok
}
