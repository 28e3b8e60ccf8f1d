package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/alias"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// aliasHit is an alias that was found.
type aliasHit struct {
	targets string
	owner   worker.Identity
}

// lookupAlias returns nil if there is no such alias.
func (a *agent) lookupAlias(ctx context.Context, name string) (*aliasHit, error) {
	for _, t := range a.aliases {
		value, found, err := t.maps.Lookup(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("alias %s: %w", name, err)
		}
		if found {
			return &aliasHit{targets: value, owner: t.owner}, nil
		}
	}
	return nil, nil
}

// expandAlias delivers to what an alias stands for.
func (j *job) expandAlias(ctx context.Context, p place, name string, hit *aliasHit) {
	list, err := alias.Parse(hit.targets)
	switch {
	case errors.Is(err, alias.ErrRelative):
		j.log.Warn(string(j.d.QueueID), "alias %s: %v", name, err)
		j.fail(ctx, p, "5.3.5", "mail system configuration error")
		return
	case err != nil:
		j.log.Warn(string(j.d.QueueID), "alias %s: %v", name, err)
		j.fail(ctx, p, "4.3.5", "alias %s has no usable destination", name)
		return
	case len(list) == 0:
		j.log.Warn(string(j.d.QueueID), "no recipient in alias lookup result for %s", name)
		j.fail(ctx, p, "4.3.0", "alias database unavailable")
		return
	}
	sender, owned, err := j.ownerOf(ctx, name)
	if err != nil {
		j.fail(ctx, p, "4.3.0", "alias database unavailable")
		return
	}
	j.quietly(&p, len(list), owned)
	if owned {
		p.sender, p.list = sender, name
	}
	p.aliases = append(p.aliases[:len(p.aliases):len(p.aliases)], name)
	p.owner, p.source, p.account = hit.owner, "alias", nil
	j.toTargets(ctx, p, list)
}

// ownerOf returns the address that gets the bounces of an alias, if there is
// an alias owner-NAME.
func (j *job) ownerOf(ctx context.Context, name string) (string, bool, error) {
	if !j.OwnerRequest || strings.HasPrefix(name, "owner-") || strings.HasSuffix(name, "-request") {
		return "", false, nil
	}
	hit, err := j.lookupAlias(ctx, "owner-"+name)
	if err != nil || hit == nil {
		return "", false, err
	}
	owner := "owner-" + name
	if list, err := alias.Parse(hit.targets); j.ExpandOwner && err == nil && len(list) == 1 && list[0].Kind == alias.Address {
		owner = list[0].Value
	}
	if !address.HasDomain(owner) {
		owner += "@" + j.Myorigin
	}
	return owner, true, nil
}

// listInfo is what a worker says of a file with destinations.
type listInfo struct {
	found    string // its path, "" if there is none that may be used
	uid, gid int    // who owns it
}

// readTargets has a worker read the first of several files that exists.
func (j *job) readTargets(ctx context.Context, id worker.Identity, paths []string, strict bool) ([]alias.Target, listInfo, error) {
	var list []alias.Target
	var info listInfo
	for skip := int64(0); ; {
		req := ipc.List{}.Str("op", "targets").Int("skip", skip)
		if strict {
			req = req.Str("owners", "strict")
		}
		for _, p := range paths {
			req = req.Str("path", p)
		}
		reply, err := j.workers.Do(ctx, id, worker.Job{Request: req, Timeout: time.Minute})
		if err != nil {
			return nil, info, err
		}
		if s := worker.Outcome(reply); !s.Success() {
			return nil, info, errors.New(s.Text)
		}
		if why, unsafe := reply.Get("unsafe"); unsafe {
			j.log.Warn(string(j.d.QueueID), "%s", why)
			return nil, info, nil
		}
		info.found = reply.Value("found")
		if info.found == "" {
			return nil, info, nil
		}
		if info.uid, info.gid, err = ownerAttrs(reply); err != nil {
			return nil, info, err
		}
		if list, err = appendTargets(list, reply); err != nil {
			return nil, info, err
		}
		next, err := reply.GetInt("more")
		if err != nil {
			return list, info, nil
		}
		if next <= skip || len(list) > alias.MaxTargets {
			return nil, info, errors.New("malformed reply of a delivery process")
		}
		skip = next
	}
}

func ownerAttrs(reply ipc.List) (uid, gid int, err error) {
	u, err := reply.GetInt("uid")
	if err != nil {
		return 0, 0, err
	}
	g, err := reply.GetInt("gid")
	return int(u), int(g), err
}

// appendTargets reads the destinations in a worker's reply. A worker that is
// not sound can name any destination of its user's, which the user may anyway.
func appendTargets(list []alias.Target, reply ipc.List) ([]alias.Target, error) {
	kinds := map[string]alias.Kind{"address": alias.Address, "escaped": alias.Address,
		"command": alias.Command, "file": alias.File, "include": alias.Include}
	for _, a := range reply {
		if a.Name != "targets" {
			continue
		}
		for _, line := range strings.Split(strings.TrimSuffix(a.Value, "\n"), "\n") {
			word, value, _ := strings.Cut(line, " ")
			kind, ok := kinds[word]
			if !ok || value == "" {
				return nil, errors.New("malformed reply of a delivery process")
			}
			list = append(list, alias.Target{Kind: kind, Value: value, Escaped: word == "escaped"})
		}
	}
	return list, nil
}
