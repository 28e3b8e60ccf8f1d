package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/posthouse-mail/posthouse/etc"
)

// entry is one line of etc/files.
type entry struct {
	path, kind   string
	owner, group string // "-" as group is the owner's
	mode         fs.FileMode
}

// readTable expands etc/files for an installation. Outside of a root
// installation everything belongs to the caller and nothing is setgid.
func (a *app) readTable(s settings) ([]entry, error) {
	expand := strings.NewReplacer(
		"$config_directory", a.configDir, "$daemon_directory", s.DaemonDir,
		"$command_directory", s.CommandDir, "$data_directory", s.DataDir,
		"$queue_directory", s.QueueDir, "$mail_owner", s.MailOwner,
		"$setgid_group", s.SetgidGroup)
	var table []entry
	lines := bufio.NewScanner(strings.NewReader(etc.Files))
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if len(f) != 5 {
			return nil, fmt.Errorf("etc/files: need 5 fields: %q", lines.Text())
		}
		mode, err := strconv.ParseUint(f[4], 8, 12)
		if err != nil {
			return nil, fmt.Errorf("etc/files: bad mode: %q", lines.Text())
		}
		table = append(table, entry{
			path: expand.Replace(f[0]), kind: f[1],
			owner: expand.Replace(f[2]), group: expand.Replace(f[3]), mode: unixMode(mode),
		})
	}
	return table, nil
}

// unixMode turns the bits of chmod(1) into those of package fs.
func unixMode(bits uint64) fs.FileMode {
	mode := fs.FileMode(bits & 0o777)
	if bits&0o2000 != 0 {
		mode |= fs.ModeSetgid
	}
	if bits&0o1000 != 0 {
		mode |= fs.ModeSticky
	}
	return mode
}

// extent says how much applyPermissions changes.
type extent int

const (
	onlyMissing extent = iota // make directories that are not there
	everything                // and correct owners and modes
)

// applyPermissions makes the directories of the table, and with everything
// also corrects what exists below the given directory. As an ordinary user it
// skips the owners, and what is somebody else's.
func (a *app) applyPermissions(s settings, what extent, below string) error {
	table, err := a.readTable(s)
	if err != nil {
		return err
	}
	ids := identities{}
	for _, e := range table {
		_, err := os.Lstat(e.path)
		missing := errors.Is(err, fs.ErrNotExist)
		switch {
		case missing && e.kind == "dir":
			if err := os.MkdirAll(e.path, 0o755); err != nil {
				return err
			}
		case missing || what == onlyMissing || !within(e.path, below):
			continue
		case err != nil:
			return err
		}
		if err := a.correct(e, ids); err != nil {
			return err
		}
	}
	return nil
}

// correct gives one path its owner and mode.
func (a *app) correct(e entry, ids identities) error {
	if os.Geteuid() != 0 {
		return correctOwn(e)
	}
	uid, gid, err := ids.resolve(e)
	if err != nil {
		return err
	}
	if err := os.Lchown(e.path, uid, gid); err != nil {
		return err
	}
	// chown clears setgid, so the mode comes second.
	return os.Chmod(e.path, e.mode)
}

// correctOwn gives a directory of the caller's its mode.
func correctOwn(e entry) error {
	if e.kind != "dir" {
		return nil
	}
	info, err := os.Lstat(e.path)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != os.Geteuid() || info.Mode().Perm() == e.mode.Perm() {
		return nil
	}
	return os.Chmod(e.path, e.mode&^fs.ModeSetgid)
}

// within reports whether a path is a directory or below it.
func within(path, dir string) bool {
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel)
}

// identities remembers users and groups that were looked up.
type identities map[string][2]int

func (ids identities) resolve(e entry) (uid, gid int, err error) {
	key := e.owner + ":" + e.group
	if v, ok := ids[key]; ok {
		return v[0], v[1], nil
	}
	u, err := user.Lookup(e.owner)
	if err != nil {
		return 0, 0, fmt.Errorf("owner of %s: %w: `posthouse set-permissions` makes it", e.path, err)
	}
	uid, _ = strconv.Atoi(u.Uid)
	gid, _ = strconv.Atoi(u.Gid)
	if e.group != "-" {
		g, err := user.LookupGroup(e.group)
		if err != nil {
			return 0, 0, fmt.Errorf("group of %s: %w: `posthouse set-permissions` makes it", e.path, err)
		}
		gid, _ = strconv.Atoi(g.Gid)
	}
	ids[key] = [2]int{uid, gid}
	return uid, gid, nil
}

func (a *app) setPermissions(args []string) error {
	if err := a.noArguments("set-permissions", args); err != nil {
		return err
	}
	_, s, err := a.load()
	if err != nil {
		return err
	}
	if os.Geteuid() == 0 {
		if err := makeUsers(s); err != nil {
			return err
		}
	}
	return a.applyPermissions(s, everything, "/")
}

// makeUsers adds the system users and the group that are missing.
func makeUsers(s settings) error {
	if err := makeGroup(s.SetgidGroup); err != nil {
		return err
	}
	for _, name := range []string{s.MailOwner, s.TLSOwner, s.LoginOwner, s.AuthOwner, s.SubmitOwner} {
		if err := makeUser(name, s.QueueDir); err != nil {
			return err
		}
	}
	return nil
}

func makeGroup(name string) error {
	if _, err := user.LookupGroup(name); err == nil {
		return nil
	}
	return runTool("groupadd", "--system", name)
}

func makeUser(name, home string) error {
	if _, err := user.Lookup(name); err == nil {
		return nil
	}
	if name == "root" {
		return errors.New("mail_owner, tls_owner, login_owner, auth_owner and submission_owner must not be root")
	}
	return runTool("useradd", "--system", "--user-group", "--no-create-home",
		"--home-dir", home, "--shell", "/usr/sbin/nologin", name)
}

func runTool(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// wrongPath is a path that differs from the table.
type wrongPath struct{ path, text string }

// comparePermissions returns what differs from the table.
func (a *app) comparePermissions(s settings) ([]wrongPath, error) {
	table, err := a.readTable(s)
	if err != nil {
		return nil, err
	}
	var problems []wrongPath
	ids := identities{}
	for _, e := range table {
		info, err := os.Lstat(e.path)
		if err != nil {
			if e.kind == "dir" || !errors.Is(err, fs.ErrNotExist) {
				problems = append(problems, wrongPath{e.path, fmt.Sprintf("%v: `posthouse set-permissions` makes it", err)})
			}
			continue
		}
		if text := compareEntry(e, info, ids); text != "" {
			problems = append(problems, wrongPath{e.path, fmt.Sprintf("%s: %s: `posthouse set-permissions` corrects it", e.path, text)})
		}
	}
	return problems, nil
}

func compareEntry(e entry, info fs.FileInfo, ids identities) string {
	if (e.kind == "dir") != info.IsDir() {
		return fmt.Sprintf("is %s, must be a %s", info.Mode().Type(), e.kind)
	}
	if os.Geteuid() != 0 {
		if info.Mode().Perm()&0o022 != 0 && e.mode.Perm()&0o022 == 0 {
			return fmt.Sprintf("others may write it (mode %04o)", info.Mode().Perm())
		}
		return ""
	}
	uid, gid, err := ids.resolve(e)
	if err != nil {
		return err.Error()
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return "has no owner"
	}
	if int(st.Uid) != uid || e.group != "-" && int(st.Gid) != gid {
		return fmt.Sprintf("belongs to %d:%d, must be %s:%s (%d:%d)", st.Uid, st.Gid, e.owner, e.group, uid, gid)
	}
	const bits = fs.ModePerm | fs.ModeSetgid | fs.ModeSetuid
	if e.kind == "dir" || e.mode&fs.ModeSetgid != 0 {
		if info.Mode()&bits != e.mode&bits {
			return fmt.Sprintf("has mode %v, must have %v", info.Mode()&bits, e.mode&bits)
		}
	} else if info.Mode().Perm()&0o022 != 0 {
		return fmt.Sprintf("others may write it (mode %04o)", info.Mode().Perm())
	}
	return ""
}

// absolute returns path made absolute from the working directory.
func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return abs, nil
}
