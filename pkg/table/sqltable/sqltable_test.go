package sqltable

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// TestCompile: what depends on the key is a parameter, wherever it stands.
func TestCompile(t *testing.T) {
	const key = "u'@d"
	for _, tc := range []struct {
		kind, query, text string
		args              []any
	}{
		{"pgsql", "SELECT a FROM t WHERE m = '%s'", "SELECT a FROM t WHERE m = $1", []any{key}},
		{"pgsql", "SELECT f('%u', '%d')", "SELECT f($1, $2)", []any{"u'", "d"}},
		{"pgsql", "SELECT 'x' WHERE m LIKE '%%%s%%' AND n % m", "", nil},
		{"pgsql", "SELECT 'x' WHERE m LIKE '%%%s%%'", "SELECT 'x' WHERE m LIKE $1", []any{"%" + key + "%"}},
		{"pgsql", "SELECT 'it''s' WHERE m = 'it''s %u@%d'", "SELECT 'it''s' WHERE m = $1", []any{"it's " + key}},
		{"pgsql", "SELECT 100%%3 WHERE m = %s", "SELECT 100%3 WHERE m = $1", []any{key}},
		{"pgsql", `SELECT "a%%b" -- 100%%` + "\n WHERE m = '%s'", `SELECT "a%b" -- 100%` + "\n WHERE m = $1", []any{key}},
		{"pgsql", "SELECT m WHERE m = '\\%s'", "SELECT m WHERE m = $1", []any{"\\" + key}},
		{"mysql", "SELECT a FROM t WHERE m = \"%s\" AND n='%d'", "SELECT a FROM t WHERE m = ? AND n=?", []any{key, "d"}},
		{"mysql", `SELECT 'a\'b' WHERE m='%s'`, `SELECT 'a\'b' WHERE m=?`, []any{key}},
		{"sqlite", "SELECT 1 WHERE m='%s' OR m='%1'", "SELECT 1 WHERE m=? OR m=?", []any{key, "d"}},
		{"pgsql", "SELECT E'%s'", "", nil},
		{"pgsql", "SELECT $$%s$$", "", nil},
		{"pgsql", "SELECT '%s", "", nil},
		{"pgsql", `SELECT "%s"`, "", nil},
		{"pgsql", "SELECT 1 /* %s */", "", nil},
		{"pgsql", "SELECT '%x'", "", nil},
		{"mysql", `SELECT '\'%s'`, "", nil},
		{"mysql", "SELECT `%s`", "", nil},
		{"mysql", "SELECT ?", "", nil},
	} {
		q, err := compile(tc.kind, tc.query)
		if (err != nil) != (tc.text == "") {
			t.Errorf("%s: %v", tc.query, err)
			continue
		}
		if err != nil {
			continue
		}
		args, ok := q.args(key)
		if d := cmp.Diff(tc.args, args); d != "" || !ok || q.text != tc.text {
			t.Errorf("%s: %q %q", tc.query, q.text, args)
		}
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("SELECT 'a' FROM \"t\" WHERE x = '%s' -- c")
	f.Fuzz(func(t *testing.T, text string) {
		for _, kind := range []string{"pgsql", "mysql", "sqlite"} {
			q, err := compile(kind, text)
			if err != nil {
				continue
			}
			// A key that is there once as it is would have become text.
			args, ok := q.args("k3y'@d0main")
			if ok && (strings.Contains(q.text, "k3y") || len(args) != len(q.params)) {
				t.Errorf("%q", q.text)
			}
		}
	})
}

// schema has rows that a lookup must not find by any trick.
const schema = `CREATE TABLE v (address varchar(255), target varchar(255), n integer);
INSERT INTO v VALUES ('a@d.test', 'b@e.test', 7), ('a@d.test', 'c@e.test', 8), ('secret@d.test', 'hidden', 9), ('empty@d.test', '', 1), ('null@d.test', NULL, 2);`

// hostile are keys that mean something to a database.
func hostile() []string {
	return []string{"' OR 1=1 --", `" OR 1=1 --`, `\' OR 1=1 --`, "'; DROP TABLE v; --", "%", "%@d.test", "secret@d.test'", "\\", "a@d.test\\",
		"\xbf' OR 1=1 -- ", "\u02bc OR 1=1", "%s", "$1", "?", "a@d.test\x00", "' UNION SELECT target FROM v --", strings.Repeat("'", 1000)}
}

// write makes the file of a table.
func write(t *testing.T, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "t.cf")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// exercise looks things up in a database with the schema.
func exercise(t *testing.T, kind string, conn ...string) {
	ctx := context.Background()
	open := func(lines ...string) table.Table {
		tbl, err := OpenTable(kind, write(t, append(append([]string{}, conn...), lines...)...), table.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { tbl.Close() })
		return tbl
	}
	m := open("query = SELECT target FROM v WHERE address = '%s' ORDER BY n")
	for key, want := range map[string]string{"a@d.test": "b@e.test,c@e.test", "A@D.test": "b@e.test,c@e.test", "none@d.test": "",
		"empty@d.test": "", "null@d.test": "", "secret@d.test": "hidden"} {
		v, found, err := m.Lookup(ctx, key)
		if err != nil || v != want || found != (want != "") {
			t.Errorf("%s: %q %v %v", key, v, found, err)
		}
	}
	for _, key := range hostile() {
		if v, found, _ := m.Lookup(ctx, key); found {
			t.Errorf("injection: %q found %q", key, v)
		}
	}
	like := open("query = SELECT target FROM v WHERE address = '%u@%d' AND n > 0", "result_format = <%s>", "domain = d.test, x.test")
	if v, _, err := like.Lookup(ctx, "secret@d.test"); err != nil || v != "<hidden>" {
		t.Errorf("%q %v", v, err)
	}
	for _, key := range []string{"a", "@d.test", "a@e.test"} {
		if v, found, err := like.Lookup(ctx, key); found || err != nil {
			t.Errorf("%s: %q %v", key, v, err)
		}
	}
	for name, tbl := range map[string]table.Table{
		"too many":    open("query = SELECT target FROM v WHERE address = '%s'", "expansion_limit = 1"),
		"wrong query": open("query = SELECT nosuch FROM v WHERE address = '%s'"),
	} {
		if v, found, err := tbl.Lookup(ctx, "a@d.test"); err == nil {
			t.Errorf("%s: %q %v", name, v, found)
		}
	}
	old := open("table = v", "select_field = target", "where_field = address", "additional_conditions = AND n = 7")
	if v, _, err := old.Lookup(ctx, "a@d.test"); err != nil || v != "b@e.test" {
		t.Errorf("legacy: %q %v", v, err)
	}
}

func TestPostgres(t *testing.T) {
	d := testkit.Postgres(t, schema)
	conn := []string{"user = test", "dbname = test", "password = x"}
	exercise(t, "pgsql", append(conn, "hosts = "+d.Addr)...)
	exercise(t, "pgsql", append(conn, fmt.Sprintf("hosts = postgresql://127.0.0.1:%s/test", d.Port))...)
	failover(t, "pgsql", d.Addr, conn...)
}

func TestMySQL(t *testing.T) {
	d := testkit.MySQL(t, schema)
	conn := []string{"user = test", "dbname = test", "password = testpw"}
	exercise(t, "mysql", append(conn, "hosts = inet:"+d.Addr)...)
	exercise(t, "mysql", append(conn, "hosts = unix:"+filepath.Join(d.Dir, "sock"))...)
	failover(t, "mysql", d.Addr, conn...)
}

func TestSQLite(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x y%?.db")
	db, err := sql.Open("sqlite", "file:"+strings.NewReplacer("%", "%25", "?", "%3f").Replace(path))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(schema); err != nil {
		t.Fatal(err)
	}
	db.Close()
	exercise(t, "sqlite", "dbpath = "+path)
	if _, err := Open("sqlite", write(t, "dbpath = /nonexistent/x", "query = SELECT 1")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}

// failover: a host that is away does not matter as long as another one is
// there, and one that comes back is used.
func failover(t *testing.T, kind, good string, conn ...string) {
	ctx := context.Background()
	closed := testkit.NewClosed(t)
	away := closed.Addr()
	both := append(append([]string{}, conn...), "hosts = "+away+" "+good, "query = SELECT target FROM v WHERE address = '%s' AND n = 7", "retry_interval = 1h")
	d, err := Open(kind, write(t, both...))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for range 20 {
		n := 0
		if err := d.Query(ctx, "a@d.test", func(_, v []string) error { n++; return nil }); err != nil || n != 1 {
			t.Fatalf("%d rows, %v", n, err)
		}
	}
	alone := append(append([]string{}, conn...), "hosts = "+away, "query = SELECT target FROM v WHERE address = '%s'")
	d, err = Open(kind, write(t, alone...))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if err := d.Query(ctx, "a@d.test", nil); err == nil || strings.Contains(err.Error(), "testpw") {
		t.Errorf("nobody is there: %v", err)
	}
	// It is there now, although it was given up for a while.
	go forward(closed.Listen(t), good)
	n := 0
	if err := d.Query(ctx, "a@d.test", func(_, v []string) error { n++; return nil }); err != nil || n != 2 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// forward passes connections on.
func forward(ln net.Listener, to string) {
	for {
		a, err := ln.Accept()
		if err != nil {
			return
		}
		b, err := net.Dial("tcp", to)
		if err != nil {
			a.Close()
			continue
		}
		for _, p := range [][2]net.Conn{{a, b}, {b, a}} {
			go func() {
				defer p[0].Close()
				defer p[1].Close()
				buf := make([]byte, 4096)
				for {
					n, err := p[0].Read(buf)
					if err != nil {
						return
					}
					if _, err := p[1].Write(buf[:n]); err != nil {
						return
					}
				}
			}()
		}
	}
}
