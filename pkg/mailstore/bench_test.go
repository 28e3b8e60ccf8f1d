package mailstore

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/maildir/notice"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// bigBox makes a Maildir of n messages as a delivery agent would have.
func bigBox(tb testing.TB, n int) string {
	tb.Helper()
	root := newRoot(tb)
	open(tb, root)
	body := []byte("From: a@example.com\nSubject: x\n\n" + strings.Repeat("line of text\n", 20))
	for i := range n {
		name := fmt.Sprintf("%d.M%dP1.host,S=%d,W=%d:2,S", 1700000000+i/10, i, len(body), len(body)+23)
		if err := os.WriteFile(filepath.Join(root, "cur", name), body, 0o600); err != nil {
			tb.Fatal(err)
		}
	}
	return root
}

func BenchmarkFirstSight100k(b *testing.B) {
	root := bigBox(b, 100000)
	for b.Loop() {
		for _, name := range []string{fileIndex, fileLog, fileList, fileValidity} {
			os.Remove(filepath.Join(root, name))
		}
		m, err := open(b, root).Mailbox("INBOX", false)
		if err != nil || m.Len() != 100000 {
			b.Fatal(err)
		}
		m.Close()
	}
}

// BenchmarkSelect is a SELECT of 100,000 messages: in a process that has the
// folder, and in one that does not.
func BenchmarkSelect(b *testing.B) {
	root := bigBox(b, 100000)
	for _, fresh := range []bool{false, true} {
		b.Run(fmt.Sprint("fresh-", fresh), func(b *testing.B) {
			s := open(b, root)
			for b.Loop() {
				if fresh {
					s = open(b, root)
				}
				m, err := s.Mailbox("INBOX", false)
				if err != nil {
					b.Fatal(err)
				}
				_ = m.FirstUnseen()
				m.Close()
			}
		})
	}
}

func BenchmarkFetchFlags(b *testing.B) {
	root := bigBox(b, 100000)
	m := selectBox(b, open(b, root), "INBOX")
	n := 0
	for b.Loop() {
		m.Range(1, m.Len(), func(_ int, msg *Message) bool {
			n += int(msg.Flags)
			return true
		})
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100000, "ns/message")
}

func BenchmarkAppend(b *testing.B) {
	text := "From: a@example.com\r\nSubject: x\r\n\r\n" + strings.Repeat("line of text\r\n", 290)
	for _, par := range []int{1, 10} {
		b.Run(fmt.Sprint("clients-", par), func(b *testing.B) {
			s := open(b, newRoot(b))
			b.SetParallelism(max(par/2, 1))
			work := func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Append("INBOX", []Incoming{{Content: strings.NewReader(text)}}); err != nil {
						b.Fatal(err)
					}
				}
			}
			if par == 1 {
				for b.Loop() {
					if _, err := s.Append("INBOX", []Incoming{{Content: strings.NewReader(text)}}); err != nil {
						b.Fatal(err)
					}
				}
			} else {
				b.RunParallel(work)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "msg/s")
		})
	}
}

func BenchmarkStoreFlags(b *testing.B) {
	root := bigBox(b, 10000)
	m := selectBox(b, open(b, root), "INBOX")
	op := AddFlags
	for b.Loop() {
		if _, err := m.Store(StoreRequest{UIDs: []uint32{500}, Op: op, Flags: Flagged}); err != nil {
			b.Fatal(err)
		}
		op = AddFlags + RemoveFlags - op
		if _, err := m.Sync(SyncOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenMessage(b *testing.B) {
	root := bigBox(b, 1000)
	m := selectBox(b, open(b, root), "INBOX")
	uid := uint32(0)
	for b.Loop() {
		uid = uid%1000 + 1
		c, err := m.Open(uid)
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

func BenchmarkCached(b *testing.B) {
	root := bigBox(b, 100000)
	m := selectBox(b, open(b, root), "INBOX")
	data := make([]byte, 700)
	for uid := range uint32(100000) {
		m.PutCache(uid+1, []Field{{1, data}})
	}
	m.FlushCache()
	for b.Loop() {
		for uid := range uint32(100000) {
			if _, ok := m.Cached(uid + 1).Get(1); !ok {
				b.Fatal(uid)
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100000, "ns/message")
}

// BenchmarkNotify is from a file in new to its message in a session's view, told
// by the kernel, and by the process that made it.
func BenchmarkNotify(b *testing.B) {
	b.Run("inotify", func(b *testing.B) {
		root := newRoot(b)
		benchmarkNotify(b, root, open(b, root), func() {})
	})
	b.Run("notice", func(b *testing.B) {
		root := newRoot(b)
		benchmarkNotify(b, root, unwatched(b, root), func() { notice.Post(new(safefile.FS), root, "") })
	})
}

func benchmarkNotify(b *testing.B, root string, s *Store, tell func()) {
	m := selectBox(b, s, "INBOX")
	ch := m.Watch()
	var all []time.Duration
	for n := 0; b.Loop(); n++ {
		tmp := filepath.Join(root, "tmp", fmt.Sprint(n))
		if err := os.WriteFile(tmp, []byte("x\n\nbody\n"), 0o600); err != nil {
			b.Fatal(err)
		}
		start := time.Now()
		if err := os.Rename(tmp, filepath.Join(root, "new", fmt.Sprintf("%d.x%d.h", start.Unix(), n))); err != nil {
			b.Fatal(err)
		}
		tell()
		for m.Len() <= n {
			<-ch
			if _, err := m.Sync(SyncOptions{}); err != nil {
				b.Fatal(err)
			}
		}
		all = append(all, time.Since(start))
	}
	slices.Sort(all)
	b.ReportMetric(float64(all[len(all)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(all[len(all)*99/100].Microseconds()), "p99-us")
}
