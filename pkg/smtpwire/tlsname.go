package smtpwire

import (
	"fmt"
	"strings"
)

// DescribeCipher returns "TLSv1.3 with cipher NAME (bits/bits bits)", with
// the names that Postfix's log lines and Received headers have. The numbers
// are those of crypto/tls, which this package does not link.
func DescribeCipher(version, suite uint16) string {
	v := map[uint16]string{0x0301: "TLSv1", 0x0302: "TLSv1.1", 0x0303: "TLSv1.2", 0x0304: "TLSv1.3"}[version]
	if v == "" {
		v = fmt.Sprintf("0x%04x", version)
	}
	name, bits := cipherName(suite)
	return fmt.Sprintf("%s with cipher %s (%d/%d bits)", v, name, bits, bits)
}

// cipherName returns OpenSSL's name of a cipher suite and its strength.
func cipherName(suite uint16) (string, int) {
	name, ok := map[uint16]string{
		0x1301: "TLS_AES_128_GCM_SHA256", 0x1302: "TLS_AES_256_GCM_SHA384", 0x1303: "TLS_CHACHA20_POLY1305_SHA256",
		0xc02f: "ECDHE-RSA-AES128-GCM-SHA256", 0xc030: "ECDHE-RSA-AES256-GCM-SHA384", 0xcca8: "ECDHE-RSA-CHACHA20-POLY1305",
		0xc02b: "ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02c: "ECDHE-ECDSA-AES256-GCM-SHA384", 0xcca9: "ECDHE-ECDSA-CHACHA20-POLY1305",
		0xc013: "ECDHE-RSA-AES128-SHA", 0xc014: "ECDHE-RSA-AES256-SHA", 0xc009: "ECDHE-ECDSA-AES128-SHA", 0xc00a: "ECDHE-ECDSA-AES256-SHA",
		0xc027: "ECDHE-RSA-AES128-SHA256", 0xc023: "ECDHE-ECDSA-AES128-SHA256",
		0x009c: "AES128-GCM-SHA256", 0x009d: "AES256-GCM-SHA384", 0x002f: "AES128-SHA", 0x0035: "AES256-SHA", 0x003c: "AES128-SHA256",
	}[suite]
	if !ok {
		name = fmt.Sprintf("0x%04x", suite)
	}
	if strings.Contains(name, "256_") || strings.Contains(name, "AES256") || strings.Contains(name, "CHACHA20") {
		return name, 256
	}
	return name, 128
}
