package imapserver

import (
	"bytes"

	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mime/structure"
)

// CacheVersion is of the form of what the sessions keep in the store's cache.
// A change of that form, or of how it is found, needs another number.
const CacheVersion = 1

// What is in the cache, by number, in wire form.
const (
	cacheEnvelope      = 1
	cacheBodyStructure = 2
	cacheBody          = 3
	cacheFields        = 4 // header fields that clients ask for, as they are in the message
	cachePreview       = 5
)

// cachedField reports fields that are kept (names in lower case): those that
// lists of messages, threads and searches are made of.
func cachedField(name string) bool {
	switch name {
	case "from", "to", "cc", "bcc", "sender", "reply-to", "subject", "date", "message-id", "in-reply-to", "references",
		"newsgroups", "content-type", "content-transfer-encoding", "mime-version", "importance", "priority", "x-priority", "list-id",
		"list-post", "x-spam-flag", "disposition-notification-to", "return-receipt-to", "delivered-to", "resent-from",
		"resent-to", "resent-date", "x-mailer", "user-agent", "auto-submitted", "x-label", "lines", "x-uid", "followup-to":
		return true
	}
	return false
}

// maxCachedField bounds one kept field; a message with a longer one is looked
// up in its file.
const maxCachedField = 8 << 10

// cachedOnly reports whether a section can be answered from the kept fields.
func (s *section) cachedOnly() bool {
	if len(s.path) > 0 || s.what != "HEADER.FIELDS" {
		return false
	}
	for _, f := range s.fields {
		if !cachedField(lower(f)) {
			return false
		}
	}
	return true
}

func lower(s string) string {
	for i := 0; i < len(s); i++ {
		if s[i] >= 'A' && s[i] <= 'Z' {
			return string(bytes.ToLower([]byte(s)))
		}
	}
	return s
}

// keptFields takes the fields that are kept out of a header; ok is false if
// one is too long.
func keptFields(header []byte) (kept []byte, ok bool) {
	kept, ok = make([]byte, 0, 1024), true
	structure.EachRaw(header, func(field, name, _ []byte) {
		if len(name) > 30 || !cachedField(lower(string(name))) {
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

// fill finds what the items need of a message and the cache does not have.
func (f *fetching) fill(msg *mailstore.Message) error {
	needs := func(k itemKind, id uint16) bool {
		for i := range f.req.items {
			if f.req.items[i].kind == k {
				_, ok := f.get(id)
				return !ok
			}
		}
		return false
	}
	body := needs(itemBodyStructure, cacheBodyStructure) || needs(itemBody, cacheBody)
	envelope := needs(itemEnvelope, cacheEnvelope)
	preview := needs(itemPreview, cachePreview)
	fields := false
	for i := range f.req.items {
		if it := &f.req.items[i]; it.kind == itemSection && it.section.cachedOnly() {
			_, ok := f.get(cacheFields)
			fields = fields || !ok
		}
	}
	if !body && !envelope && !fields && !preview {
		return nil
	}
	if err := f.open(msg); err != nil {
		return err
	}
	var put []mailstore.Field
	header, err := readHeader(f.content)
	if err != nil {
		return err
	}
	if envelope || fields || body {
		put = append(put, headerFacts(header)...)
	}
	if body || preview {
		root, err := parseContent(f.content)
		if err != nil {
			return err
		}
		put = append(put, mailstore.Field{ID: cacheBodyStructure, Data: root.AppendBody(nil, true)},
			mailstore.Field{ID: cacheBody, Data: root.AppendBody(nil, false)})
		if preview {
			put = append(put, mailstore.Field{ID: cachePreview, Data: []byte(previewOf(f.content, root))})
		}
	}
	f.c.mb.PutCache(msg.UID, put)
	f.entry = f.c.mb.Cached(msg.UID)
	f.found = put // the cache does not take what is too long
	return nil
}

// get returns what is known of the message.
func (f *fetching) get(id uint16) ([]byte, bool) {
	for _, p := range f.found {
		if p.ID == id {
			return p.Data, true
		}
	}
	return f.entry.Get(id)
}

// headerFacts are what the cache keeps of a header.
func headerFacts(header []byte) []mailstore.Field {
	parsed := structure.ParseFields(header)
	put := []mailstore.Field{{ID: cacheEnvelope, Data: parsed.Envelope.Append(nil)}}
	if kept, ok := keptFields(header); ok {
		put = append(put, mailstore.Field{ID: cacheFields, Data: kept})
	}
	return put
}
