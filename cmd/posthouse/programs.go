package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// setgidCommands run with the group of maildrop in an installation of root's.
func setgidCommands() []string { return []string{"postdrop", "postqueue"} }

// otherCommands are the rest of what command_directory has.
func otherCommands() []string {
	return []string{"posthouse", "userdb", "userdbpw", "maildirmake", "authtest", "makealiases", "makehosteddomains", "makeacceptmailfor", "locals",
		"makeuserdb", "pw2userdb", "postalias", "postcat", "postconf", "postlog", "postmap", "postsuper",
		"sendmail", "mailq", "newaliases"}
}

// findPrograms decides where an instance has its programs. Daemons are beside
// this program in a build tree, and in lib/posthouse of an installation. The
// setgid commands of an instance are its own: they serve only the instance
// that they belong to, and those of the build tree stay as they were built.
func (i *instance) findPrograms(binDir string) error {
	i.binDir, i.commandDir = binDir, binDir
	for _, dir := range []string{binDir, filepath.Join(filepath.Dir(binDir), "lib", "posthouse")} {
		if _, err := os.Stat(filepath.Join(dir, "master")); err == nil {
			i.daemonDir = dir
			break
		}
	}
	if i.daemonDir == "" {
		return fmt.Errorf("no program master in %s: run `make build`", binDir)
	}
	info, err := os.Stat(filepath.Join(binDir, "postdrop"))
	if err != nil {
		return fmt.Errorf("%w: run `make build`", err)
	}
	if os.Geteuid() == 0 || info.Mode()&fs.ModeSetgid != 0 {
		i.commandDir = filepath.Join(i.dir, "sbin")
	}
	return nil
}

// makeCommands fills the command directory of an instance: copies of the
// setgid commands, and links to the others.
func (i *instance) makeCommands(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, name := range setgidCommands() {
		if err := copyProgram(filepath.Join(i.binDir, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for _, name := range otherCommands() {
		err := os.Symlink(filepath.Join(i.binDir, name), filepath.Join(dir, name))
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// copyProgram copies a program unless the copy is as the original. A running
// copy cannot be written, so it makes way.
func copyProgram(from, to string) error {
	program, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if have, err := os.ReadFile(to); err == nil && bytes.Equal(have, program) {
		return nil
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(to, program, 0o755); err != nil {
		return err
	}
	return os.Chmod(to, 0o755) // whatever the umask is
}
