package tlspolicy

import (
	"crypto/tls"
	"fmt"
	"strings"
)

// versions are the protocols that exist here, oldest first. OpenSSL's older
// ones are known by name, so that "!SSLv2" is no error.
var versions = []struct {
	name string
	id   uint16
}{
	{"sslv2", 0}, {"sslv3", 0},
	{"tlsv1", tls.VersionTLS10}, {"tlsv1.1", tls.VersionTLS11}, {"tlsv1.2", tls.VersionTLS12}, {"tlsv1.3", tls.VersionTLS13},
}

func versionIndex(name string) (int, error) {
	name = strings.ToLower(strings.TrimSpace(name))
	for i, v := range versions {
		if v.name == name || v.id != 0 && fmt.Sprintf("%04x", v.id) == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("unknown TLS protocol %q", name)
}

// ProtocolRange maps a list of protocols as in smtp_tls_protocols (">=TLSv1",
// "!SSLv3", "TLSv1.2") onto the versions of crypto/tls. Of a list with holes
// it takes the highest run.
func ProtocolRange(list []string) (lowest, highest uint16, err error) {
	var include, exclude [8]bool
	any := false
	first, last := 0, len(versions)-1
	for _, w := range list {
		w = strings.TrimSpace(w)
		switch {
		case w == "":
		case strings.HasPrefix(w, ">="):
			first, err = versionIndex(w[2:])
		case strings.HasPrefix(w, "<="):
			last, err = versionIndex(w[2:])
		case strings.HasPrefix(w, "!"):
			var i int
			if i, err = versionIndex(w[1:]); err == nil {
				exclude[i] = true
			}
		default:
			var i int
			if i, err = versionIndex(w); err == nil {
				include[i], any = true, true
			}
		}
		if err != nil {
			return 0, 0, err
		}
	}
	for i := len(versions) - 1; i >= 0; i-- {
		on := i >= first && i <= last && !exclude[i] && (!any || include[i]) && versions[i].id != 0
		switch {
		case on:
			lowest = versions[i].id
			if highest == 0 {
				highest = versions[i].id
			}
		case highest != 0:
			return lowest, highest, nil
		}
	}
	if highest == 0 {
		return 0, 0, fmt.Errorf("no TLS protocol left in %q", strings.Join(list, ", "))
	}
	return lowest, highest, nil
}

// Ciphers returns the suites of a grade (high, medium and so on) without the
// excluded ones, for TLS up to 1.2. nil stands for crypto/tls's own choice.
func Ciphers(grade string, exclude []string) ([]uint16, error) {
	weak := false
	switch strings.ToLower(grade) {
	case "high", "strong", "ultra":
	case "medium", "low", "export", "null", "":
		weak = true
	default:
		return nil, fmt.Errorf("invalid TLS cipher grade: %q", grade)
	}
	suites := tls.CipherSuites()
	if weak {
		suites = append(suites, tls.InsecureCipherSuites()...)
	}
	var ids []uint16
	for _, s := range suites {
		if strings.Contains(s.Name, "RC4") || strings.Contains(s.Name, "3DES") || excluded(s.Name, exclude) {
			continue
		}
		ids = append(ids, s.ID)
	}
	if len(ids) == 0 {
		return nil, fmt.Errorf("no TLS cipher left")
	}
	if !weak && len(exclude) == 0 {
		return nil, nil
	}
	return ids, nil
}

// excluded reports whether one of OpenSSL's cipher words is about a suite. A
// word with '+' means all of its parts.
func excluded(suite string, words []string) bool {
	for _, w := range words {
		all := true
		for part := range strings.SplitSeq(w, "+") {
			all = all && about(suite, strings.ToUpper(strings.TrimSpace(part)))
		}
		if all {
			return true
		}
	}
	return false
}

func about(suite, word string) bool {
	ecdhe := strings.HasPrefix(suite, "TLS_ECDHE_")
	switch word {
	case "":
		return false
	case "KRSA", "RSA":
		// "RSA" means RSA key exchange or signatures, as in OpenSSL.
		return strings.HasPrefix(suite, "TLS_RSA_") || word == "RSA" && strings.Contains(suite, "_RSA_")
	case "EECDH", "ECDHE", "KEECDH", "KECDHE", "ECDH":
		return ecdhe
	case "AECDSA", "ECDSA":
		return strings.Contains(suite, "_ECDSA_")
	case "ARSA":
		return strings.Contains(suite, "_RSA_")
	case "SHA", "SHA1":
		return strings.HasSuffix(suite, "_SHA")
	case "AES128", "AES256":
		return strings.Contains(suite, "AES_"+word[3:])
	case "AESGCM":
		return strings.Contains(suite, "_GCM_")
	case "CHACHA20", "AES", "CBC", "SHA256", "SHA384":
		return strings.Contains(suite, "_"+word)
	}
	return openSSLName(suite) == word
}

func technical(protocols []string, grade string, exclude []string) (settings, error) {
	var s settings
	var err error
	if s.min, s.max, err = ProtocolRange(protocols); err != nil {
		return s, err
	}
	s.ciphers, err = Ciphers(grade, exclude)
	return s, err
}
