package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/mutf7"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

var errUsage = errors.New("usage: maildirmake [-S] [-q quota] [-f folder | -F folder] [-s mode] [--add name=path] [--del name] maildir")

// command is one run.
type command struct {
	fs       safefile.FS
	maildir  string
	quota    string
	folder   string
	shared   bool
	sharing  string // of -s
	add, del string
}

func run(args []string) error {
	c := &command{}
	if err := c.parse(args); err != nil {
		return err
	}
	switch {
	case c.add != "":
		return c.addShared()
	case c.del != "":
		return c.delShared()
	case c.folder != "":
		return c.makeFolder()
	}
	return c.makeMaildir()
}

// parse reads the options. As in Courier's tool, the value of an option with
// one letter may stand in the same word.
func (c *command) parse(args []string) error {
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-" {
		option, value := args[0], ""
		args = args[1:]
		if option == "--" {
			break
		}
		if name, v, ok := strings.Cut(option, "="); strings.HasPrefix(option, "--") && ok {
			option, value = name, v
		} else if !strings.HasPrefix(option, "--") && len(option) > 2 {
			option, value = option[:2], option[2:]
		}
		if option != "-S" && value == "" {
			if len(args) == 0 {
				return errUsage
			}
			value, args = args[0], args[1:]
		}
		if err := c.set(option, value); err != nil {
			return err
		}
	}
	if len(args) != 1 || args[0] == "" {
		return errUsage
	}
	c.maildir = args[0]
	return nil
}

func (c *command) set(option, value string) error {
	switch option {
	case "-S":
		c.shared = true
	case "-q":
		if value == "" {
			return errUsage
		}
		var err error
		c.quota, err = userdb.ParseQuota(value)
		return err
	case "-f":
		c.folder = value
	case "-F":
		c.folder = encodeFolder(value)
	case "-s":
		c.sharing = value
	case "--add", "-add":
		c.add = value
	case "--del", "-del":
		c.del = value
	default:
		return errUsage
	}
	return nil
}

// encodeFolder writes each level of a name in the form of IMAP.
func encodeFolder(name string) string {
	levels := strings.Split(name, ".")
	for i, l := range levels {
		levels[i] = mutf7.Encode(l)
	}
	return strings.Join(levels, ".")
}

// makeMaildir makes a Maildir, or gives one a new quota.
func (c *command) makeMaildir() error {
	mode := os.FileMode(0o700)
	if c.shared {
		mode = 0o755
	}
	_, err := os.Stat(filepath.Join(c.maildir, "cur"))
	if err != nil || c.quota == "" {
		if err := c.makeDirs(c.maildir, mode, 0o700); err != nil {
			return err
		}
	}
	if c.quota == "" {
		return nil
	}
	return c.fs.WriteAtomic(filepath.Join(c.maildir, "maildirsize"), 0o644, func(w io.Writer) error {
		_, err := fmt.Fprintf(w, "%s\n%12d %12d\n", c.quota, 0, 0)
		return err
	})
}

// makeDirs makes a directory, which must not be there, and its three parts.
func (c *command) makeDirs(dir string, mode, parts os.FileMode) error {
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("%s: File exists", dir)
	}
	if err := c.fs.Mkdir(dir, mode); err != nil {
		return err
	}
	for _, part := range []string{"tmp", "new", "cur"} {
		if err := c.fs.Mkdir(filepath.Join(dir, part), parts); err != nil {
			return err
		}
	}
	return nil
}

// checkFolder refuses names that would not be folders of this Maildir.
func checkFolder(name string) error {
	bad := name == "" || len(name) > 200 || strings.ContainsAny(name, "/\x00\n") || strings.Contains("."+name+".", "..")
	if bad {
		return fmt.Errorf("Invalid folder name: %s", name)
	}
	return nil
}

func (c *command) makeFolder() error {
	if err := checkFolder(c.folder); err != nil {
		return err
	}
	if info, err := os.Stat(filepath.Join(c.maildir, "cur")); err != nil || !info.IsDir() {
		return fmt.Errorf("%s: not a Maildir", c.maildir)
	}
	mode, parts, err := sharingModes(c.sharing)
	if err != nil {
		return err
	}
	dir := filepath.Join(c.maildir, "."+c.folder)
	if err := c.makeDirs(dir, mode, parts); err != nil {
		return err
	}
	f, err := c.fs.Create(filepath.Join(dir, "maildirfolder"), 0o600)
	if err != nil {
		return err
	}
	if err := c.fs.SyncClose(f); err != nil {
		return err
	}
	return c.fs.SyncDir(dir)
}

// sharingModes are the modes of a folder and of its parts. With the sticky bit
// users can remove only messages of their own.
func sharingModes(sharing string) (mode, parts os.FileMode, err error) {
	if sharing == "" {
		return 0o700, 0o700, nil
	}
	mode, parts = 0o755, 0o755
	group := false
	for word := range strings.SplitSeq(sharing, ",") {
		switch word {
		case "read":
		case "write":
			mode, parts = 0o755|os.ModeSticky, 0o777|os.ModeSticky
		case "group":
			group = true
		default:
			return 0, 0, fmt.Errorf("-s %s: expected read or write, and group", sharing)
		}
	}
	if group {
		mode, parts = mode&^0o007, parts&^0o007
	}
	return mode, parts, nil
}

// sharedFile lists the shared Maildirs that a Maildir shows: "name<TAB>path".
func (c *command) sharedFile() string { return filepath.Join(c.maildir, "shared-maildirs") }

const maxSharedFile = 1 << 20

func (c *command) readShared() (string, error) {
	f, err := os.Open(c.sharedFile())
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSharedFile))
	return string(text), err
}

func (c *command) writeShared(text string) error {
	return c.fs.WriteAtomic(c.sharedFile(), 0o644, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	})
}

func (c *command) addShared() error {
	name, path, ok := strings.Cut(c.add, "=")
	if !ok || name == "" || !filepath.IsAbs(path) || strings.ContainsAny(c.add, "\n\t") || strings.ContainsAny(name, "/.") {
		return errUsage
	}
	if _, err := os.Stat(filepath.Join(c.maildir, "cur")); err != nil {
		return err
	}
	text, err := c.withoutShared(name)
	if err != nil && !errors.Is(err, errNotShared) {
		return err
	}
	return c.writeShared(text + name + "\t" + path + "\n")
}

var errNotShared = errors.New("not found.")

// withoutShared is the list without a name.
func (c *command) withoutShared(name string) (string, error) {
	text, err := c.readShared()
	if err != nil {
		return "", err
	}
	var kept strings.Builder
	found := false
	for line := range strings.Lines(text) {
		if n, _, _ := strings.Cut(line, "\t"); n == name {
			found = true
			continue
		}
		kept.WriteString(strings.TrimSuffix(line, "\n") + "\n")
	}
	if !found {
		return kept.String(), fmt.Errorf("%s: %w", name, errNotShared)
	}
	return kept.String(), nil
}

func (c *command) delShared() error {
	text, err := c.withoutShared(c.del)
	if err != nil {
		return err
	}
	return c.writeShared(text)
}
