// Pamd has PAM check passwords, for authd.
//
// # Synopsis
//
//	pamd [generic daemon options]
//
// # Description
//
// Authd(8) with the source pam in auth_sources checks the passwords of system
// accounts by way of pamd, which starts the helper authd-pam for each: modules of
// PAM are C libraries of which most want to be root, and authd is neither linked
// with C nor root. The helper comes with `make pam`, and pamd does not start
// without it. In master.cf:
//
//	pam  unix  -  n  n  -  1  pamd -o client_limit=1000
//
// The service of PAM is a file in /etc/pam.d, posthouse by default; see
// auth_pam_service. On Debian it may be
//
//	@include common-auth
//	@include common-account
//
// Account management counts: who has expired, or is not let in by a module like
// pam_access(8), does not log in. A helper that takes longer than
// auth_pam_time_limit is ended, and the login gets a temporary failure.
//
// # Security
//
// Root with few rights, as it starts processes that need them. It listens to
// authd's user and to root, and to no other part of the mail system: the delays
// for guesses are authd's. It opens no file and keeps no password. At most twenty
// helpers run at the same time; each gets one question on its standard input and
// no environment, and is killed with pamd. What the modules started ends with their
// helper.
//
// # Parameters
//
// auth_owner, auth_pam_time_limit, daemon_directory
//
// # See also
//
// authd(8), pam(7), pam.d(5), postconf(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name: "pamd", About: "has PAM check passwords, for authd",
		Kind: service.Stream, Jail: jail.Parent, Auth: true, Prepare: prepare,
	})
}
