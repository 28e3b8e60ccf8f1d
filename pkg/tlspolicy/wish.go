package tlspolicy

// Require returns the policy for a message that requires TLS (RFC 8689
// section 4.2.1): the certificate must be verified, whatever the site asks of
// other mail. named reports that the server's name is known for sure, from the
// configuration or by DNSSEC; without that, its certificate must be in the
// name of the next hop itself. A site that asks for as much already has its
// own way.
func (p *Policy) Require(named bool) *Policy {
	if p.Level == LevelFingerprint || p.Level == LevelSecure || p.Level == LevelVerify && named {
		return p
	}
	q := *p
	if !p.Level.Required() {
		q.s = p.e.must
	}
	q.Level, q.match = LevelSecure, p.e.p.SecureMatch
	if named {
		q.Level, q.match = LevelVerify, []string{"hostname"}
	}
	return &q
}

// Relax returns the policy for a message that would rather go without TLS than
// not at all (RFC 8689 section 4.2.2).
func (p *Policy) Relax() *Policy {
	if p.Level <= LevelMay {
		return p
	}
	q := *p
	q.Level, q.match, q.s = LevelMay, nil, p.e.may
	return &q
}
