package index

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

func record(uid uint32, r *rand.Rand) Record {
	return Record{UID: uid, Flags: Flags(r.IntN(64)), Keywords: r.Uint64(), ModSeq: uint64(r.IntN(1000)), Size: int64(r.IntN(1e6)), Internal: Unknown, GUID: [16]byte{byte(uid)}, Base: fmt.Sprint("base.", uid)}
}

func all(t testing.TB, tab *Table) (out []Record) {
	t.Helper()
	err := tab.Range(0, tab.Len(), func(_ int, r *Record) bool {
		out = append(out, *r)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestEdits compares a table with a plain slice, and the differences between
// two tables with what was done.
func TestEdits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	tab := New(nil)
	var model []Record
	next := uint32(1)
	for round := range 300 {
		e := tab.Edit()
		changed := map[uint32]bool{}
		for range r.IntN(60) {
			switch k := r.IntN(4); {
			case k < 2 || len(model) == 0:
				next += uint32(1 + r.IntN(3))
				rec := record(next, r)
				e.Append(rec)
				model = append(model, rec)
				changed[next] = true
			case k == 2:
				i := r.IntN(len(model))
				p := e.Record(model[i].UID)
				p.Flags ^= Flagged
				model[i].Flags ^= Flagged
				changed[p.UID] = true
			default:
				i := r.IntN(len(model))
				if !e.Remove(model[i].UID) || e.Remove(model[i].UID) || e.Record(model[i].UID) != nil {
					t.Fatal("remove")
				}
				changed[model[i].UID] = true
				model = slices.Delete(model, i, i+1)
			}
		}
		before := all(t, tab)
		now, err := e.Done()
		if err != nil {
			t.Fatal(err)
		}
		if got := all(t, now); !slices.Equal(got, model) {
			t.Fatalf("round %d: %d records, want %d", round, len(got), len(model))
		}
		if !slices.Equal(all(t, tab), before) {
			t.Fatal("the old table was changed")
		}
		checkDiff(t, tab, now, changed)
		checkSearch(t, now, model, r)
		tab = now
	}
}

func checkDiff(t *testing.T, a, b *Table, changed map[uint32]bool) {
	t.Helper()
	last := uint32(0)
	err := Diff(a, b, func(x, y *Record) {
		r := x
		if r == nil {
			r = y
		}
		if !changed[r.UID] || r.UID <= last {
			t.Fatalf("a difference in %d", r.UID)
		}
		last = r.UID
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkSearch(t *testing.T, tab *Table, model []Record, r *rand.Rand) {
	t.Helper()
	sum := Summary{}
	for i := range model {
		sum.add(&model[i])
	}
	if s := tab.Summary(); s.N != len(model) || s.Unseen != sum.Unseen || s.Deleted != sum.Deleted || s.Bytes != sum.Bytes || s.MaxModSeq != sum.MaxModSeq {
		t.Fatalf("summary %+v, want %+v", s, sum)
	}
	for range 20 {
		uid := uint32(r.IntN(1500))
		i, ok, err := tab.Search(uid)
		j, want := slices.BinarySearchFunc(model, uid, func(m Record, u uint32) int { return int(int64(m.UID) - int64(u)) })
		if i != j || ok != want || err != nil {
			t.Fatalf("search %d: %d, %v, %v, want %d, %v", uid, i, ok, err, j, want)
		}
		if ok {
			if rec, err := tab.At(i); err != nil || rec.UID != uid {
				t.Fatal(rec, err)
			}
		}
	}
}

func write(t testing.TB, tab *Table, meta string) (string, []byte) {
	t.Helper()
	var b bytes.Buffer
	if _, err := tab.Write(&b, []byte(meta)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "index")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path, b.Bytes()
}

func read(t testing.TB, path string) (*Table, []byte, error) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return Read(f)
}

func TestFile(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	var recs []Record
	for i := range 1000 {
		recs = append(recs, record(uint32(2*i+1), r))
	}
	for _, n := range []int{0, 1, ChunkSize, 1000} {
		path, _ := write(t, New(recs[:n:n]), "meta")
		tab, meta, err := read(t, path)
		if err != nil || string(meta) != "meta" || !slices.Equal(all(t, tab), recs[:n]) || !reflect.DeepEqual(tab.Summary(), New(recs[:n:n]).Summary()) {
			t.Fatalf("%d records: %v", n, err)
		}
		tab.Drop()
		if !slices.Equal(all(t, tab), recs[:n]) {
			t.Errorf("%d records, dropped", n)
		}
	}
}

// TestDamagedFile: no changed or missing byte goes unseen.
func TestDamagedFile(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var recs []Record
	for i := range 200 {
		recs = append(recs, record(uint32(i+1), r))
	}
	path, data := write(t, New(recs), "meta")
	check := func(b []byte, what string, i int) {
		t.Helper()
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		tab, _, err := read(t, path)
		if err == nil {
			err = tab.Load()
		}
		if !errors.Is(err, ErrDamaged) {
			t.Fatalf("%s %d: %v", what, i, err)
		}
	}
	for i := 0; i < len(data); i += 7 {
		bad := bytes.Clone(data)
		bad[i] ^= 0x10
		check(bad, "byte", i)
		check(data[:i], "cut at", i)
	}
}

func TestInfo(t *testing.T) {
	for _, text := range []string{"", "DFPRST", "Sabz", "FS"} {
		flags, keywords, odd := ParseInfo(text)
		if r := (Record{Flags: flags, Keywords: keywords}); odd || r.Info() != text {
			t.Errorf("%q became %q, %v", text, r.Info(), odd)
		}
	}
	if _, _, odd := ParseInfo("SX"); !odd {
		t.Error("X is not odd")
	}
}

func FuzzRead(f *testing.F) {
	r := rand.New(rand.NewPCG(4, 4))
	_, data := write(f, New([]Record{record(1, r), record(5, r)}), "meta")
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "index")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		tab, _, err := read(t, path)
		if err != nil {
			return
		}
		_ = tab.Range(0, tab.Len(), func(int, *Record) bool { return true })
		_, _, _ = tab.Search(3)
	})
}
