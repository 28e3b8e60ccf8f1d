package imapserver

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mime/structure"
)

// sortKey is a criterion of SORT (RFC 5256 3, RFC 5957).
type sortKey struct {
	name    string
	reverse bool
}

// sort is SORT.
func (c *conn) sort() error {
	var o returnOptions
	c.dec.SP()
	if rest := c.dec.Rest(); len(rest) > 7 && equalFold(rest[:7], "RETURN ") {
		c.dec.Word()
		o = c.readReturn()
		c.dec.SP()
	}
	keys := c.readSortKeys()
	c.dec.SP()
	r := &searchReader{c: c}
	r.charset = c.dec.AString()
	c.dec.SP()
	k := r.readKeys()
	r.checkScored(o.relevancy || slices.ContainsFunc(keys, func(k sortKey) bool { return k.name == "RELEVANCY" }))
	if !c.dec.End() {
		return nil
	}
	if !knownCharset(r.charset) {
		return refuse("BADCHARSET (US-ASCII UTF-8)", "Unknown charset.")
	}
	if r.modseq {
		c.enableCondstore()
	}
	o.tag, o.uid, o.modseq = c.tag, c.isUID(), r.modseq
	found, err := c.find(k)
	if err != nil {
		return err
	}
	c.save(&o, found)
	ordered, err := c.order(found, keys)
	if err != nil {
		return err
	}
	if o.given {
		if !o.save || o.min || o.max || o.all || o.count || o.partial != nil {
			c.tellESearch(&o, found, ordered)
		}
		if o.update {
			c.addContext(&o, k, keys)
		}
		return c.ok("%s completed.", c.title())
	}
	c.enc.Raw("* SORT")
	for _, h := range ordered {
		c.enc.SP().Number(uint64(h.number(o.uid)))
	}
	if o.modseq && len(found) > 0 {
		c.enc.Raw(" (MODSEQ ").Number(highestOf(found)).Byte(')')
	}
	c.enc.CRLF()
	return c.ok("%s completed.", c.title())
}

func (c *conn) readSortKeys() []sortKey {
	var keys []sortKey
	reverse := false
	c.dec.List(func() {
		word := c.dec.Word()
		switch word {
		case "REVERSE":
			if reverse {
				c.dec.Fail("REVERSE twice")
			}
			reverse = true
			return
		case "ARRIVAL", "CC", "DATE", "FROM", "SIZE", "SUBJECT", "TO", "DISPLAYFROM", "DISPLAYTO":
		case "RELEVANCY":
			if !c.has(capFuzzy) {
				c.dec.Fail("RELEVANCY is not supported")
			}
		default:
			c.dec.Fail("Unknown sort criterion %s", word)
		}
		keys = append(keys, sortKey{word, reverse})
		reverse = false
		if len(keys) > 50 {
			c.dec.Fail("Too many sort criteria")
		}
	})
	if len(keys) == 0 || reverse {
		c.dec.Fail("Missing sort criterion")
	}
	return keys
}

// sortValue is what a message is sorted by for one criterion.
type sortValue struct {
	text string
	num  int64
}

// order sorts hits. Equal ones stay in the order of their numbers (RFC 5256
// 3).
func (c *conn) order(found []hit, keys []sortKey) ([]hit, error) {
	if len(keys) > 4 {
		keys = keys[:4] // what would come behind four criteria decides nothing
	}
	// Mailboxes can be very large: no more is kept than decides.
	values := make([]sortValue, 0, len(found)*len(keys))
	for i, h := range found {
		var info messageInfo
		if i&0xff == 0 && c.late() {
			return nil, c.lateError()
		}
		if msg, ok := c.mb.Message(h.seq); ok {
			var err error
			if info, err = c.sortInfo(&msg, keys); err != nil {
				return nil, err
			}
		}
		for _, k := range keys {
			var v sortValue
			v.text, v.num = info.value(k.name)
			if k.name == "RELEVANCY" { // RFC 6203 6: the highest first
				v.num = -int64(h.score)
			}
			values = append(values, v)
		}
	}
	c.mb.FlushCache()
	order := make([]int32, len(found))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		for n, k := range keys {
			x, y := &values[int(a)*len(keys)+n], &values[int(b)*len(keys)+n]
			v := cmp.Or(cmp.Compare(x.num, y.num), strings.Compare(x.text, y.text))
			if v != 0 && k.reverse {
				return -v
			}
			if v != 0 {
				return v
			}
		}
		return cmp.Compare(a, b) // hits are in the order of their numbers
	})
	out := make([]hit, len(order))
	for i, n := range order {
		out[i] = found[n]
	}
	return out, nil
}

// messageInfo is what messages are sorted and threaded by.
type messageInfo struct {
	facts  mailstore.Facts
	header []byte
}

// sortInfo gets what the criteria need of a message.
func (c *conn) sortInfo(msg *mailstore.Message, keys []sortKey) (messageInfo, error) {
	var info messageInfo
	var err error
	header := false
	for _, k := range keys {
		switch k.name {
		case "SIZE", "ARRIVAL", "RELEVANCY":
		default:
			header = true
		}
	}
	if info.facts, err = c.mb.Facts(msg); err != nil {
		return info, err
	}
	if header {
		info.header, err = c.keptHeader(msg.UID)
	}
	return info, err
}

// keptHeader returns the fields of a message that are kept, from the cache or
// from its file.
func (c *conn) keptHeader(uid uint32) ([]byte, error) {
	entry := c.mb.Cached(uid)
	if b, ok := entry.Get(cacheFields); ok {
		return b, nil
	}
	content, err := c.mb.Open(uid)
	if err != nil {
		if isExpunged(err) {
			return nil, nil
		}
		return nil, err
	}
	defer content.Close()
	header, err := readHeader(content)
	if err != nil {
		return nil, err
	}
	c.mb.PutCache(uid, new(finding).headerFacts(header))
	return header, nil
}

// value is what a criterion compares.
func (i *messageInfo) value(name string) (string, int64) {
	switch name {
	case "ARRIVAL":
		return "", i.facts.Internal
	case "SIZE":
		return "", i.facts.Size
	case "DATE":
		return "", i.sent()
	case "SUBJECT":
		base, _ := baseSubject(i.field("subject"))
		return foldString(base), 0
	case "DISPLAYFROM":
		return i.display("from"), 0
	case "DISPLAYTO":
		return i.display("to"), 0
	}
	list := structure.ParseAddresses(i.field(lower(name)))
	for _, a := range list {
		return foldString(a.Mailbox), 0
	}
	return "", 0
}

// sent is the date of a message in UTC (RFC 5256 2.2).
func (i *messageInfo) sent() int64 {
	if t, ok := parseDate(i.field("date")); ok {
		return t.Unix()
	}
	return i.facts.Internal
}

// display is the name that a client shows (RFC 5957 3).
func (i *messageInfo) display(field string) string {
	for _, a := range structure.ParseAddresses(i.field(field)) {
		switch {
		case a.Group && a.Mailbox == "":
		case a.Group:
			return foldString(decodeHeader(a.Mailbox))
		case a.Name != "":
			return foldString(decodeHeader(a.Name))
		case a.Host != "":
			return foldString(a.Mailbox + "@" + a.Host)
		default:
			return foldString(a.Mailbox)
		}
	}
	return ""
}

// field returns the first field with a name, unfolded.
func (i *messageInfo) field(name string) string {
	text, found := "", false
	structure.Each(i.header, func(n, value []byte) {
		if !found && len(n) == len(name) && strings.EqualFold(string(n), name) {
			text, found = structure.Unfold(value), true
		}
	})
	return text
}

// What base subjects are freed of (RFC 5256 5).
var (
	subjectSpace   = regexp.MustCompile(`[ \t\r\n]+`)
	subjectTrailer = regexp.MustCompile(`(?i)(\(fwd\)|[ \t])$`)
	subjectBlob    = regexp.MustCompile(`^\[[^][]*\][ \t]*`)
	subjectLeader  = regexp.MustCompile(`(?i)^(\[[^][]*\][ \t]*)*(re|fwd?)[ \t]*(\[[^][]*\][ \t]*)?:`)
	subjectWrapped = regexp.MustCompile(`(?i)^\[fwd:(.*)\]$`)
)

// maxSubject is how much of a subject is looked at. What a stranger wrote there
// can have thousands of things to take off, each of which costs a look at the
// whole.
const maxSubject = 1000

// baseSubject returns the subject without what replies and forwards put
// around it, and whether there was some of that (RFC 5256 2.1).
func baseSubject(s string) (base string, reply bool) {
	s = subjectSpace.ReplaceAllString(decodeHeader(s), " ")
	if len(s) > maxSubject {
		s = strings.ToValidUTF8(s[:maxSubject], "")
	}
	for range 100 {
		for subjectTrailer.MatchString(s) {
			reply = reply || strings.HasSuffix(s, ")")
			s = subjectTrailer.ReplaceAllString(s, "")
		}
		for {
			before := s
			s = strings.TrimLeft(s, " \t")
			if m := subjectLeader.FindString(s); m != "" {
				s, reply = s[len(m):], true
			}
			if m := subjectBlob.FindString(s); m != "" && strings.TrimSpace(s[len(m):]) != "" {
				s = s[len(m):]
			}
			if s == before {
				break
			}
		}
		m := subjectWrapped.FindStringSubmatch(s)
		if m == nil {
			break
		}
		s, reply = m[1], true
	}
	return strings.TrimSpace(s), reply
}
