package mailstore

import (
	"os"
	"path/filepath"
	"testing"
)

// FuzzFiles opens a folder whose own files have any content.
func FuzzFiles(f *testing.F) {
	root := newRoot(f)
	s := open(f, root)
	for n := range 3 {
		appendTo(f, s, "INBOX", n, Seen, "k")
	}
	m := selectBox(f, s, "INBOX")
	m.PutCache(1, []Field{{1, []byte("x")}})
	m.Close()
	var seeds [][]byte
	for _, name := range []string{fileIndex, fileLog, fileList, fileCache, fileCacheMap} {
		b, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			f.Fatal(err)
		}
		seeds = append(seeds, b)
	}
	f.Add(seeds[0], seeds[1], seeds[2], seeds[3], seeds[4], "owner\tlr\n")
	f.Fuzz(func(t *testing.T, a, b, c, d, e []byte, text string) {
		root := newRoot(t)
		if err := (open(t, root)).dirs.Make(root); err != nil {
			t.Fatal(err)
		}
		os.WriteFile(filepath.Join(root, "cur", "1.a.h,S=2:2,S"), []byte("x\n"), 0o600)
		for i, name := range []string{fileIndex, fileLog, fileList, fileCache, fileCacheMap} {
			os.WriteFile(filepath.Join(root, name), [][]byte{a, b, c, d, e}[i], 0o600)
		}
		for _, name := range []string{fileACL, fileUses, fileSubscriptions, fileServerMetadata, fileValidity, "maildirsize"} {
			os.WriteFile(filepath.Join(root, name), []byte(text), 0o600)
		}
		s := open(t, root)
		m, err := s.Mailbox("INBOX", false)
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		if m.Len() != 1 || m.UIDNext() <= 1 || m.UIDValidity() == 0 {
			t.Errorf("%d messages, next %d, uidvalidity %d", m.Len(), m.UIDNext(), m.UIDValidity())
		}
		msg, _ := m.Message(1)
		m.Cached(msg.UID).Get(1)
		for _, err := range []error{second(s.List()), second(s.Metadata("")), second(s.ACL("INBOX"))} {
			if err != nil {
				t.Error(err)
			}
		}
	})
}

func second[T any](_ T, err error) error { return err }
