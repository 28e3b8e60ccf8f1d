package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/cdb"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

// records lists an index, without what only ours has: keys with a tab.
func records(t *testing.T, path string) []string {
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
	var list []string
	if err := r.All(func(key, value string) bool {
		if !strings.Contains(key, "\t") {
			list = append(list, key+"\t"+value)
		}
		return true
	}); err != nil {
		t.Fatal(err)
	}
	sort.Strings(list)
	return list
}

// Courier's makeuserdb feeds the records to a program that writes GDBM. With
// another program in its place, the records can be compared.
func courierRecords(t *testing.T, dir, db string) (public, shadow []string) {
	t.Helper()
	script, err := os.ReadFile(filepath.Join(testkit.Courier(t), "usr/sbin/makeuserdb"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/catdat", "#!/bin/sh\nexec cat > \"$3.txt\"\n", 0o755)
	lines := strings.Split(string(script), "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, "$makedat=") {
			lines[i] = "$makedat=\"" + dir + "/catdat\";"
		}
	}
	// The location is cut off at the length of the standard path.
	text := strings.ReplaceAll(strings.Join(lines, "\n"), `length("/etc/courier/userdb")`, `length($dbfile)`)
	write(t, dir+"/makeuserdb", text, 0o755)
	if out, err := exec.Command("perl", dir+"/makeuserdb", "-f", db).CombinedOutput(); err != nil {
		t.Fatalf("Courier's makeuserdb: %v\n%s", err, out)
	}
	read := func(path string) []string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var list []string
		for line := range strings.SplitSeq(string(text), "\n") {
			// makedat leaves comments out, and "." ends its input.
			if line != "" && line[0] != '#' && line != "." {
				// Courier gives a location to records "uid=", too, where it
				// stands behind the name; nothing reads it there.
				if key, _, _ := strings.Cut(line, "\t"); strings.HasSuffix(key, "=") {
					line, _, _ = strings.Cut(line, "|_=")
				}
				list = append(list, line)
			}
		}
		sort.Strings(list)
		return list
	}
	return read(db + ".dat.txt"), read(db + "shadow.dat.txt")
}

func TestCourierAgrees(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/main.cf", "myhostname = m.example.test\n", 0o644)
	users := "# users\n\nyou@example.com\tuid=5|systempw=$1$a$b|home=/x|imappw=z|hmac-md5pw=0|aliases=me\nplain\tuid=6|gecos=A B\n6=\tplain\nonlypw\tsystempw=x\n"
	for _, db := range []string{dir + "/file", dir + "/tree"} {
		if db == dir+"/file" {
			write(t, db, users, 0o600)
		} else {
			write(t, db+"/sub/example.com", users, 0o600)
			write(t, db+"/example.net", "x@example.net\tuid=9|systempw=q\n", 0o600)
			write(t, db+"/.hidden", "y\tuid=9\n", 0o600)
		}
		public, shadow := courierRecords(t, dir, db)
		if err := run([]string{"-c", dir, "-f", db}); err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			theirs []string
			path   string
		}{{public, db + ".dat"}, {shadow, db + "shadow.dat"}} {
			if mine := records(t, c.path); strings.Join(mine, "\n") != strings.Join(c.theirs, "\n") {
				t.Errorf("%s:\nours    %q\nCourier %q", filepath.Base(c.path), mine, c.theirs)
			}
		}
	}
}

func TestRefuses(t *testing.T) {
	dir := t.TempDir()
	write(t, dir+"/main.cf", "myhostname = m.example.test\n", 0o644)
	write(t, dir+"/userdb", "x\tuid=1\n", 0o640)
	if err := run([]string{"-c", dir}); err == nil || !strings.Contains(err.Error(), "group or world") {
		t.Errorf("readable source: %v", err)
	}
	if err := os.Chmod(dir+"/userdb", 0o600); err != nil {
		t.Fatal(err)
	}
	if err := run([]string{"-c", dir}); err != nil {
		t.Error(err)
	}
	for _, args := range [][]string{{"-f"}, {"-x", "y"}, {"file"}} {
		if err := run(args); err == nil {
			t.Errorf("makeuserdb %v succeeded", args)
		}
	}
}
