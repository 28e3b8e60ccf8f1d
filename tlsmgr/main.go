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
// When one of the files changes, the process retires a few seconds later and
// its successor loads the new ones: a renewed certificate is in use at once,
// without a reload.
//
// A certificate that does not fit its key is logged and left out; it does not
// keep the others from being used.
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
// smtpd_tls_eckey_file, smtpd_tls_chain_files, tls_owner
//
// # See also
//
// smtpd(8), postconf(5)
package main

import (
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	service.Main(service.Daemon{
		Name: "tlsmgr", Kind: service.Stream, Jail: jail.Keys,
		Solitary: true, Permanent: true, Prepare: prepare,
	})
}
