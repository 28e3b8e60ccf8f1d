package mime

// Addresses says whose addresses a header has.
type Addresses int

// The kinds of headers.
const (
	NoAddresses Addresses = iota
	Senders
	Recipients
)

// AddressesOf classifies the headers whose addresses are rewritten on their way
// through the mail system. Names are in lower case. Whom a resender asks for
// answers is a recipient, other than the author's Reply-To: sites have their
// canonical maps for Postfix's classes.
func AddressesOf(name string) Addresses {
	switch name {
	case "from", "sender", "reply-to", "errors-to", "return-path", "return-receipt-to",
		"disposition-notification-to", "mail-followup-to", "resent-from", "resent-sender":
		return Senders
	case "to", "cc", "bcc", "apparently-to", "resent-to", "resent-cc", "resent-bcc", "resent-reply-to":
		return Recipients
	}
	return NoAddresses
}
