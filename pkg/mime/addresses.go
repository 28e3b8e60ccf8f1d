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
// through the mail system. Names are in lower case, without "resent-".
func AddressesOf(name string) Addresses {
	switch name {
	case "from", "sender", "reply-to", "errors-to", "return-receipt-to",
		"disposition-notification-to", "mail-followup-to":
		return Senders
	case "to", "cc", "bcc", "apparently-to", "mail-reply-to":
		return Recipients
	}
	return NoAddresses
}
