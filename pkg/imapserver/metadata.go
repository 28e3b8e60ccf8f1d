package imapserver

import (
	"errors"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// metadataOptions are those of GETMETADATA (RFC 5464 4.2).
type metadataOptions struct {
	maxSize int64 // -1: none
	depth   string
}

// readDepth reads the options in parentheses.
func (c *conn) readMetadataOptions(o *metadataOptions) {
	c.dec.List(func() {
		switch word := c.dec.Word(); word {
		case "MAXSIZE":
			c.dec.SP()
			o.maxSize = int64(c.dec.Number64())
		case "DEPTH":
			c.dec.SP()
			o.depth = c.dec.Word()
			if o.depth != "0" && o.depth != "1" && o.depth != "INFINITY" {
				c.dec.Fail("Invalid DEPTH")
			}
		default:
			c.dec.Fail("Unknown option %s", word)
		}
	})
}

// getMetadata is GETMETADATA (RFC 5464 4.2). Options stand in front of the
// mailbox; some clients put them behind it.
func (c *conn) getMetadata() error {
	o := metadataOptions{maxSize: -1}
	c.dec.SP()
	if c.dec.Peek() == '(' {
		c.readMetadataOptions(&o)
		c.dec.SP()
	}
	name := c.dec.AString()
	c.dec.SP()
	var entries []string
	if c.dec.Peek() == '(' {
		c.dec.List(func() { entries = append(entries, c.entryName()) })
	} else {
		entries = []string{c.entryName()}
	}
	if !c.dec.End() {
		return nil
	}
	if name != "" {
		var ok bool
		if name, ok = c.dec.DecodeMailbox(name); !ok {
			return badArgs("Invalid mailbox name")
		}
	}
	longest, err := c.tellEntries(name, entries, o)
	if err != nil {
		return err
	}
	code := ""
	if longest > 0 {
		code = "[METADATA LONGENTRIES " + itoa(longest) + "] "
	}
	return c.ok("%sGetmetadata completed.", code)
}

// entryName reads the name of an annotation.
func (c *conn) entryName() string {
	name := lower(c.dec.AString())
	if !strings.HasPrefix(name, "/private/") && !strings.HasPrefix(name, "/shared/") && name != "/private" && name != "/shared" ||
		strings.ContainsAny(name, "*%\r\n\x00") || strings.Contains(name, "//") {
		c.dec.Fail("Invalid entry name")
	}
	return name
}

// matches reports whether an annotation is asked for by an entry's name.
func (o metadataOptions) matches(have, want string) bool {
	if have == want {
		return true
	}
	below, ok := strings.CutPrefix(have, want+"/")
	if !ok {
		return false
	}
	return o.depth == "INFINITY" || o.depth == "1" && !strings.Contains(below, "/")
}

// tellMetadata is tellEntries for LIST.
func (c *conn) tellMetadata(name string, entries []string, o metadataOptions) error {
	o.maxSize = -1
	_, err := c.tellEntries(name, entries, o)
	return err
}

// tellEntries sends METADATA. It returns the size of the longest value that
// was left out.
func (c *conn) tellEntries(name string, entries []string, o metadataOptions) (longest int64, err error) {
	list, err := c.store.Metadata(name)
	if err != nil {
		return 0, err
	}
	first := true
	begin := func() {
		if first {
			c.enc.Raw("* METADATA ").Mailbox(name).Raw(" (")
		} else {
			c.enc.SP()
		}
		first = false
	}
	for _, want := range entries {
		found := false
		for _, a := range list {
			if !o.matches(lower(a.Name), lower(want)) {
				continue
			}
			found = true
			if o.maxSize >= 0 && int64(len(a.Value)) > o.maxSize {
				longest = max(longest, int64(len(a.Value)))
				continue
			}
			begin()
			c.enc.AString(a.Name).SP()
			c.enc.String(string(a.Value))
		}
		if !found && o.depth == "" {
			begin()
			c.enc.AString(want).Raw(" NIL")
		}
	}
	if !first {
		c.enc.Byte(')').CRLF()
	}
	return longest, nil
}

// setMetadata is SETMETADATA (RFC 5464 4.3).
func (c *conn) setMetadata() error {
	c.dec.SP()
	name := c.dec.AString()
	c.dec.SP()
	var list []mailstore.Annotation
	c.dec.List(func() {
		a := mailstore.Annotation{Name: c.entryName()}
		c.dec.SP()
		a.Value = c.annotation()
		list = append(list, a)
		if len(list) > 100 {
			c.dec.Fail("Too many entries")
		}
	})
	if !c.dec.End() {
		return nil
	}
	if name != "" {
		var ok bool
		if name, ok = c.dec.DecodeMailbox(name); !ok {
			return badArgs("Invalid mailbox name")
		}
	}
	err := c.store.SetMetadata(name, list)
	switch {
	case errors.Is(err, mailstore.ErrMetadataSize):
		return refuse("METADATA MAXSIZE "+itoa(mailstore.MaxMetadata), "Value is too large.")
	case errors.Is(err, mailstore.ErrMetadataCount):
		return refuse("METADATA TOOMANY", "Too many entries.")
	case errors.Is(err, mailstore.ErrMetadataName):
		return badArgs("Invalid entry name.")
	case err != nil:
		return err
	}
	c.changedMetadata(name, list)
	return c.ok("Setmetadata completed.")
}

// annotation reads a value: NIL, a string, or a literal with any bytes.
func (c *conn) annotation() []byte {
	value, isNil := c.dec.NString()
	if isNil {
		return nil
	}
	if value == nil {
		value = []byte{}
	}
	return value
}
