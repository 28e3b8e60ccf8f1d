package main

import (
	"bytes"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
)

// sure is what one client was found to own lately. It is good for as long as the
// record of the user is, about a second: the next one is another (see accounts).
type sure struct {
	user *authclient.User
	addr string // an address of the user
	// field is one of the fields that say who wrote a message, and has
	// addresses of the user only; author is the first.
	field  []byte
	author string
}

// maxSureField bounds what is kept of a field.
const maxSureField = 512

// owns reports whether an address is known to be the user's.
func (k *sure) owns(u *authclient.User, addr string) bool {
	return u != nil && k.user == u && k.addr == addr && addr != ""
}

// found notes an address of the user.
func (k *sure) found(u *authclient.User, addr string) {
	if k.of(u) {
		k.addr = addr
	}
}

// authorOf returns the first author of a field that is known to have none but the
// user, "" if that is not known.
func (k *sure) authorOf(u *authclient.User, f *field) string {
	if u == nil || k.user != u || !bytes.Equal(k.field, f.text) {
		return ""
	}
	return k.author
}

// wrote notes a field.
func (k *sure) wrote(u *authclient.User, f *field, author string) {
	if len(f.text) <= maxSureField && k.of(u) {
		k.field, k.author = append(k.field[:0], f.text...), author
	}
}

// of forgets what was found by another record. It reports whether there is one
// now.
func (k *sure) of(u *authclient.User) bool {
	if k.user != u {
		*k = sure{user: u, field: k.field[:0]}
	}
	return u != nil
}
