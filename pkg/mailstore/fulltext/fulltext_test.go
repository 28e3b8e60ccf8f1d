package fulltext

import (
	"bytes"
	"context"
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// sample is a message: texts of the header and of the body.
type sample struct{ header, body []string }

func (s *sample) has(text string, header bool) bool {
	for _, t := range s.body {
		if strings.Contains(t, text) {
			return true
		}
	}
	for _, t := range s.header {
		if header && strings.Contains(t, text) {
			return true
		}
	}
	return false
}

// words takes the texts in pieces of random length, as readers give them.
func (s *sample) words(r *rand.Rand, w *Words) {
	w.Reset()
	for i, texts := range [][]string{s.header, s.body} {
		w.Header(i == 0)
		for _, t := range texts {
			for t != "" {
				n := 1 + r.Intn(len(t))
				w.Write([]byte(t[:n]))
				t = t[n:]
			}
			w.End()
		}
	}
}

// randomText has few letters, so that texts have much in common, and words of
// all lengths.
func randomText(r *rand.Rand) string {
	var b strings.Builder
	for range r.Intn(12) {
		length := 1 + r.Intn(6)
		if r.Intn(4) == 0 {
			length = 20 + r.Intn(180)
		}
		for range length {
			b.WriteByte("ab0\xc3\xa9"[r.Intn(5)])
		}
		b.WriteString([]string{" ", ", ", "-", "\r\n", ""}[r.Intn(5)])
	}
	return b.String()
}

func newDir(t testing.TB) *Dir {
	return &Dir{FS: new(safefile.FS), Path: filepath.Join(t.TempDir(), "fts"), Header: Header{Validity: 7, Mailbox: [16]byte{1, 2}, Version: 3}}
}

func begin(t testing.TB, d *Dir) *Update {
	t.Helper()
	u, err := d.Begin()
	if err != nil || u == nil {
		t.Fatalf("Begin: %v, %v", u, err)
	}
	return u
}

// fill makes an index of random messages in segments of a few each.
func fill(t testing.TB, r *rand.Rand, d *Dir, n, each int) map[uint32]*sample {
	t.Helper()
	all := make(map[uint32]*sample)
	u := begin(t, d)
	defer u.End()
	var b Builder
	w := NewWords()
	for uid := uint32(1); len(all) < n; uid += 1 + uint32(r.Intn(3)) {
		s := &sample{}
		for range 1 + r.Intn(3) {
			s.header = append(s.header, randomText(r))
			s.body = append(s.body, randomText(r))
		}
		s.words(r, w)
		b.Add(uid, w)
		all[uid] = s
		if b.Len() == each || len(all) == n {
			if err := u.Add(&b); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

// compare asks for random texts, most of which are somewhere.
func compare(t *testing.T, r *rand.Rand, d *Dir, all map[uint32]*sample) (decided int) {
	t.Helper()
	ix, err := d.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer ix.Close()
	for range 300 {
		from := randomText(r)
		for _, s := range all {
			from = s.body[0]
			break
		}
		if from == "" {
			continue
		}
		i := r.Intn(len(from))
		text := from[i : i+1+r.Intn(min(len(from)-i, 120))]
		header := r.Intn(2) == 0
		f := ix.Find(context.Background(), []byte(text), header)
		if f == nil {
			continue
		}
		for uid, s := range all {
			v, has := f.Verdict(uid), s.has(text, header)
			if v != Unknown {
				decided++
			}
			if v == Present && !has || v == Absent && has {
				t.Fatalf("UID %d, text %q, header %v: verdict %v, but there: %v", uid, text, header, v, has)
			}
		}
	}
	return decided
}

func TestFindIsExact(t *testing.T) {
	for seed := range int64(8) {
		r := rand.New(rand.NewSource(seed))
		d := newDir(t)
		all := fill(t, r, d, 150, 10)
		if compare(t, r, d, all) == 0 {
			t.Fatal("the index decided nothing")
		}
		// The same after messages went and segments were merged.
		for uid := range all {
			if r.Intn(3) == 0 {
				delete(all, uid)
			}
		}
		keep := func(uid uint32) bool { return all[uid] != nil }
		u := begin(t, d)
		for more := true; more; {
			var err error
			if more, err = u.Tidy(keep); err != nil {
				t.Fatal(err)
			}
		}
		u.End()
		ix, _ := d.Open()
		if len(ix.segments) >= 15 {
			t.Errorf("%d segments after a merge of 15", len(ix.segments))
		}
		for uid := range all {
			if !ix.Has(uid) {
				t.Fatalf("UID %d is lost", uid)
			}
		}
		ix.Close()
		compare(t, r, d, all)
	}
}

// TestDamage changes bytes and cuts the files: the answers may become fewer,
// but none may be wrong.
func TestDamage(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	for range 60 {
		d := newDir(t)
		all := fill(t, r, d, 40, 15)
		names, _ := filepath.Glob(d.Path + "/*" + suffix)
		name := names[r.Intn(len(names))]
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		switch r.Intn(3) {
		case 0:
			b = b[:r.Intn(len(b))]
		case 1:
			clear(b[r.Intn(len(b)):])
		default:
			b[r.Intn(len(b))] ^= byte(1 + r.Intn(255))
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		compare(t, r, d, all)
		u := begin(t, d)
		if _, err := u.Tidy(func(uid uint32) bool { return all[uid] != nil && uid%4 != 0 }); err != nil {
			t.Fatal(err)
		}
		u.End()
		compare(t, r, d, all)
	}
}

func TestStaleIsRemoved(t *testing.T) {
	d := newDir(t)
	fill(t, rand.New(rand.NewSource(1)), d, 20, 20)
	for _, h := range []Header{{8, d.Mailbox, d.Version}, {7, [16]byte{9}, d.Version}, {7, d.Mailbox, 4}} {
		other := &Dir{FS: d.FS, Path: d.Path, Header: h}
		ix, err := other.Open()
		if err != nil || ix.Len() != 0 {
			t.Fatalf("%v: %d messages, %v", h, ix.Len(), err)
		}
	}
	other := &Dir{FS: d.FS, Path: d.Path, Header: Header{Validity: 8}}
	if err := os.WriteFile(d.Path+"/x.words.tmp1.a", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	begin(t, other).End()
	if names, _ := d.list(); len(names) != 1 || names[0] != lockName {
		t.Errorf("left: %v", names)
	}
}

func TestOneUpdateAtATime(t *testing.T) {
	d := newDir(t)
	u := begin(t, d)
	if other, err := d.Begin(); other != nil || err != nil {
		t.Errorf("a second update: %v, %v", other, err)
	}
	u.End()
	begin(t, d).End()
}

// TestManyWords: a message made of different words does not fill the memory
// and is looked at itself.
func TestManyWords(t *testing.T) {
	d := newDir(t)
	var b Builder
	w := NewWords()
	for i := range 2 * maxWords {
		w.Write(fmt.Appendf(nil, "word%d ", i))
	}
	if !w.Over() {
		t.Error("there is room for any number of words")
	}
	b.Add(5, w)
	w.Reset()
	w.Write([]byte("one word5 more"))
	b.Add(6, w)
	if len(b.words) != 3 {
		t.Errorf("%d words are kept", len(b.words))
	}
	u := begin(t, d)
	if err := u.Add(&b); err != nil {
		t.Fatal(err)
	}
	u.End()
	ix, _ := d.Open()
	defer ix.Close()
	f := ix.Find(context.Background(), []byte("word5"), false)
	if v := f.Verdict(5); v != Unknown {
		t.Errorf("many words: %v", v)
	}
	if v := f.Verdict(6); v != Present {
		t.Errorf("few words: %v", v)
	}
	if v := f.Verdict(7); v != Unknown {
		t.Errorf("not indexed: %v", v)
	}
	if _, ok := ix.Fuzzy(context.Background(), NewFuzzy([]byte("word5"), true)).Score(5); ok {
		t.Error("a message with too many words has a score")
	}
}

func TestFuzzyScores(t *testing.T) {
	score := func(query, header, body string) int {
		w := NewWords()
		w.Header(true)
		w.Write([]byte(header))
		w.Header(false)
		w.Write([]byte(body))
		q := NewFuzzy([]byte(query), true)
		direct := q.Score(w)
		d := newDir(t)
		var b Builder
		b.Add(1, w)
		u := begin(t, d)
		if err := u.Add(&b); err != nil {
			t.Fatal(err)
		}
		u.End()
		ix, _ := d.Open()
		defer ix.Close()
		if indexed, ok := ix.Fuzzy(context.Background(), q).Score(1); !ok || indexed != direct {
			t.Errorf("%q: %d from the index, %d from the message", query, indexed, direct)
		}
		return direct
	}
	order := []struct{ query, header, body string }{
		{"invoice", "subject: invoice", ""},
		{"invoice", "", "the invoice"},
		{"invoice", "", "the invoices"},
		{"invoice", "", "the invioce"},
	}
	last := 101
	for _, o := range order {
		n := score(o.query, o.header, o.body)
		if n < 1 || n >= last {
			t.Errorf("%q in %q, %q: %d, before that %d", o.query, o.header, o.body, n, last)
		}
		last = n
	}
	for _, o := range []struct {
		query, body string
		want        bool
	}{
		{"helo", "hello there", true}, {"broken", "it broke", true}, {"mu\u0308ller", "muller", true}, {"muller", "mu\u0308ller", true},
		{"to", "tomorrow", false}, {"invoice", "nvoice", false}, {"one two", "one", false}, {"a b c d", "a b c", true}, {"--", "--", false},
		{"meeting", "greeting", false}, {"cat", "car", false}, {"definitely", "definately", true},
	} {
		if n := score(o.query, "", o.body); n > 0 != o.want || n > 100 {
			t.Errorf("%q in %q: %d", o.query, o.body, n)
		}
	}
}

func FuzzSegment(f *testing.F) {
	d := newDir(f)
	fill(f, rand.New(rand.NewSource(1)), d, 10, 10)
	names, _ := filepath.Glob(d.Path + "/*" + suffix)
	b, err := os.ReadFile(names[0])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b, 0)
	f.Fuzz(func(t *testing.T, b []byte, at int) {
		s, err := readSegment(bytes.NewReader(b), int64(len(b)), d.Header)
		if err != nil {
			return
		}
		if err := s.verify(); err != nil {
			return
		}
		ix := &Index{segments: []*segment{s}}
		if found := ix.Find(context.Background(), []byte("ab"), true); found != nil {
			for _, doc := range s.docs {
				found.Verdict(doc.uid)
			}
		}
		ix.Fuzzy(context.Background(), NewFuzzy([]byte("aab b0"), true))
		var out bytes.Buffer
		_ = merge(&out, d.Header, []*segment{s, s}, func(uid uint32) bool { return uid%2 == 0 })
	})
}

// FuzzEntries reads a block whose checksum is right, which the fuzzer would
// not find.
func FuzzEntries(f *testing.F) {
	f.Add([]byte("\x00\x02ab\x01\x01"), []byte("\x00\x01"))
	f.Fuzz(func(t *testing.T, dict, post []byte) {
		if len(dict) > maxDict {
			return
		}
		s := &segment{r: bytes.NewReader(append(bytes.Clone(dict), post...)), docs: make([]doc, 100),
			blocks: []block{{dict: len(dict), post: len(post), dictSum: sum(dict), postSum: sum(post)}}}
		ix := &Index{segments: []*segment{s}}
		ix.Find(context.Background(), []byte("ab"), true)
		ix.Fuzzy(context.Background(), NewFuzzy([]byte("aab b0"), true))
		_ = merge(new(bytes.Buffer), Header{}, []*segment{s}, func(uint32) bool { return true })
	})
}

func BenchmarkFind(b *testing.B) {
	d := newDir(b)
	r := rand.New(rand.NewSource(1))
	u := begin(b, d)
	var build Builder
	w := NewWords()
	for uid := range uint32(5000) {
		w.Reset()
		for range 300 {
			w.Write(fmt.Appendf(nil, "w%x ", int(r.ExpFloat64()*20000)))
		}
		build.Add(uid+1, w)
	}
	if err := u.Add(&build); err != nil {
		b.Fatal(err)
	}
	u.End()
	b.ReportMetric(float64(d.Size())/5000, "bytes/message")
	for b.Loop() {
		ix, err := d.Open()
		if err != nil {
			b.Fatal(err)
		}
		ix.Find(context.Background(), []byte("1ab"), true)
		ix.Close()
	}
}
