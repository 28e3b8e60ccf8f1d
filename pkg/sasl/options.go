package sasl

import (
	"fmt"
	"strings"
)

// Options are the properties that a mechanism must have: the values of
// smtp_sasl_security_options and its relatives.
type Options map[string]bool

// ParseOptions reads the words of such a parameter.
func ParseOptions(words []string) (Options, error) {
	o := Options{}
	for _, w := range words {
		switch w = strings.ToLower(w); w {
		case "noplaintext", "noactive", "nodictionary", "noanonymous", "forward_secrecy", "mutual_auth":
			o[w] = true
		default:
			return nil, fmt.Errorf("bad value %q", w)
		}
	}
	return o, nil
}

// Allow reports whether a mechanism has the wanted properties.
func (o Options) Allow(mechanism string) bool {
	m := strings.ToUpper(mechanism)
	scram := IsSCRAM(m)
	clear := Cleartext(m)
	challenge := m == CRAMMD5 || m == "DIGEST-MD5"
	switch {
	case o["noanonymous"] && m == "ANONYMOUS":
		return false
	case (o["noplaintext"] || o["noactive"]) && clear, o["nodictionary"] && (clear || challenge || scram),
		o["forward_secrecy"] && m != External, o["mutual_auth"] && !scram && m != "GSSAPI":
		return false
	}
	return true
}
