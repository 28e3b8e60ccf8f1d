package tlskeys

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

func TestSchemeOf(t *testing.T) {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ed, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		pub  crypto.PublicKey
		opts crypto.SignerOpts
		want string
	}{
		{&rsa.PublicKey{}, crypto.SHA256, SchemePKCS1},
		{&rsa.PublicKey{}, &rsa.PSSOptions{Hash: crypto.SHA256}, SchemePSS},
		{ec.Public(), crypto.SHA256, SchemeECDSA},
		{ed, crypto.Hash(0), SchemeEd25519},
		{"no key", crypto.SHA256, ""},
	} {
		got, err := schemeOf(tc.pub, tc.opts)
		if got != tc.want || (err == nil) != (tc.want != "") {
			t.Errorf("schemeOf(%T) = %q, %v", tc.pub, got, err)
		}
	}
}

func TestTicketKeysRefuses(t *testing.T) {
	good := strings.Repeat("A", 43) + "="
	for _, tc := range []struct {
		name string
		l    ipc.List
		keys int
	}{
		{"one", ipc.List{}.Int("status", 0).Str("key0", good), 1},
		{"two", ipc.List{}.Int("status", 0).Str("key0", good).Str("key1", good), 2},
		{"none", ipc.List{}.Int("status", 0), 0},
		{"short", ipc.List{}.Int("status", 0).Str("key0", "AAAA"), 0},
		{"refused", ipc.List{}.Int("status", 1).Str("reason", "no"), 0},
		{"no status", ipc.List{}.Str("key0", good), 0},
	} {
		keys, err := ticketKeys(tc.l)
		if len(keys) != tc.keys || (err == nil) != (tc.keys > 0) {
			t.Errorf("%s: %d keys, %v", tc.name, len(keys), err)
		}
	}
}
