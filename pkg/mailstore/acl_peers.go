package mailstore

import (
	"errors"
	"os"
	"strings"
)

// The access lists of earlier servers in a folder. They count until the folder
// has one of ours, which its first change makes, and are left as they are.
const (
	fileDovecotACL = "dovecot-acl"
	fileCourierACL = "courierimapacl"
)

// peerACL reads what an earlier server left. Both have an identifier and rights
// in each line: "owner", "anyone", "user=NAME", and groups, which do not exist
// here.
func (s *Store) peerACL(dir string) ([]ACLEntry, error) {
	for _, file := range []string{fileDovecotACL, fileCourierACL} {
		lines, err := s.readLines(dir, file)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, temporary(err)
		}
		return ofPeer(lines[:min(len(lines), maxACL)]), nil
	}
	return nil, nil
}

// ofPeer reads the lines of a list. A line that takes rights away and is not
// understood leaves the folder to its owner: the others may be those whom it is
// about.
func ofPeer(lines []string) []ACLEntry {
	var out, owners []ACLEntry
	closed := false
	for _, line := range lines {
		e, ok := parsePeerACL(line)
		switch {
		case !ok:
			closed = closed || strings.HasPrefix(strings.TrimLeft(line, " \"\t"), "-")
			continue
		case e.Identifier == aclOwner:
			owners = append(owners, e)
		}
		out = append(out, e)
	}
	if closed {
		return owners
	}
	return out
}

// parsePeerACL reads a line. Rights that only Dovecot has, which come behind a
// colon, are left out; so is a line whose identifier means nobody here.
func parsePeerACL(line string) (e ACLEntry, ok bool) {
	line = strings.TrimSpace(line)
	id, rest, _ := strings.Cut(line, " ")
	if strings.HasPrefix(line, `"`) {
		if id, rest, ok = strings.Cut(line[1:], `"`); !ok {
			return e, false
		}
	}
	id, e.Negative = strings.CutPrefix(id, "-")
	name, isUser := strings.CutPrefix(id, "user=")
	switch {
	case isUser && name != "" && len(name) <= 255 && !strings.ContainsAny(name, "\t\r\n\x00"):
		e.Identifier = name
	case id == aclOwner || id == aclAnyone:
		e.Identifier = id
	case id == "authenticated": // everybody who comes here is
		e.Identifier = aclAnyone
	default:
		return e, false
	}
	letters := ""
	if words := strings.Fields(rest); len(words) > 0 && words[0][0] != ':' {
		letters = words[0]
	}
	r, err := ParseRights(letters)
	e.Rights = r
	return e, err == nil
}
