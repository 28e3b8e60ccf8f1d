package sasl

import (
	"crypto/hmac"
	"hash"
	"strings"
)

// SCRAMServer says how a server does SCRAM.
type SCRAMServer struct {
	Mechanism string
	Binding   Binding
	// PlusOffered: a mechanism with channel binding was among those that the
	// client was shown.
	PlusOffered bool
	// Lookup returns the keys of a login. For one that has none they are made
	// up, see [MadeUp], so that the exchange goes on to its end.
	Lookup func(login string) (Keys, error)
	// Done is asked last, with whether the proof was right.
	Done func(authzid, login string, right bool) error
}

// scramServer is one exchange.
type scramServer struct {
	SCRAMServer
	hash func() hash.Hash
	step int

	gs2       string // header of the client's first message
	flag      string
	authzid   string
	login     string
	firstBare string
	nonce     string
	first     string // our first message
	keys      Keys
}

// NewSCRAM starts an exchange; nil is no SCRAM mechanism.
func NewSCRAM(o SCRAMServer) Server {
	h := scramHash(o.Mechanism)
	if h == nil {
		return nil
	}
	return &scramServer{SCRAMServer: o, hash: h}
}

func (s *scramServer) Next(message []byte) ([]byte, bool, error) {
	if s.step == 0 && message == nil {
		return []byte{}, false, nil
	}
	s.step++
	switch s.step {
	case 1:
		return s.clientFirst(string(message))
	case 2:
		return s.clientFinal(string(message))
	case 3:
		// The client has seen our signature and has nothing to say.
		if len(message) > 0 {
			return nil, false, errMalformed
		}
		return nil, true, nil
	}
	return nil, false, errState
}

func (s *scramServer) clientFirst(m string) ([]byte, bool, error) {
	second := strings.IndexByte(m, ',') + 1
	if second == 0 {
		return nil, false, errMalformed
	}
	end := strings.IndexByte(m[second:], ',')
	if end < 0 {
		return nil, false, errMalformed
	}
	s.gs2, s.firstBare = m[:second+end+1], m[second+end+1:]
	var err error
	if s.flag, s.authzid, err = parseGS2(s.gs2); err != nil {
		return nil, false, err
	}
	if err := s.checkFlag(); err != nil {
		return nil, false, err
	}
	// RFC 5802 5.1: m= in front is an extension that must be understood, and
	// so it fails here for not being n=.
	attrs, err := attributes(s.firstBare, "nr")
	if err != nil {
		return nil, false, err
	}
	if s.login, err = unescape(attrs[0]); err != nil || !validName(s.login) {
		return nil, false, errMalformed
	}
	if s.authzid == s.login {
		s.authzid = ""
	}
	if !validNonce(attrs[1]) {
		return nil, false, errMalformed
	}
	if s.keys, err = s.Lookup(s.login); err != nil {
		return nil, false, err
	}
	s.nonce = attrs[1] + nonce()
	s.first = serverFirst(s.nonce, s.keys)
	return []byte(s.first), false, nil
}

// validNonce wants printable characters without a comma.
func validNonce(n string) bool {
	for _, c := range []byte(n) {
		if c < 0x21 || c > 0x7e || c == ',' {
			return false
		}
	}
	return n != "" && len(n) <= 256
}

// checkFlag checks the client's word about channel binding (RFC 5802 6).
func (s *scramServer) checkFlag() error {
	kind, binds := strings.CutPrefix(s.flag, "p=")
	switch {
	case IsPlus(s.Mechanism) && !binds:
		return refusal("no channel binding in a -PLUS mechanism")
	case binds && !IsPlus(s.Mechanism):
		return refusal("channel binding without -PLUS")
	case binds && len(s.Binding.data(kind)) == 0:
		return refusal("no such channel binding")
	case s.flag == "y" && s.PlusOffered:
		return refusal("somebody hid the -PLUS mechanisms from the client")
	case !binds && s.flag != "y" && s.flag != "n":
		return errMalformed
	}
	return nil
}

func (s *scramServer) clientFinal(m string) ([]byte, bool, error) {
	i := strings.LastIndex(m, ",p=")
	if i < 0 {
		return nil, false, errMalformed
	}
	without := m[:i]
	proof, err := decode64(m[i+3:])
	if err != nil || len(proof) != s.hash().Size() {
		return nil, false, errMalformed
	}
	attrs, err := attributes(without, "cr")
	if err != nil {
		return nil, false, err
	}
	bound := []byte(s.gs2)
	if kind, ok := strings.CutPrefix(s.flag, "p="); ok {
		bound = append(bound, s.Binding.data(kind)...)
	}
	said, err := decode64(attrs[0])
	if err != nil {
		return nil, false, err
	}
	authMessage := s.firstBare + "," + s.first + "," + without
	signature := hmacOf(s.hash, s.keys.StoredKey, authMessage)
	right := len(s.keys.StoredKey) == len(proof) &&
		hmac.Equal(hashOf(s.hash, xor(proof, signature)), s.keys.StoredKey)
	// The nonce and the binding are looked at together with the proof, so
	// that each of them fails alike.
	right = hmac.Equal(said, bound) && hmac.Equal([]byte(attrs[1]), []byte(s.nonce)) && right
	if err := s.Done(s.authzid, s.login, right); err != nil {
		return nil, false, err
	}
	if !right {
		return nil, false, ErrFailed
	}
	return []byte("v=" + encode64(hmacOf(s.hash, s.keys.ServerKey, authMessage))), false, nil
}
