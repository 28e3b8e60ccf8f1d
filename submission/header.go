package main

import (
	"bytes"
	"slices"
	"strings"
)

// header is the header of a message on its way through the stages.
type header struct {
	// slots are fields in front of all others whose text is known only at
	// the end: until then it has the right length in each line.
	slots []*slot
	// trace are the lines of the Received field.
	trace []string
	// fields are the fields, folded lines joined by LF, without line end.
	fields []field
	// from is the address of the author, or of who passes the message on.
	from string
	// text is the memory of the fields as they came.
	text []byte
	// open tells that the last field may grow; it starts in text at start.
	open  bool
	start int
}

// slot is a field, its lines joined by LF.
type slot struct{ text string }

type field struct {
	name string // lower case
	text []byte
}

// value is what stands behind the colon.
func (f *field) value() string { return string(f.behindColon()) }

func (f *field) behindColon() []byte { return f.text[bytes.IndexByte(f.text, ':')+1:] }

// maxNameKnown is longer than any name that lowerName knows.
const maxNameKnown = 32

// lowerName returns the name of a field in lower case, without memory of its own
// for those that nearly all fields have.
func lowerName(name []byte) string {
	var room [maxNameKnown]byte
	if len(name) > len(room) {
		return strings.ToLower(string(name))
	}
	low := room[:len(name)]
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			c += 'a' - 'A'
		}
		low[i] = c
	}
	switch string(low) {
	case "from":
		return "from"
	case "to":
		return "to"
	case "subject":
		return "subject"
	case "date":
		return "date"
	case "message-id":
		return "message-id"
	case "mime-version":
		return "mime-version"
	case "content-type":
		return "content-type"
	case "content-transfer-encoding":
		return "content-transfer-encoding"
	case "user-agent":
		return "user-agent"
	case "x-mailer":
		return "x-mailer"
	case "content-language":
		return "content-language"
	case "cc":
		return "cc"
	case "bcc":
		return "bcc"
	case "reply-to":
		return "reply-to"
	case "sender":
		return "sender"
	case "in-reply-to":
		return "in-reply-to"
	case "references":
		return "references"
	case "received":
		return "received"
	case "return-path":
		return "return-path"
	case "content-disposition":
		return "content-disposition"
	case "autocrypt":
		return "autocrypt"
	case "organization":
		return "organization"
	}
	return string(low)
}

// begin starts a field as it comes.
func (h *header) begin(name string) {
	h.fields = append(h.fields, field{name: name})
	h.open, h.start = true, len(h.text)
}

// extend adds to the field that was begun, as much as is below a limit.
func (h *header) extend(b []byte, limit int) {
	room := limit - (len(h.text) - h.start)
	h.text = append(h.text, b[:min(len(b), max(room, 0))]...)
}

// end ends the field that was begun, and returns it.
func (h *header) end() *field {
	h.open = false
	f := &h.fields[len(h.fields)-1]
	// What grows later must not write over the next one.
	f.text = h.text[h.start:len(h.text):len(h.text)]
	return f
}

// forget makes the header empty and keeps its memory.
func (h *header) forget() {
	clear(h.fields)
	*h = header{fields: h.fields[:0], text: h.text[:0]}
}

// get returns the first field of a name, nil if there is none.
func (h *header) get(name string) *field {
	for i := range h.fields {
		if h.fields[i].name == name {
			return &h.fields[i]
		}
	}
	return nil
}

func (h *header) has(name string) bool { return h.get(name) != nil }

// count returns how many fields of a name there are.
func (h *header) count(name string) int {
	n := 0
	for i := range h.fields {
		if h.fields[i].name == name {
			n++
		}
	}
	return n
}

// add appends a field.
func (h *header) add(name, value string) {
	h.fields = append(h.fields, field{strings.ToLower(name), []byte(name + ": " + value)})
}

// remove takes the fields of some names out.
func (h *header) remove(names ...string) {
	h.fields = slices.DeleteFunc(h.fields, func(f field) bool { return slices.Contains(names, f.name) })
}

// lines gives the lines of the header behind its slots.
func (h *header) lines(yield func([]byte) bool) {
	for _, line := range h.trace {
		if !yield([]byte(line)) {
			return
		}
	}
	for i := range h.fields {
		rest := h.fields[i].text
		for {
			end := bytes.IndexByte(rest, '\n')
			if end < 0 {
				break
			}
			if !yield(rest[:end]) {
				return
			}
			rest = rest[end+1:]
		}
		if !yield(rest) {
			return
		}
	}
}
