package main

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/authclient"
)

func signed(t *testing.T, key *rsa.PrivateKey, email string) string {
	t.Helper()
	payload, _ := json.Marshal(map[string]any{"iss": "https://id.test", "aud": "mail", "exp": time.Now().Add(time.Hour).Unix(), "email": email})
	enc := base64.RawURLEncoding.EncodeToString
	text := enc([]byte(`{"alg":"RS256"}`)) + "." + enc(payload)
	digest := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + enc(sig)
}

// TestTokens logs in with tokens of an issuer, who changes the key.
func TestTokens(t *testing.T) {
	file := filepath.Join(t.TempDir(), "issuer.pem")
	newKey := func() *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		der, _ := x509.MarshalPKIXPublicKey(key.Public())
		os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o644)
		return key
	}
	key := newKey()
	r := startRig(t, func(p *params) {
		p.OAuth = oauthParams{Keys: []string{file}, Issuers: []string{"https://id.test"}, Audiences: []string{"mail"}, Claims: []string{"email"}}
	}, line(t, "ann@d.test", "SHA256", "x", ""))
	login := func(m, message string) authclient.Outcome {
		t.Helper()
		x, step, err := r.Begin(context.Background(), peer("smtp"), m, []byte(message))
		if err == nil && step.Outcome == authclient.Continue {
			step, err = x.Next(context.Background(), []byte{1})
		}
		if err != nil {
			t.Fatal(err)
		}
		return step.Outcome
	}
	bearer := func(authzid, token string) string { return "n,a=" + authzid + ",\x01auth=Bearer " + token + "\x01\x01" }
	for _, tc := range []struct {
		name, mechanism, message string
		want                     authclient.Outcome
	}{
		{"right", "OAUTHBEARER", bearer("ann@d.test", signed(t, key, "ann@d.test")), authclient.OK},
		{"XOAUTH2", "XOAUTH2", "user=ann@d.test\x01auth=Bearer " + signed(t, key, "Ann@d.test") + "\x01\x01", authclient.OK},
		{"as another", "OAUTHBEARER", bearer("eve@d.test", signed(t, key, "ann@d.test")), authclient.Failed},
		{"unknown", "OAUTHBEARER", bearer("eve@d.test", signed(t, key, "eve@d.test")), authclient.Failed},
		{"garbage", "OAUTHBEARER", bearer("ann@d.test", "abc"), authclient.Failed},
	} {
		if got := login(tc.mechanism, tc.message); got != tc.want {
			t.Errorf("%s: %v", tc.name, got)
		}
	}
	old := bearer("ann@d.test", signed(t, key, "ann@d.test"))
	key = newKey()
	r.server.tokens.tried = time.Time{}
	if got := login("OAUTHBEARER", old); got != authclient.Failed {
		t.Errorf("the old key: %v", got)
	}
	if got := login("OAUTHBEARER", bearer("ann@d.test", signed(t, key, "ann@d.test"))); got != authclient.OK {
		t.Errorf("the new key: %v", got)
	}
}
