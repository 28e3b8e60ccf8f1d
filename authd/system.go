package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// systemSource is the accounts of the machine. Both files are read at each
// lookup: they are small, and a change counts at once.
type systemSource struct {
	dir     string
	minimum int
}

// maxSystemFile bounds /etc/passwd and /etc/shadow.
const maxSystemFile = 16 << 20

// openSystem keeps the right to read the shadow file: that of its group, which
// on Debian may do that and nothing else. Where root alone may read it, system
// accounts need PAM.
func openSystem(dir string, minimum int, o opening) (source, error) {
	s := &systemSource{dir: dir, minimum: max(minimum, 1)}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "shadow"), &st); err != nil {
		return nil, fmt.Errorf("%s/shadow: %w", dir, err)
	}
	switch {
	case os.Getuid() != 0 || o.groups == nil:
	case st.Gid != 0 && st.Mode&0o040 != 0:
		*o.groups = append(*o.groups, int(st.Gid))
	default:
		return nil, fmt.Errorf("%s/shadow may be read by root only: use the source pam, see pamd(8)", dir)
	}
	return s, nil
}

func (s *systemSource) name() string { return "passwd" }

// serves: crypt(3) is of use to mechanisms that send the password only.
func (s *systemSource) serves(string) bool { return false }

// hashless reports that nothing is stored that CRAM-MD5 or SCRAM could use.
func (s *systemSource) hashless() bool { return true }

func (s *systemSource) lookup(_ context.Context, login, _ string) (*found, error) {
	r, err := s.account(login)
	if err != nil {
		return nil, err
	}
	hash, err := s.shadow(login)
	if err != nil {
		return nil, err
	}
	if hash != "" {
		r.Hashes = map[string]string{"systempw": hash}
	}
	return &found{rec: r}, nil
}

// account reads /etc/passwd.
func (s *systemSource) account(login string) (*userdb.Record, error) {
	fields, err := findLine(filepath.Join(s.dir, "passwd"), login)
	if err != nil {
		return nil, err
	}
	if len(fields) < 6 {
		return nil, fmt.Errorf("%s/passwd: the line of %s has too few fields", s.dir, login)
	}
	uid, err1 := strconv.Atoi(fields[2])
	gid, err2 := strconv.Atoi(fields[3])
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("%s/passwd: %s: %w", s.dir, login, err)
	}
	// Root and the system's own accounts have no mail access.
	if uid < s.minimum || uid == 65534 {
		return nil, userdb.ErrUnknown
	}
	name, _, _ := strings.Cut(fields[4], ",")
	return &userdb.Record{Login: login, UID: uid, GID: gid, Home: fields[5], Name: name}, nil
}

// shadow reads a hash, "" if the account has none that opens it.
func (s *systemSource) shadow(login string) (string, error) {
	fields, err := findLine(filepath.Join(s.dir, "shadow"), login)
	if errors.Is(err, userdb.ErrUnknown) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if len(fields) < 8 || expired(fields[7], time.Now()) {
		return "", nil
	}
	// shadow(5): "!" or "*" in front locks the password.
	if h := fields[1]; h != "" && h[0] != '!' && h[0] != '*' {
		return h, nil
	}
	return "", nil
}

// expired reads the day on which an account ends.
func expired(days string, now time.Time) bool {
	n, err := strconv.ParseInt(days, 10, 32)
	return err == nil && now.Unix()/86400 >= n
}

// findLine returns the fields of a login in a file with colons.
func findLine(path, login string) (fields []string, err error) {
	if strings.ContainsAny(login, ":\n") {
		return nil, userdb.ErrUnknown
	}
	err = eachLine(path, func(line string) bool {
		if len(line) > len(login) && line[len(login)] == ':' && line[:len(login)] == login {
			fields = strings.Split(line, ":")
		}
		return fields == nil
	})
	if err == nil && fields == nil {
		err = userdb.ErrUnknown
	}
	return fields, err
}

// eachLine calls f with each line of a file until it returns false.
func eachLine(path string, f func(line string) bool) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if info.Size() > maxSystemFile || !info.Mode().IsRegular() {
		return fmt.Errorf("%s: not a regular file of at most %d bytes: %w", path, maxSystemFile, fs.ErrInvalid)
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<16)
	for lines.Scan() {
		if !f(lines.Text()) {
			return nil
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}
