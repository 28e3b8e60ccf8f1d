package usertool

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Account is a line of passwd(5) with what shadow(5) says of it.
type Account struct {
	Name, Password, UID, GID, Gecos, Home, Shell string
	Line                                         int
	Extra                                        string // what follows, in the passwd-file of Dovecot
}

// maxPasswdLine bounds a line of passwd and its relatives.
const maxPasswdLine = 64 << 10

// readColons reads a file of fields separated by colons, and calls take for each
// line that is no comment.
func readColons(path string, take func(line int, fields []string)) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 0, 4096), maxPasswdLine)
	for n := 1; lines.Scan(); n++ {
		if text := lines.Text(); strings.TrimSpace(text) != "" && text[0] != '#' {
			take(n, strings.Split(text, ":"))
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	return nil
}

// ReadPasswd reads passwd, and the passwords in shadow. A shadow file that is
// not there, or "", is no error. Of two accounts with the same name, the first
// counts, as for the system.
func ReadPasswd(passwd, shadow string) ([]Account, error) {
	var list []Account
	seen := map[string]int{}
	err := readColons(passwd, func(n int, f []string) {
		// The last field of Dovecot's form may have colons of its own.
		extra := ""
		if len(f) > 7 {
			extra = strings.Join(f[7:], ":")
		}
		f = append(f, make([]string, 7)...)
		if _, again := seen[f[0]]; again || f[0] == "" {
			return
		}
		seen[f[0]] = len(list)
		a := Account{Name: f[0], UID: f[2], GID: f[3], Gecos: f[4], Home: f[5], Shell: f[6], Line: n, Extra: extra}
		if f[1] != "x" {
			a.Password = f[1]
		}
		list = append(list, a)
	})
	if err != nil || shadow == "" {
		return list, err
	}
	err = readColons(shadow, func(_ int, f []string) {
		if i, ok := seen[f[0]]; ok && len(f) > 1 {
			list[i].Password = f[1]
		}
	})
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return list, err
}
