package imapserver

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mime/structure"
)

// A THREADID (RFC 8474 5.2) must never change once a client has seen it, in
// no mailbox, and after no loss of an index. So it is computed from the message
// and nothing else: from the id of the message that the conversation began with
// and the subject without what replies put in front of it, as RFC 8621 3 has it.
// References begins with the first message of a conversation (RFC 5322 3.6.4).
// An answer that has no References but only In-Reply-To is in a conversation
// with the message it answers, but not with what that one answered.

// threadFields are the fields that a THREADID is made of.
type threadFields struct{ messageID, references, inReplyTo, subject []byte }

func readThreadFields(header []byte) (f threadFields) {
	structure.Each(header, func(name, value []byte) {
		to := f.named(name)
		if to != nil && *to == nil {
			*to = value
		}
	})
	return f
}

func (f *threadFields) named(name []byte) *[]byte {
	is := func(s string) bool { return len(name) == len(s) && strings.EqualFold(string(name), s) }
	switch {
	case is("message-id"):
		return &f.messageID
	case is("references"):
		return &f.references
	case is("in-reply-to"):
		return &f.inReplyTo
	case is("subject"):
		return &f.subject
	}
	return nil
}

// root is the id of the message that a conversation began with, or "".
func (f *threadFields) root() string {
	for _, field := range [][]byte{f.references, f.inReplyTo, f.messageID} {
		if field == nil {
			continue
		}
		if ids := messageIDs(structure.Unfold(field), 1); len(ids) > 0 {
			return ids[0]
		}
	}
	return ""
}

// threadID appends the THREADID of a message with a header.
func threadID(dst []byte, msg *mailstore.Message, header []byte) []byte {
	f := readThreadFields(header)
	h := sha256.New()
	if root := f.root(); root != "" {
		io.WriteString(h, root)
		h.Write([]byte{0})
		io.WriteString(h, threadSubject(structure.Unfold(f.subject)))
	} else {
		// Nothing can refer to it. Its copies have the same GUID.
		h.Write([]byte{0})
		h.Write(msg.GUID[:])
	}
	var sum [sha256.Size]byte
	return hex.AppendEncode(append(dst, 'T'), h.Sum(sum[:0])[:16])
}

// prepareThread finds the THREADID of a message, if it is asked for.
func (f *fetching) prepareThread(msg *mailstore.Message) error {
	if !slices.ContainsFunc(f.req.items, func(it item) bool { return it.kind == itemThreadID }) {
		return nil
	}
	header, ok := f.get(cacheFields)
	if !ok { // one of the fields is too long to be kept
		if err := f.open(msg); err != nil {
			return err
		}
		var err error
		if header, err = readHeader(f.content); err != nil {
			return err
		}
	}
	f.thread = threadID(f.thread[:0], msg, header)
	return nil
}

// inThread decides the key THREADID (RFC 8474 6).
func (m *matcher) inThread(k *key) verdict {
	header, ok := m.fields("references")
	if !ok {
		return maybe
	}
	m.scratch = threadID(m.scratch[:0], m.msg, header)
	return verdictOf(string(m.scratch) == k.text)
}

// threadPrefix is what programs put in front of a subject in any language:
// "AW:", "Antw:", "SV:", "Automatic reply:". It may take off more than that:
// only subjects of one conversation are compared.
var threadPrefix = regexp.MustCompile(`^[\pL\pM][\pL\pM .-]{0,23}(\[[0-9]{1,4}\]|\([0-9]{1,4}\))? ?:`)

// threadSubject is the subject in a form that is the same for all messages of a
// conversation.
func threadSubject(s string) string {
	s = withoutPrefixes(s)
	if strings.ContainsAny(s, "[(:=") || !isASCII(s) {
		for range 20 {
			base, _ := baseSubject(s)
			base = foldString(base)
			base = strings.TrimPrefix(base, threadPrefix.FindString(base))
			if base == s {
				break
			}
			s = base
		}
	} else if s = foldString(s); len(s) > maxSubject {
		s = s[:maxSubject]
	}
	return strings.Join(strings.Fields(s), "")
}

// withoutPrefixes takes the simplest prefixes off, "Re:" and the like: with most
// subjects, there is nothing left to do then that costs more.
func withoutPrefixes(s string) string {
	for {
		n := 0
		for n < len(s) && n < 24 && (s[n] >= 'A' && s[n] <= 'Z' || s[n] >= 'a' && s[n] <= 'z') {
			n++
		}
		if n == 0 || n == len(s) || s[n] != ':' {
			return s
		}
		s = strings.TrimLeft(s[n+1:], " \t")
	}
}

func isASCII(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
