package address

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrIDN reports a domain that has no A-label form, or none that can be told
// without tables for normalisation.
var ErrIDN = errors.New("not an internationalised domain name")

// ToASCII returns a domain with each U-label as its A-label (RFC 5891 4),
// which is what tables of domains and the DNS are asked for. Upper case and
// full-width forms are mapped first (RFC 5895 2). Domains in US-ASCII come
// back as they are. Marks that would have to be composed with the letter
// before them are refused.
func ToASCII(domain string) (string, error) {
	if isASCII(domain) {
		return domain, nil
	}
	if len(domain) > 1024 || !utf8.ValidString(domain) {
		return "", fmt.Errorf("%w: not UTF-8 or too long", ErrIDN)
	}
	mapped, err := mapDomain(domain)
	if err != nil {
		return "", err
	}
	labels := strings.Split(mapped, ".")
	total := len(labels) - 1
	for i, label := range labels {
		if isASCII(label) {
			total += len(label)
			continue
		}
		encoded, err := encodePunycode(label)
		if err != nil {
			return "", err
		}
		labels[i] = "xn--" + encoded
		if len(labels[i]) > 63 {
			return "", fmt.Errorf("%w: label too long", ErrIDN)
		}
		total += len(labels[i])
	}
	if total > 255 {
		return "", fmt.Errorf("%w: name too long", ErrIDN)
	}
	return strings.Join(labels, "."), nil
}

// mapDomain lowers case, and maps full-width forms and the ideographic full
// stops.
func mapDomain(domain string) (string, error) {
	var b strings.Builder
	for _, r := range domain {
		switch {
		case r == 0x3002 || r == 0xff0e || r == 0xff61:
			r = '.'
		case r >= 0xff01 && r <= 0xff5e:
			r -= 0xff01 - '!'
		}
		r = unicode.ToLower(r)
		if !allowedRune(r) {
			return "", fmt.Errorf("%w: character %U", ErrIDN, r)
		}
		b.WriteRune(r)
	}
	return b.String(), nil
}

// allowedRune is a close subset of the code points that RFC 5892 allows.
func allowedRune(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return isAlnum(byte(r)) || r == '-' || r == '.' || r == '_'
	case r >= 0x300 && r <= 0x36f: // would compose in NFC
		return false
	case r == 0xb7 || r == 0x375 || r == 0x5f3 || r == 0x5f4 || r == 0x30fb:
		return true
	}
	return unicode.In(r, unicode.Ll, unicode.Lo, unicode.Lm, unicode.Mn, unicode.Mc, unicode.Nd)
}

// Parameters of punycode (RFC 3492 5).
const (
	punyBase, punyTMin, punyTMax  = 36, 1, 26
	punySkew, punyDamp            = 38, 700
	punyInitialBias, punyInitialN = 72, 128
)

// encodePunycode is the encoding procedure of RFC 3492 6.3.
func encodePunycode(label string) (string, error) {
	runes := []rune(label)
	var out []byte
	for _, r := range runes {
		if r < utf8.RuneSelf {
			out = append(out, byte(r))
		}
	}
	basic := len(out)
	if basic > 0 {
		out = append(out, '-')
	}
	n, delta, bias := rune(punyInitialN), 0, punyInitialBias
	for done := basic; done < len(runes); {
		next := rune(unicode.MaxRune)
		for _, r := range runes {
			if r >= n && r < next {
				next = r
			}
		}
		delta += int(next-n) * (done + 1)
		if delta < 0 || delta > 1<<30 {
			return "", fmt.Errorf("%w: overflow", ErrIDN)
		}
		n = next
		for _, r := range runes {
			if r < n {
				delta++
			}
			if r != n {
				continue
			}
			out = appendPunyInt(out, delta, bias)
			bias = adaptPuny(delta, done+1, done == basic)
			delta = 0
			done++
		}
		delta++
		n++
	}
	return string(out), nil
}

func appendPunyInt(out []byte, q, bias int) []byte {
	for k := punyBase; ; k += punyBase {
		t := min(max(k-bias, punyTMin), punyTMax)
		if q < t {
			return append(out, punyDigit(q))
		}
		out = append(out, punyDigit(t+(q-t)%(punyBase-t)))
		q = (q - t) / (punyBase - t)
	}
}

func punyDigit(d int) byte {
	if d < 26 {
		return byte('a' + d)
	}
	return byte('0' + d - 26)
}

func adaptPuny(delta, points int, first bool) int {
	if first {
		delta /= punyDamp
	} else {
		delta /= 2
	}
	delta += delta / points
	k := 0
	for ; delta > (punyBase-punyTMin)*punyTMax/2; k += punyBase {
		delta /= punyBase - punyTMin
	}
	return k + (punyBase-punyTMin+1)*delta/(delta+punySkew)
}
