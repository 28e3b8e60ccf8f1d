package address

import "strings"

// Options says which local parts are never split at a delimiter.
type Options struct {
	// Delimiters is recipient_delimiter: each character is one.
	Delimiters string
	// OwnerRequestSpecial is owner_request_special: owner-name and
	// name-request are not split at '-'.
	OwnerRequestSpecial bool
	// DoubleBounce is double_bounce_sender, a name that is kept whole.
	DoubleBounce string
}

// SplitExtension cuts a local part in internal form into its base and its
// extension at the first of the delimiters, with the rules of
// owner_request_special. The extension comes without the delimiter; ok tells
// an empty extension ("user+") from none.
func SplitExtension(local, delims string) (base, ext string) {
	base, ext, _ = Options{Delimiters: delims, OwnerRequestSpecial: true}.Split(local)
	return base, ext
}

// Split cuts a local part into base and extension. ok is false, and base the
// whole local part, where there is no extension. The delimiter itself is
// local[len(base)].
func (o Options) Split(local string) (base, ext string, ok bool) {
	if o.Delimiters == "" || o.whole(local) {
		return local, "", false
	}
	i := strings.IndexAny(local, o.Delimiters)
	// A delimiter in first place would leave no name.
	if i <= 0 {
		return local, "", false
	}
	return local[:i], local[i+1:], true
}

// whole reports names that have a meaning as they stand.
func (o Options) whole(local string) bool {
	if strings.EqualFold(local, "postmaster") || strings.EqualFold(local, "mailer-daemon") {
		return true
	}
	if o.DoubleBounce != "" && strings.EqualFold(local, o.DoubleBounce) {
		return true
	}
	if o.OwnerRequestSpecial && strings.Contains(o.Delimiters, "-") {
		lower := strings.ToLower(local)
		if strings.HasPrefix(lower, "owner-") && len(lower) > len("owner-") {
			return true
		}
		if strings.HasSuffix(lower, "-request") && len(lower) > len("-request") {
			return true
		}
	}
	return false
}

// SplitAddress cuts an address in internal form: base@domain and the
// extension. ok is as in [Options.Split].
func (o Options) SplitAddress(addr string) (base, ext string, ok bool) {
	local, domain := Split(addr)
	base, ext, ok = o.Split(local)
	if !ok {
		return addr, "", false
	}
	if HasDomain(addr) {
		base += "@" + domain
	}
	return base, ext, true
}
