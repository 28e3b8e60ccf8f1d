package envelope

import "strings"

// VERP returns the sender address that names the recipient, so that a bounce
// tells by its own address whose it is: with the delimiters "+=",
// list+user=domain@origin. The recipient is the one that the sender gave,
// since that is the one that it knows.
func VERP(sender, delimiters string, rcpt *Recipient) string {
	if len(delimiters) != 2 || sender == "" {
		return sender
	}
	addr := rcpt.Original
	if addr == "" {
		addr = rcpt.Address
	}
	local, origin := cutLast(sender)
	user, domain := cutLast(addr)
	if domain != "" {
		domain = delimiters[1:] + domain[1:]
	}
	return local + delimiters[:1] + user + domain + origin
}

// cutLast cuts before the last "@".
func cutLast(addr string) (local, at string) {
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		return addr[:i], addr[i:]
	}
	return addr, ""
}

// ValidVERP reports whether delimiters for VERP are two of the permitted
// characters (verp_delimiter_filter).
func ValidVERP(delimiters, permitted string) bool {
	return len(delimiters) == 2 && strings.IndexByte(permitted, delimiters[0]) >= 0 &&
		strings.IndexByte(permitted, delimiters[1]) >= 0
}
