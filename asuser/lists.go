package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/alias"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

const (
	maxListFile = 4 << 20   // bytes of a .forward or :include: file
	replyBudget = 192 << 10 // bytes of destinations in one reply
	valueBudget = 48 << 10  // of these in one attribute
)

// targets reads the first file that exists of several and returns its
// destinations, beginning with number "skip". Attributes: path, several;
// owners, "strict" for a .forward file, whose owner must be the user or root.
// Reply: found, the path, absent if none exists; targets, lines of kind and
// value; more, if there are further ones; uid and gid of the file's owner.
func (w *worker) targets(req ipc.List) ipc.List {
	skip, err := req.GetInt("skip")
	if err != nil {
		return failure("4.3.0", err)
	}
	for _, a := range req {
		if a.Name != "path" {
			continue
		}
		list, st, err := w.readTargets(a.Value, req.Value("owners") == "strict")
		switch {
		case err == nil:
			reply := success().Str("found", a.Value).Int("uid", int64(st.Uid)).Int("gid", int64(st.Gid))
			return page(reply, list, int(skip))
		case errors.Is(err, os.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		case errors.Is(err, safefile.ErrUnsafe), req.Value("owners") == "strict" && errors.Is(err, os.ErrPermission):
			// Not used and not fatal: mail goes on as if it were not there.
			return success().Str("unsafe", unused(a.Value, err))
		case errors.Is(err, alias.ErrSyntax):
			return failure("4.3.5", err)
		default:
			return failure("4.3.0", err)
		}
	}
	return success()
}

func (w *worker) readTargets(path string, strict bool) ([]alias.Target, *unix.Stat_t, error) {
	f, st, err := w.fs.Open(path, os.O_RDONLY, safefile.Check{Owner: safefile.AnyOwner, Links: !strict})
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	if strict {
		if err := trustworthy(path, st); err != nil {
			return nil, nil, err
		}
	}
	if st.Size > maxListFile {
		return nil, nil, fmt.Errorf("%w: %s is larger than %d bytes", safefile.ErrUnsafe, path, maxListFile)
	}
	list, err := alias.Read(io.LimitReader(f, maxListFile), path)
	return list, st, err
}

// trustworthy reports why nobody can rely on a .forward file having been
// written by its user: its owner, or who else may write it. A group that is
// the user's own is fine, since many systems give each user one.
func trustworthy(path string, st *unix.Stat_t) error {
	switch {
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return untrusted(fmt.Sprintf("file %s has bad owner uid %d", path, st.Uid))
	case st.Mode&0o002 != 0:
		return untrusted(fmt.Sprintf("file %s is world writable", path))
	case st.Mode&0o020 != 0 && int(st.Gid) != os.Getegid():
		return untrusted(fmt.Sprintf("file %s is writable for group %d", path, st.Gid))
	}
	return nil
}

// untrusted is the reason why a .forward file is not used.
type untrusted string

func (u untrusted) Error() string        { return string(u) }
func (u untrusted) Is(target error) bool { return target == safefile.ErrUnsafe }

// unused says why a file is not used.
func unused(path string, err error) string {
	var why untrusted
	if errors.As(err, &why) {
		return string(why)
	}
	if errors.Is(err, os.ErrPermission) {
		return fmt.Sprintf("cannot open file %s: Permission denied", path)
	}
	if info, e := os.Lstat(path); e == nil && !info.Mode().IsRegular() {
		return fmt.Sprintf("file %s is not a regular file", path)
	}
	return err.Error()
}

// page adds as many destinations to a reply as fit.
func page(reply ipc.List, list []alias.Target, skip int) ipc.List {
	var b strings.Builder
	flush := func() {
		if b.Len() > 0 {
			reply = reply.Str("targets", b.String())
			b.Reset()
		}
	}
	used := 0
	for n := skip; n < len(list); n++ {
		line := kindNames[list[n].Kind]
		if list[n].Escaped {
			line = "escaped"
		}
		line += " " + list[n].Value + "\n"
		if used+len(line) > replyBudget {
			flush()
			return reply.Int("more", int64(n))
		}
		if b.Len()+len(line) > valueBudget {
			flush()
		}
		used += len(line)
		b.WriteString(line)
	}
	flush()
	return reply
}

// kindNames are the words for kinds of destinations between local and asuser.
var kindNames = map[alias.Kind]string{
	alias.Address: "address", alias.Command: "command", alias.File: "file", alias.Include: "include",
}
