package imapserver

import (
	"errors"
	"io"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// maxMessages bounds one APPEND (RFC 3502).
const maxMessages = 1000

// noLimit is the size of a message where imap_append_limit sets none.
const noLimit = 1 << 40

func (c *conn) messageLimit() int64 {
	if c.o.MessageLimit > 0 {
		return c.o.MessageLimit
	}
	return noLimit
}

// append is APPEND (RFC 9051 6.3.12), of any number of messages (RFC 3502),
// some of which may be made of parts (RFC 4469).
func (c *conn) append() error {
	c.dec.SP()
	name := c.dec.Mailbox()
	if err := c.dec.Err(); err != nil {
		return err
	}
	a, err := c.store.Begin(name)
	if err != nil {
		return tryCreate(err)
	}
	defer a.Abort()
	n := 0
	for c.dec.Err() == nil && !c.dec.AtEnd() {
		if n++; n > maxMessages {
			return refuse("LIMIT", "Too many messages in one command.")
		}
		if err := c.appendOne(a); err != nil {
			return err
		}
	}
	if n == 0 {
		c.dec.Fail("Missing arguments")
	}
	if !c.dec.End() {
		return nil
	}
	done, err := c.commit(a)
	if err != nil {
		return err
	}
	c.appended.n += len(done)
	return c.ok("[%s] Append completed.", appendUID(done))
}

func appendUID(done []mailstore.Appended) string {
	uids := make([]uint32, len(done))
	for i := range done {
		uids[i] = done[i].UID
	}
	return "APPENDUID " + itoa(done[0].UIDValidity) + " " + string(imapwire.AppendRanges(nil, imapwire.Ranges(uids)))
}

// appendOne reads flags, date and content of one message.
func (c *conn) appendOne(a *mailstore.Appending) error {
	in := mailstore.Incoming{Limit: c.messageLimit()}
	c.dec.SP()
	if c.dec.Peek() == '(' {
		list := c.readFlags(false)
		in.Flags, in.Keywords = list.flags, list.keywords
		c.dec.SP()
	}
	if c.dec.Peek() == '"' {
		in.Internal = c.dec.DateTime()
		c.dec.SP()
	} else {
		in.Internal = time.Time{}
	}
	if err := c.dec.Err(); err != nil {
		return err
	}
	return c.addContent(a, &in)
}

// addContent reads the content of a message into the store.
func (c *conn) addContent(a *mailstore.Appending, in *mailstore.Incoming) error {
	if c.dec.AtLiteral() {
		return c.addLiteral(a, in, true)
	}
	word := c.dec.Word()
	c.dec.SP()
	switch {
	case c.dec.Err() != nil:
		return c.dec.Err()
	case word == "UTF8":
		// RFC 6855 4.
		if !c.utf8 {
			return badArgs("UTF8 is not enabled.")
		}
		c.dec.Special('(')
		if err := c.addLiteral(a, in, true); err != nil {
			return err
		}
		c.dec.Special(')')
		return c.dec.Err()
	case word == "CATENATE":
		return c.catenate(a, in)
	}
	c.dec.Fail("Expected a literal")
	return c.dec.Err()
}

// addLiteral reads a message that is one literal.
func (c *conn) addLiteral(a *mailstore.Appending, in *mailstore.Incoming, empty bool) error {
	lit := c.dec.Literal(in.Limit)
	if lit == nil {
		return c.dec.Err()
	}
	if lit.Size == 0 && empty {
		// RFC 3501 6.3.11 has no use for it; RFC 3502 4 cancels with it.
		c.dec.EndLiteral()
		return refuse("", "Append aborted, or the message is empty.")
	}
	in.Content = lit
	err := a.Add(in)
	c.dec.EndLiteral()
	if derr := c.dec.Err(); derr != nil {
		return derr
	}
	return err
}

// catenation reads the parts of CATENATE one after another, while the store
// reads the message that they make.
type catenation struct {
	c     *conn
	now   io.Reader
	close func()
	n     int
	done  bool
	fail  error
}

// maxCatenated bounds the parts of a message.
const maxCatenated = 1000

func (c *conn) catenate(a *mailstore.Appending, in *mailstore.Incoming) error {
	c.dec.Special('(')
	cat := &catenation{c: c}
	in.Content = cat
	err := a.Add(in)
	cat.end()
	if derr := c.dec.Err(); derr != nil {
		return derr
	}
	if cat.fail != nil {
		return cat.fail
	}
	return err
}

// Read implements io.Reader.
func (k *catenation) Read(p []byte) (int, error) {
	for {
		if k.fail != nil {
			return 0, k.fail
		}
		if k.now == nil && !k.next() {
			if k.fail != nil {
				return 0, k.fail
			}
			return 0, io.EOF
		}
		n, err := k.now.Read(p)
		if n > 0 || err == nil {
			return n, nil
		}
		k.end()
		if !errors.Is(err, io.EOF) {
			k.fail = err
		}
	}
}

func (k *catenation) end() {
	if k.close != nil {
		k.close()
	}
	k.now, k.close = nil, nil
}

// next starts the next part; false is the end, or a failure.
func (k *catenation) next() bool {
	d := k.c.dec
	if k.done {
		return false
	}
	if d.TrySpecial(')') {
		k.done = true
		return false
	}
	if k.n > 0 {
		d.SP()
	}
	if k.n++; k.n > maxCatenated {
		d.Fail("Too many parts")
	}
	word := d.Word()
	d.SP()
	if k.fail = d.Err(); k.fail != nil {
		return false
	}
	switch word {
	case "TEXT":
		lit := d.Literal(k.c.messageLimit())
		if k.fail = d.Err(); k.fail != nil {
			return false
		}
		k.now, k.close = lit, d.EndLiteral
	case "URL":
		url := d.AString()
		if k.fail = d.Err(); k.fail != nil {
			return false
		}
		k.now, k.close, k.fail = k.c.openURL(url)
	default:
		d.Fail("Expected TEXT or URL")
		k.fail = d.Err()
	}
	return k.fail == nil
}

// replace is REPLACE (RFC 8508): the new message is on disk before the old one
// goes.
func (c *conn) replace() error {
	c.dec.SP()
	set := c.dec.NumSet()
	c.dec.SP()
	name := c.dec.Mailbox()
	if err := c.dec.Err(); err != nil {
		return err
	}
	uids, err := c.uids(set)
	if err != nil {
		return err
	}
	if len(set.Ranges) != 1 || len(uids) != 1 {
		return refuse("NONEXISTENT", "There is not exactly one such message.")
	}
	if c.mb.ReadOnly() {
		return mailstore.ErrReadOnly
	}
	a, err := c.store.Begin(name)
	if err != nil {
		return tryCreate(err)
	}
	defer a.Abort()
	if err := c.appendOne(a); err != nil {
		return err
	}
	if !c.dec.End() {
		return nil
	}
	done, err := c.commit(a)
	if err != nil {
		return err
	}
	c.appended.n++
	gone, err := c.mb.Expunge(uids, true)
	c.appended.expunged += len(gone)
	if err != nil {
		return c.after(err)
	}
	c.enc.Line("* OK [%s] Replacement message ready.", appendUID(done))
	return c.ok("Replace completed.")
}

// commit makes an append durable. Others go on while this one waits for the
// disk.
func (c *conn) commit(a *mailstore.Appending) ([]mailstore.Appended, error) {
	defer c.o.Pace.Wait()()
	return a.Commit()
}
