package userdb

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/cdb"
)

func makeIndex(t testing.TB, path string) {
	t.Helper()
	if err := Make(path, MakeOptions{Owner: AnyOwner, UID: -1, GID: -1}); err != nil {
		t.Fatal(err)
	}
}

func usesIndex(t testing.TB, db *DB) bool {
	t.Helper()
	s, err := db.current()
	if err != nil {
		t.Fatal(err)
	}
	return s.index != nil
}

func get(t testing.TB, path, key string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := cdb.Open(f)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	value, _, err := r.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// The index has what Courier's has under the names of Courier: fields that end
// in pw apart, where only the owner can read them.
func TestMakeSplits(t *testing.T) {
	path := t.TempDir() + "/userdb"
	write(t, path+"/example.com/users", sampleLine+"\n1000=\tyou\nPlain\tuid=5\n")
	makeIndex(t, path)
	public, shadow := get(t, path+".dat", "you@example.com"), get(t, path+"shadow.dat", "you@example.com")
	if strings.Contains(public, "pw=") || !strings.HasSuffix(public, "|_=example.com/users/") || !strings.HasPrefix(public, "uid=1000|gid=1001|") {
		t.Errorf("public part: %s", public)
	}
	if shadow != "hmac-md5pw=0123|imappw=x|systempw={SSHA}a=b=" {
		t.Errorf("shadow part: %s", shadow)
	}
	if s := get(t, path+".dat", "1000="); s != "you" {
		t.Errorf("record of the uid: %q", s)
	}
	for name, mode := range map[string]fs.FileMode{path + ".dat": 0o644, path + "shadow.dat": 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	text, index := open(t, path), open(t, path)
	if !usesIndex(t, index) {
		t.Fatal("the index is not used")
	}
	os.Remove(path + ".dat")
	if usesIndex(t, text) {
		t.Fatal("the index that is gone is used")
	}
	for _, login := range []string{"you@example.com", "me@Example.com", "PLAIN", "nobody", "1000=", "@example.org"} {
		a, err1 := text.Lookup(login)
		s := index.state.Load()
		b, err2 := s.get(fold(login))
		if strings.HasPrefix(login, "@") || strings.HasSuffix(login, "=") {
			continue // not asked for by Lookup
		}
		if diff := cmp.Diff(a, b, compare); diff != "" || !errors.Is(err2, err1) {
			t.Errorf("%s: text and index differ: %v, %v:\n%s", login, err1, err2, diff)
		}
	}
}

func TestMakeRefuses(t *testing.T) {
	path := t.TempDir() + "/userdb"
	write(t, path, "a\tuid=1\nA\tuid=2\nb\tuid=x\nno tab\n")
	err := Make(path, MakeOptions{Owner: AnyOwner, UID: -1, GID: -1})
	for _, want := range []string{path + `:2: "A" is already in ` + path + ":1", path + ":3: uid", path + ":4: no tab"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
	if _, err := os.Stat(path + ".dat"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an index was written: %v", err)
	}
}

func TestUnsafeSources(t *testing.T) {
	dir := t.TempDir()
	path := dir + "/userdb"
	write(t, path, "a\tuid=1\n")
	db := open(t, path)
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o602} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		_, err := Open(path, Options{Owner: AnyOwner})
		if remedy := fmt.Sprintf("mode is %04o; run `chmod go= %s`", mode, path); !errors.Is(err, ErrUnsafe) || !strings.Contains(err.Error(), remedy) {
			t.Errorf("mode %o: %v", mode, err)
		}
		if err := Make(path, MakeOptions{Owner: AnyOwner, UID: -1, GID: -1}); !errors.Is(err, ErrUnsafe) {
			t.Errorf("Make, mode %o: %v", mode, err)
		}
		// A database that is open follows: lookups fail, and do not say that
		// the user is unknown.
		if _, err := db.Lookup("a"); !errors.Is(err, ErrUnsafe) {
			t.Errorf("Lookup, mode %o: %v", mode, err)
		}
	}
	if err := os.Chmod(path, 0o600); err != nil {
		t.Fatal(err)
	}
	wantLogin(t, db, "a", "a")
	if err := os.Symlink(path, dir+"/link"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir+"/link", Options{Owner: AnyOwner}); !errors.Is(err, ErrUnsafe) {
		t.Errorf("symbolic link: %v", err)
	}
	if _, err := Open(dir+"/none", Options{}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no such file: %v", err)
	}
	if os.Geteuid() == 0 {
		if err := os.Chown(path, 12345, -1); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(path, Options{Owner: 54321}); !errors.Is(err, ErrUnsafe) {
			t.Errorf("foreign owner: %v", err)
		}
		if _, err := Open(path, Options{Owner: 12345}); err != nil {
			t.Errorf("owner of authd: %v", err)
		}
	}
}

// What was written last counts, the text or the index, and at once.
func TestNewerTextWins(t *testing.T) {
	path := t.TempDir() + "/userdb"
	write(t, path+"/a", "a\tuid=1\n")
	makeIndex(t, path)
	db := open(t, path)
	if !usesIndex(t, db) {
		t.Fatal("the index is not used")
	}
	wantLogin(t, db, "a", "a")
	write(t, path+"/a", "b\tuid=1\n") // as long as before
	wantLogin(t, db, "a", "")
	wantLogin(t, db, "b", "b")
	write(t, path+"/c", "c\tuid=1\n")
	wantLogin(t, db, "c", "c")
	makeIndex(t, path)
	wantLogin(t, db, "c", "c")
	if db = open(t, path); !usesIndex(t, db) {
		t.Error("the new index is not used")
	}
	os.Remove(path + "/c")
	wantLogin(t, db, "c", "")
	// Older text, from a backup, is the text all the same.
	write(t, path+"/a", "old\tuid=1\n")
	if err := os.Chtimes(path+"/a", time.Unix(1e9, 0), time.Unix(1e9, 0)); err != nil {
		t.Fatal(err)
	}
	wantLogin(t, db, "old", "old")
	makeIndex(t, path)
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	wantLogin(t, db, "old", "old") // the index alone is the database
	os.Remove(path + "shadow.dat")
	if _, err := db.Lookup("old"); err == nil || errors.Is(err, ErrUnknown) {
		t.Errorf("half an index: %v", err)
	}
}

// BenchmarkLookup also reports what 100,000 users take.
func BenchmarkLookup(b *testing.B) {
	for _, kind := range []string{"text", "index"} {
		b.Run(kind, func(b *testing.B) {
			path := b.TempDir() + "/userdb"
			var text strings.Builder
			for i := range 100000 {
				fmt.Fprintf(&text, "user%d@example.com\tuid=1000|gid=1000|home=/var/mail/example.com/user%d|quota=1000000000S|"+
					"systempw=$6$0tf8LvacWXKFpLxM$xofB8a7rewMhSIss7EZ2QminJKC54uSOUcvhb0jfWIJgNd1Z8fA9pLNDPLuQZmCj.RzoJayoghwF1HAbgZw9g1|aliases=u%d@example.com\n", i, i, i)
			}
			write(b, path, text.String())
			text.Reset()
			if kind == "index" {
				makeIndex(b, path)
			}
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			start := time.Now()
			db := open(b, path)
			opened := time.Since(start)
			runtime.GC()
			runtime.ReadMemStats(&after)
			i := 0
			for b.Loop() {
				i = (i + 7919) % 100000
				if _, err := db.Lookup(fmt.Sprintf("u%d@example.com", i)); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(opened.Milliseconds()), "ms-to-open")
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/1e6, "MB")
		})
	}
}
