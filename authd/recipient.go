package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/authclient"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/userdb"
)

// recipient says who gets the mail for an address.
func (s *server) recipient(ctx context.Context, addr string) ipc.List {
	name := strings.ToLower(addr)
	if name == "" || len(name) > userdb.MaxLogin || !printable.IsText(name) || name[0] == '@' {
		return unknown()
	}
	name, err := s.aliasDomain(ctx, name)
	var f *found
	if err == nil {
		f, err = s.resolve(ctx, name)
	}
	if errors.Is(err, userdb.ErrUnknown) || err == nil && f.rec.IsDisabled("mail") {
		return unknown()
	}
	if err == nil {
		if targets := f.rec.Fields["forward"]; targets != "" {
			reply := status("ok")
			for t := range strings.SplitSeq(targets, ",") {
				if t = strings.TrimSpace(t); t != "" {
					reply = reply.Str("target", t)
				}
			}
			return reply
		}
		var u *authclient.User
		if u, err = s.user(f.rec); err == nil {
			return u.Attributes(status("ok").Bool("over_quota", s.overQuota(u)))
		}
	}
	s.log.Warn("", "lookup of recipient <%s>: %v", printable.ASCII(addr), err)
	return status("temporary")
}

// aliasDomain replaces a domain that domain_alias_maps makes another name of a
// second one.
func (s *server) aliasDomain(ctx context.Context, addr string) (string, error) {
	local, domain := address.Split(addr)
	if domain == "" || s.domains == nil {
		return addr, nil
	}
	target, found, err := s.domains.Lookup(ctx, domain)
	if err != nil {
		return "", fmt.Errorf("domain_alias_maps: %w", err)
	}
	if !found || target == "" {
		return addr, nil
	}
	return address.Join(local, strings.ToLower(target)), nil
}

// resolve finds the user for an address: by the whole, without its extension,
// and as what the domain catches.
func (s *server) resolve(ctx context.Context, addr string) (*found, error) {
	local, domain := address.Split(addr)
	names := []string{addr}
	if base, ext := address.SplitExtension(local, s.Delimiter); ext != "" {
		names = append(names, address.Join(base, domain))
	}
	for _, name := range names {
		f, err := s.known(ctx, name, "")
		if !errors.Is(err, userdb.ErrUnknown) {
			return f, err
		}
	}
	for _, src := range s.sources {
		r, ok := src.(resolver)
		if !ok {
			continue
		}
		f, err := r.resolve(ctx, addr, s.Delimiter)
		if errors.Is(err, userdb.ErrUnknown) {
			continue
		}
		return f, err
	}
	return nil, userdb.ErrUnknown
}

// quotas remembers which mailboxes are full, as those who deliver to them tell:
// we may not look into them.
type quotas struct {
	mu   sync.Mutex
	over map[string]time.Time
}

// quotaTime is how long a mailbox is thought to be full. After it, one message
// is let through to try.
const (
	quotaTime  = 10 * time.Minute
	maxQuotas  = 100_000
	maxSizeLen = 5120 // of a maildirsize file (Maildir++)
)

func newQuotas() *quotas { return &quotas{over: map[string]time.Time{}} }

func (q *quotas) set(login string, over bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !over || len(q.over) >= maxQuotas {
		delete(q.over, login)
		return
	}
	q.over[login] = time.Now()
}

func (q *quotas) isOver(login string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	at, ok := q.over[login]
	return ok && time.Since(at) < quotaTime
}

// overQuota reports a mailbox that is full.
func (s *server) overQuota(u *authclient.User) bool {
	if u.Quota == "" {
		return false
	}
	if full, known := readMaildirSize(u.MailDir, u.Quota); known {
		return full
	}
	return s.quotas.isOver(u.Login)
}

// usualMessage is the size of a message for which a mailbox should have room;
// pkg/mailstore has the same.
const usualMessage = 100 << 10

// readMaildirSize compares the file maildirsize with a quota. It is known only
// where the file may be read and there is either no room, or enough.
func readMaildirSize(dir, quota string) (full, known bool) {
	tight := false
	if dir == "" {
		return false, false
	}
	f, err := os.OpenFile(filepath.Join(dir, "maildirsize"), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return false, false
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 2*maxSizeLen))
	if !lines.Scan() {
		return false, false
	}
	var size, count int64
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) != 2 {
			continue
		}
		a, err1 := strconv.ParseInt(fields[0], 10, 62)
		b, err2 := strconv.ParseInt(fields[1], 10, 62)
		if err1 != nil || err2 != nil {
			return false, false
		}
		size, count = size+a, count+b
	}
	for item := range strings.SplitSeq(quota, ",") {
		n, err := strconv.ParseInt(strings.TrimRight(item, "SC"), 10, 62)
		if err != nil {
			return false, false
		}
		used, spare := size, int64(usualMessage)
		if strings.HasSuffix(item, "C") {
			used, spare = count, 1
		}
		full = full || used >= n
		tight = tight || used > n-spare
	}
	return full, lines.Err() == nil && (full || !tight)
}
