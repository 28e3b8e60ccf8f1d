package mailstore

// Rights are those of RFC 4314 2.1.
type Rights uint16

// The rights, by their letters lrswipkxtea.
const (
	RightLookup Rights = 1 << iota
	RightRead
	RightSeen
	RightWrite
	RightInsert
	RightPost
	RightCreate
	RightDeleteMailbox
	RightDelete
	RightExpunge
	RightAdmin

	RightsAll = RightLookup | RightRead | RightSeen | RightWrite | RightInsert | RightPost | RightCreate |
		RightDeleteMailbox | RightDelete | RightExpunge | RightAdmin
)

// Has reports whether all of want are in r.
func (r Rights) Has(want Rights) bool { return r&want == want }

// mayStore takes out of a request what the user may not change. What is left
// of it is done (RFC 4314 4: STORE with some of the rights).
func (m *Mailbox) mayStore(req *StoreRequest) error {
	if m.rights.Has(RightSeen | RightWrite | RightDelete) {
		return nil
	}
	allowed := Flags(0)
	if m.rights.Has(RightSeen) {
		allowed |= Seen
	}
	if m.rights.Has(RightDelete) {
		allowed |= Deleted
	}
	if m.rights.Has(RightWrite) {
		allowed |= otherFlags
	}
	if allowed == 0 || req.Op == SetFlags {
		return ErrNoPermission
	}
	if req.Flags &= allowed; !m.rights.Has(RightWrite) {
		req.Keywords = nil
	}
	if req.Flags == 0 && len(req.Keywords) == 0 {
		return ErrNoPermission
	}
	return nil
}

const otherFlags = Answered | Flagged | Draft | Forwarded
