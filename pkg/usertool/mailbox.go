package usertool

import (
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

	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// Place is where mail of a record goes, with what main.cf adds to it.
type Place struct {
	UID, GID      int
	Home, MailDir string
}

// PlaceOf completes a record as authd does: mail_uid, mail_gid and mail_home
// stand in for what it has not.
func (s *Site) PlaceOf(r *userdb.Record) (Place, error) {
	p := Place{UID: r.UID, GID: r.GID, Home: r.Home, MailDir: r.MailDir}
	var err error
	if p.UID < 0 {
		if p.UID, err = s.id("mail_uid", s.MailUID, lookupUID); err != nil {
			return p, err
		}
	}
	if p.GID < 0 {
		if p.GID, err = s.id("mail_gid", s.MailGID, lookupGID); err != nil {
			return p, err
		}
	}
	if p.Home == "" {
		if s.MailHome == "" {
			return p, errors.New("the user has no home, and mail_home in main.cf is empty")
		}
		local, domain, _ := strings.Cut(r.Login, "@")
		p.Home = strings.NewReplacer("%u", r.Login, "%n", local, "%d", domain, "%%", "%").Replace(s.MailHome)
	}
	if p.MailDir == "" {
		p.MailDir = strings.TrimRight(p.Home, "/") + "/Maildir"
	}
	for _, part := range strings.Split(p.Home+"/"+p.MailDir, "/") {
		if part == ".." {
			return p, fmt.Errorf("home %s: has .. in its path", p.Home)
		}
	}
	if !filepath.IsAbs(p.Home) || !filepath.IsAbs(p.MailDir) {
		return p, fmt.Errorf("home %s: not an absolute path", p.Home)
	}
	return p, nil
}

func (s *Site) id(param, name string, lookup func(string) (string, error)) (int, error) {
	if name == "" {
		return -1, fmt.Errorf("the user has no %s, and %s in main.cf is empty", strings.TrimPrefix(param, "mail_"), param)
	}
	n, err := strconv.Atoi(name)
	if err != nil {
		var text string
		if text, err = lookup(name); err == nil {
			n, err = strconv.Atoi(text)
		}
	}
	if err != nil {
		return -1, fmt.Errorf("%s: %w", param, err)
	}
	return n, nil
}

func lookupUID(name string) (string, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return u.Uid, nil
}

func lookupGID(name string) (string, error) {
	g, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return g.Gid, nil
}

// MakeMailbox makes the home directory and the Maildir of a user, unless they
// are there. What is in the user's directories is made with the user's rights:
// a link there must not lead root elsewhere.
func (s *Site) MakeMailbox(p Place, quota string) error {
	if p.UID <= 0 || p.GID <= 0 {
		return fmt.Errorf("uid %d, gid %d: a mailbox must not be root's", p.UID, p.GID)
	}
	for _, dir := range []string{p.Home, filepath.Dir(p.MailDir)} {
		if err := makeOwned(dir, p); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(filepath.Join(p.MailDir, "cur")); err == nil {
		return nil
	}
	// A Maildir that is the home directory itself is there already.
	if filepath.Clean(p.MailDir) == filepath.Clean(p.Home) {
		if err := runAs(p, "/bin/mkdir", "-m", "700", p.MailDir+"/cur", p.MailDir+"/new", p.MailDir+"/tmp"); err != nil || quota == "" {
			return err
		}
		return runAs(p, s.command("maildirmake"), "-q", quota, p.MailDir)
	}
	args := []string{p.MailDir}
	if quota != "" {
		args = []string{"-q", quota, p.MailDir}
	}
	return runAs(p, s.command("maildirmake"), args...)
}

// makeOwned makes a directory, with missing parents, and gives it to the user.
// Only what is made here changes its owner.
func makeOwned(dir string, p Place) error {
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return nil
	}
	return os.Lchown(dir, p.UID, p.GID)
}

// runAs runs a command as the user.
func runAs(p Place, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = "/"
	cmd.Env = []string{"PATH=/usr/bin:/bin", "HOME=" + p.Home}
	if os.Geteuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(p.UID), Gid: uint32(p.GID)}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
