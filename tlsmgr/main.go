// Tlsmgr keeps the private TLS keys and signs with them.
//
// # Synopsis
//
//	tlsmgr [generic daemon options]
//
// # Description
//
// The TLS key manager loads the certificates and keys that smtpd_tls_cert_file,
// smtpd_tls_key_file, smtpd_tls_eccert_file, smtpd_tls_eckey_file and
// smtpd_tls_chain_files name, before it gives up root. Servers ask it for
// certificate chains, for signatures, and for session ticket keys, which
// change every hour and differ from service to service.
//
// When the files of a pair have changed, the process retires a few seconds
// later and its successor loads the new ones: a renewed certificate is in use
// at once, without a reload. When only the certificate or only the key has
// changed, the old pair stays in use for a minute more, so that the other
// file can follow.
//
// At its start the process waits some seconds for a certificate that does not
// fit its key. If it still does not, it is logged, and the last form of the
// pair that did fit is used, until the files change again or it expires. It
// is kept in the directory tls of the queue directory, for root alone, and
// removed when the configuration names the files no more. A pair of which a
// file is missing, or that never fitted, is left out and does not keep the
// others from being used; without any, servers answer STARTTLS with a
// temporary error.
//
// It also keeps the DKIM keys, which dkim_key_table lists, and signs messages
// with them for submission(8). They are a class of their own: a request for one
// kind of signature never reaches a key of the other. Only
// submission_owner and root get DKIM signatures. See "posthouse dkim".
//
// # Security
//
// A private key never leaves this process. It runs with its own user
// (parameter tls_owner), without a network, and answers only to the servers
// of the mail system.
//
// # Parameters
//
// smtpd_tls_cert_file, smtpd_tls_key_file, smtpd_tls_eccert_file,
// smtpd_tls_eckey_file, smtpd_tls_chain_files, dkim_key_table, tls_owner,
// submission_owner
//
// # See also
//
// posthouse(8), smtpd(8), submission(8), postconf(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name: "tlsmgr", About: "keeps the private TLS keys and signs with them",
		Kind: service.Stream, Jail: jail.Keys,
		Solitary: true, Permanent: true, Login: true, Submission: true, Prepare: prepare,
	})
}
