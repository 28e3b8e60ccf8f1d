package imapserver

import (
	"bytes"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/imapwire"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/fulltext"
)

// keyKind is what a search key looks at.
type keyKind int

const (
	keyAll keyKind = iota
	keyNone
	keyAnd
	keyOr
	keyNot
	keySet    // message numbers, or UIDs with uid set
	keyFlags  // all of flags set (want) or not
	keyRecent // \Recent
	keyNew    // \Recent and not \Seen
	keyKeyword
	keySize   // larger than n (want) or smaller
	keyBefore // dates: internal, sent or saved
	keySince
	keyOn
	keyOlder // RFC 5032, seconds
	keyYounger
	keyModSeq
	keyHeader // field name contains text
	keyBody
	keyText
	keyEmailID
	keyThreadID
	keySaveDateSupported
)

// key is a node of a search.
type key struct {
	kind  keyKind
	keys  []*key
	set   imapwire.NumSet
	uid   bool
	flags mailstore.Flags
	want  bool
	word  string // keyword, or field name in lower case
	text  string // folded
	n     int64
	day   time.Time
	date  byte // i internal, s sent, v saved

	fuzzy *fulltext.Fuzzy // text that is looked for by its words

	ranges []imapwire.Range // of set, when the search runs
	bit    uint64           // of the keyword, when the search runs
	found  *fulltext.Found  // of text, when the search runs
	scores *fulltext.Scores // of fuzzy, when the search runs
}

// Limits of a search.
const (
	maxKeys      = 1000
	maxDepth     = 50
	maxSearchLen = 4096
)

// searchReader reads search keys.
type searchReader struct {
	c       *conn
	charset string
	keys    int
	depth   int
	modseq  bool // MODSEQ is among them
	fuzzy   int  // how many FUZZY stand before
	scored  bool // FUZZY is among them
}

// readKeys reads keys up to the end of the command, all of which must match.
func (r *searchReader) readKeys() *key {
	all := &key{kind: keyAnd}
	all.keys = append(all.keys, r.read())
	for r.c.dec.TrySP() {
		all.keys = append(all.keys, r.read())
	}
	if len(all.keys) == 1 {
		return all.keys[0]
	}
	return all
}

// read reads one key (RFC 9051 6.4.4).
func (r *searchReader) read() *key {
	d := r.c.dec
	if r.keys++; r.keys > maxKeys {
		d.Fail("Too many search keys")
	}
	if r.depth++; r.depth > maxDepth {
		d.Fail("Search keys are nested too deep")
	}
	defer func() { r.depth-- }()
	if d.Err() != nil {
		return &key{}
	}
	switch ch := d.Peek(); {
	case ch == '(':
		k := &key{kind: keyAnd}
		d.List(func() { k.keys = append(k.keys, r.read()) })
		if len(k.keys) == 0 {
			d.Fail("Missing search key")
		}
		return k
	case ch >= '0' && ch <= '9' || ch == '*' || ch == '$':
		return &key{kind: keySet, set: d.NumSet(), uid: false}
	}
	return r.named(d.Name())
}

// named reads the rest of a key with a name.
func (r *searchReader) named(name string) *key {
	d := r.c.dec
	if k := flagKey(name); k != nil {
		return k
	}
	if k := r.textKey(name); k != nil {
		return k
	}
	if k := r.dateKey(name); k != nil {
		return k
	}
	k := &key{}
	switch name {
	case "ALL":
	case "NOT":
		d.SP()
		k.kind, k.keys = keyNot, []*key{r.read()}
	case "OR":
		d.SP()
		a := r.read()
		d.SP()
		k.kind, k.keys = keyOr, []*key{a, r.read()}
	case "FUZZY":
		d.SP()
		r.scored = true
		r.fuzzy++
		k = r.read()
		r.fuzzy--
		return k
	case "UID":
		d.SP()
		k.kind, k.uid, k.set = keySet, true, d.NumSet()
	case "KEYWORD", "UNKEYWORD":
		d.SP()
		k.kind, k.word, k.want = keyKeyword, d.Atom(), name == "KEYWORD"
	case "LARGER", "SMALLER":
		d.SP()
		k.kind, k.want, k.n = keySize, name == "LARGER", int64(d.Number64())
	case "OLDER", "YOUNGER":
		d.SP()
		k.kind, k.n = keyOlder, int64(d.Number())
		if name == "YOUNGER" {
			k.kind = keyYounger
		}
		if k.n == 0 {
			d.Fail("Invalid interval")
		}
	case "MODSEQ":
		r.readModSeq(k)
	case "EMAILID", "THREADID":
		d.SP()
		k.kind, k.text = keyEmailID, d.Atom()
		if name == "THREADID" {
			k.kind = keyThreadID
		}
	case "SAVEDATESUPPORTED":
		k.kind = keySaveDateSupported
	default:
		d.Fail("Unknown search key %s", name)
	}
	return k
}

// flagKey makes the keys that are about a flag.
func flagKey(name string) *key {
	flag := func(f mailstore.Flags, want bool) *key { return &key{kind: keyFlags, flags: f, want: want} }
	switch name {
	case "ANSWERED":
		return flag(mailstore.Answered, true)
	case "UNANSWERED":
		return flag(mailstore.Answered, false)
	case "DELETED":
		return flag(mailstore.Deleted, true)
	case "UNDELETED":
		return flag(mailstore.Deleted, false)
	case "DRAFT":
		return flag(mailstore.Draft, true)
	case "UNDRAFT":
		return flag(mailstore.Draft, false)
	case "FLAGGED":
		return flag(mailstore.Flagged, true)
	case "UNFLAGGED":
		return flag(mailstore.Flagged, false)
	case "SEEN":
		return flag(mailstore.Seen, true)
	case "UNSEEN":
		return flag(mailstore.Seen, false)
	case "RECENT":
		return &key{kind: keyRecent, want: true}
	case "OLD":
		return &key{kind: keyRecent}
	case "NEW":
		return &key{kind: keyNew}
	}
	return nil
}

// textKey reads the keys that look for text.
func (r *searchReader) textKey(name string) *key {
	k := &key{kind: keyHeader}
	switch name {
	case "BCC", "CC", "FROM", "SUBJECT", "TO":
		k.word = lower(name)
	case "HEADER":
		r.c.dec.SP()
		k.word = lower(r.c.dec.AString())
	case "BODY":
		k.kind = keyBody
	case "TEXT":
		k.kind = keyText
	default:
		return nil
	}
	r.c.dec.SP()
	k.text = r.readText()
	if r.fuzzy > 0 && r.c.has(capFuzzy) {
		// RFC 6203 3: else a server may match exactly.
		if q := fulltext.NewFuzzy([]byte(k.text), k.kind != keyBody); q.Words() > 0 {
			k.fuzzy = q
		}
	}
	return k
}

// readText reads the text of a key and folds it.
func (r *searchReader) readText() string {
	d := r.c.dec
	var raw []byte
	if ch := d.Peek(); ch == '"' || d.AtLiteral() {
		raw = d.String()
	} else {
		raw = []byte(d.AString())
	}
	if len(raw) > maxSearchLen {
		d.Fail("Search text is too long")
		return ""
	}
	if dec := charset(r.charset); dec != nil {
		if b, err := dec.Bytes(raw); err == nil {
			raw = b
		}
	}
	return string(fold(nil, bytes.ToValidUTF8(raw, []byte("?"))))
}

// dateKey reads the keys that have a date.
func (r *searchReader) dateKey(name string) *key {
	k := &key{date: 'i'}
	switch name {
	case "BEFORE":
		k.kind = keyBefore
	case "ON":
		k.kind = keyOn
	case "SINCE":
		k.kind = keySince
	case "SENTBEFORE":
		k.kind, k.date = keyBefore, 's'
	case "SENTON":
		k.kind, k.date = keyOn, 's'
	case "SENTSINCE":
		k.kind, k.date = keySince, 's'
	case "SAVEDBEFORE":
		k.kind, k.date = keyBefore, 'v'
	case "SAVEDON":
		k.kind, k.date = keyOn, 'v'
	case "SAVEDSINCE":
		k.kind, k.date = keySince, 'v'
	default:
		return nil
	}
	r.c.dec.SP()
	k.day = r.c.dec.Date()
	return k
}

// readModSeq reads MODSEQ ["/flags/..." all|priv|shared] n (RFC 7162 3.1.5).
func (r *searchReader) readModSeq(k *key) {
	d := r.c.dec
	d.SP()
	k.kind = keyModSeq
	if d.Peek() == '"' {
		d.String() // one number serves all entries of a message
		d.SP()
		d.Atom()
		d.SP()
	}
	k.n = int64(d.Number64())
	r.modseq = true
}
