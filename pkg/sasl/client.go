package sasl

import (
	"crypto/hmac"
	"errors"
	"hash"
	"strconv"
	"strings"

	gosasl "github.com/emersion/go-sasl"
)

// ClientOptions are what a client logs in with.
type ClientOptions struct {
	Login, Password string
	Authzid         string
	Binding         Binding
	// Allowed says which mechanisms may be used; nil allows all that this
	// package has.
	Allowed func(mechanism string) bool
}

// ErrNoMechanism reports that client and server have no mechanism in common.
var ErrNoMechanism = errors.New("no worthy mechs found")

// NewClient chooses the best mechanism of those that a server offers.
func NewClient(offered []string, o ClientOptions) (Client, error) {
	has := map[string]bool{}
	for _, m := range offered {
		has[strings.ToUpper(m)] = true
	}
	plus := has[SCRAMSHA1Plus] || has[SCRAMSHA256Plus]
	for _, m := range Mechanisms() {
		if !has[m] || o.Allowed != nil && !o.Allowed(m) {
			continue
		}
		if c := newClient(m, plus, o); c != nil {
			return c, nil
		}
	}
	return nil, ErrNoMechanism
}

func newClient(mechanism string, plusOffered bool, o ClientOptions) Client {
	switch mechanism {
	case Plain:
		return gosasl.NewPlainClient(o.Authzid, o.Login, o.Password)
	case Login:
		return &loginClient{o: o}
	case CRAMMD5:
		return &cramClient{o: o}
	case SCRAMSHA1, SCRAMSHA256, SCRAMSHA1Plus, SCRAMSHA256Plus:
		if IsPlus(mechanism) && !o.Binding.Any() {
			return nil
		}
		return &scramClient{mechanism: mechanism, plusOffered: plusOffered, o: o, hash: scramHash(mechanism)}
	}
	return nil
}

// errServer reports a server that does not keep to its mechanism.
func errServer(what string) error { return errors.New("sasl: the server sent " + what) }

// loginClient answers by what it was asked before, not by the words, which
// differ from server to server.
type loginClient struct {
	o    ClientOptions
	step int
}

func (c *loginClient) Start() (string, []byte, error) { return Login, nil, nil }

func (c *loginClient) Next([]byte) ([]byte, error) {
	c.step++
	switch c.step {
	case 1:
		return []byte(c.o.Login), nil
	case 2:
		return []byte(c.o.Password), nil
	}
	return nil, errServer("a third question")
}

type cramClient struct {
	o    ClientOptions
	done bool
}

func (c *cramClient) Start() (string, []byte, error) { return CRAMMD5, nil, nil }

func (c *cramClient) Next(challenge []byte) ([]byte, error) {
	if c.done || len(challenge) > MaxMessage {
		return nil, errServer("a second challenge")
	}
	c.done = true
	return []byte(c.o.Login + " " + cramDigest(c.o.Password, string(challenge))), nil
}

// scramClient is RFC 5802 5.
type scramClient struct {
	mechanism   string
	plusOffered bool
	o           ClientOptions
	hash        func() hash.Hash

	step      int
	gs2       string
	bound     []byte
	firstBare string
	nonce     string
	want      []byte // the signature of the server
}

// Start says who we are.
func (c *scramClient) Start() (string, []byte, error) {
	flag := "n"
	switch {
	case IsPlus(c.mechanism) && len(c.o.Binding.Exporter) > 0:
		flag, c.bound = "p=tls-exporter", c.o.Binding.Exporter
	case IsPlus(c.mechanism):
		flag, c.bound = "p=tls-server-end-point", c.o.Binding.Endpoint
	case c.o.Binding.Any() && !c.plusOffered:
		flag = "y" // we could have
	}
	c.gs2 = flag + ","
	if c.o.Authzid != "" {
		c.gs2 += "a=" + escape(c.o.Authzid)
	}
	c.gs2 += ","
	c.nonce = nonce()
	c.firstBare = "n=" + escape(Prepare(c.o.Login)) + ",r=" + c.nonce
	return c.mechanism, []byte(c.gs2 + c.firstBare), nil
}

// Next answers the server.
func (c *scramClient) Next(challenge []byte) ([]byte, error) {
	if len(challenge) > MaxMessage {
		return nil, errServer("too long a message")
	}
	c.step++
	switch c.step {
	case 1:
		return c.final(string(challenge))
	case 2:
		v, ok := strings.CutPrefix(string(challenge), "v=")
		sig, err := decode64(v)
		if !ok || err != nil || !hmac.Equal(sig, c.want) {
			return nil, errServer("a wrong signature: it does not know the password")
		}
		return []byte{}, nil
	}
	return nil, errServer("a message after the end")
}

func (c *scramClient) final(first string) ([]byte, error) {
	attrs, err := attributes(first, "rsi")
	if err != nil {
		return nil, errServer("a malformed message")
	}
	// The nonce must be ours with something added, or an old answer could be
	// played back to us.
	if !strings.HasPrefix(attrs[0], c.nonce) || len(attrs[0]) == len(c.nonce) || !validNonce(attrs[0]) {
		return nil, errServer("a nonce that is not ours")
	}
	salt, err := decode64(attrs[1])
	if err != nil || len(salt) == 0 {
		return nil, errServer("a malformed salt")
	}
	n, err := strconv.Atoi(attrs[2])
	if err != nil || n < MinIterations || n > MaxIterations {
		return nil, errServer("an iteration count that is too low or too high")
	}
	p, err := salted(c.hash, Prepare(c.o.Password), salt, n)
	if err != nil {
		return nil, err
	}
	clientKey := hmacOf(c.hash, p, "Client Key")
	without := "c=" + encode64(append([]byte(c.gs2), c.bound...)) + ",r=" + attrs[0]
	authMessage := c.firstBare + "," + first + "," + without
	proof := xor(clientKey, hmacOf(c.hash, hashOf(c.hash, clientKey), authMessage))
	c.want = hmacOf(c.hash, hmacOf(c.hash, p, "Server Key"), authMessage)
	return []byte(without + ",p=" + encode64(proof)), nil
}
