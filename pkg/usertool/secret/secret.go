// Package secret makes what is stored of passwords in the user database.
package secret

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
	"github.com/posthouse-mail/posthouse/pkg/usertool"
)

// Field returns what is stored of a password in a field of the user
// database. The names of fields say what they are for: hmac-md5pw and the like
// for CRAM, scram-sha-256pw for SCRAM, and all others for the password itself.
func Field(name, scheme, plaintext string) (userdb.Field, error) {
	kind := strings.TrimSuffix(name, "pw")
	stored := ""
	var err error
	switch {
	case hasKind(kind, "hmac-md5"), hasKind(kind, "hmac-sha1"), hasKind(kind, "hmac-sha256"):
		var state password.HMACState
		if state, err = password.NewHMACState(kind[strings.LastIndex(kind, "hmac-"):], plaintext); err == nil {
			stored = state.String()
		}
	case hasKind(kind, "scram-sha-1"):
		stored, err = password.Hash(password.SCRAMSHA1, plaintext)
	case hasKind(kind, "scram-sha-256"):
		stored, err = password.Hash(password.SCRAMSHA256, plaintext)
	default:
		stored, err = password.Hash(scheme, plaintext)
	}
	if err == nil && strings.ContainsAny(stored, "|\n") {
		err = fmt.Errorf("%w: it has a '|'", password.ErrPassword)
	}
	return userdb.Field{Name: name, Value: stored}, err
}

// Fields are those that a new password is stored in: the main one, others that
// are wanted ("scram-sha-256pw"), and all of the record, which may be nil, that
// would be wrong otherwise.
func Fields(main, scheme, plaintext string, old *userdb.Record, wanted ...string) ([]userdb.Field, error) {
	prefix := ""
	if main != "systempw" {
		prefix = strings.TrimSuffix(main, "pw") + "-"
	}
	names := []string{main}
	for _, kind := range []string{"scram-sha-256pw", "scram-sha-1pw", "hmac-md5pw", "hmac-sha1pw", "hmac-sha256pw"} {
		has := false
		if old != nil {
			_, has = old.Hashes[prefix+kind]
		}
		if has || slices.Contains(wanted, kind) {
			names = append(names, prefix+kind)
		}
	}
	var fields []userdb.Field
	for _, name := range names {
		f, err := Field(name, scheme, plaintext)
		if err != nil {
			return nil, err
		}
		fields = append(fields, f)
	}
	return fields, nil
}

// hasKind tells imap-hmac-md5 and hmac-md5 from others.
func hasKind(kind, want string) bool { return kind == want || strings.HasSuffix(kind, "-"+want) }

// ReadFile reads a password from the first line of a file, or of
// standard input for "-".
func ReadFile(name string, in io.Reader) (string, error) {
	lines, err := ReadLines(name, in, 1)
	if err != nil {
		return "", err
	}
	return lines[0], nil
}

// ReadLines is ReadFile for so many passwords, a line for each.
func ReadLines(name string, in io.Reader, n int) ([]string, error) {
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = bufio.NewReader(f)
	}
	var lines []string
	for len(lines) < n {
		plaintext, err := usertool.ReadLine(in)
		if err != nil {
			return nil, fmt.Errorf("password %d from %s: %w", len(lines)+1, name, err)
		}
		if err := password.CheckPlaintext(plaintext); err != nil {
			return nil, fmt.Errorf("password %d from %s: %w", len(lines)+1, name, err)
		}
		lines = append(lines, plaintext)
	}
	return lines, nil
}
