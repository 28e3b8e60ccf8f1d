package sasl

import (
	"bytes"
	"strings"
	"testing"

	"github.com/xdg-go/scram"
)

// server makes a SCRAM server with the user ann, whose password is pencil.
func server(t *testing.T, mechanism string, b Binding, plusOffered bool) Server {
	t.Helper()
	keys, err := MakeKeys(mechanism, "pencil", []byte("0123456789abcdef"), 4096)
	if err != nil {
		t.Fatal(err)
	}
	return NewSCRAM(SCRAMServer{Mechanism: mechanism, Binding: b, PlusOffered: plusOffered,
		Lookup: func(login string) (Keys, error) {
			switch login {
			case "ann":
				return keys, nil
			case "down":
				return Keys{}, errDown
			}
			return MadeUp(mechanism, login, []byte("secret"), 4096), nil
		},
		Done: func(authzid, login string, right bool) error {
			if authzid != "" || login != "ann" || !right {
				return ErrFailed
			}
			return nil
		}})
}

// talk runs a client against a server.
func talk(t *testing.T, s Server, start []byte, next func([]byte) ([]byte, error)) Result {
	t.Helper()
	r := Step(s, start)
	for range 3 {
		if r.Outcome != Continue {
			break
		}
		m, err := next(r.Challenge)
		if err != nil {
			return Result{Err: err}
		}
		r = Step(s, m)
	}
	return r
}

// hashes of the independent implementation.
func theirHash(mechanism string) scram.HashGeneratorFcn {
	if strings.HasPrefix(mechanism, SCRAMSHA1) {
		return scram.SHA1
	}
	return scram.SHA256
}

// TestSCRAMAgainstPeer lets the client of xdg-go/scram log in to our server,
// and ours to its server.
func TestSCRAMAgainstPeer(t *testing.T) {
	for _, mechanism := range []string{SCRAMSHA1, SCRAMSHA256, SCRAMSHA1Plus, SCRAMSHA256Plus} {
		for password, want := range map[string]Outcome{"pencil": OK, "wrong": Failed} {
			b := Binding{Exporter: []byte("exported")}
			their, err := theirHash(mechanism).NewClient("ann", password, "")
			if err != nil {
				t.Fatal(err)
			}
			conv := their.NewConversation()
			if IsPlus(mechanism) {
				conv = their.NewConversationWithChannelBinding(scram.ChannelBinding{Type: scram.ChannelBindingTLSExporter, Data: b.Exporter})
			}
			first, err := conv.Step("")
			if err != nil {
				t.Fatal(err)
			}
			r := talk(t, server(t, mechanism, b, IsPlus(mechanism)), []byte(first), func(c []byte) ([]byte, error) {
				s, err := conv.Step(string(c))
				return []byte(s), err
			})
			if r.Outcome != want || want == OK && !conv.Valid() {
				t.Errorf("%s %s: %+v valid %v", mechanism, password, r, conv.Valid())
			}
		}
	}
}

func TestSCRAMClientAgainstPeer(t *testing.T) {
	for _, mechanism := range []string{SCRAMSHA1, SCRAMSHA256} {
		keys, err := MakeKeys(mechanism, "pencil", []byte("0123456789abcdef"), 4096)
		if err != nil {
			t.Fatal(err)
		}
		their, err := theirHash(mechanism).NewServer(func(string) (scram.StoredCredentials, error) {
			return scram.StoredCredentials{KeyFactors: scram.KeyFactors{Salt: string(keys.Salt), Iters: keys.Iterations},
				StoredKey: keys.StoredKey, ServerKey: keys.ServerKey}, nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for password, want := range map[string]bool{"pencil": true, "wrong": false} {
			conv := their.NewConversation()
			c, err := NewClient([]string{mechanism}, ClientOptions{Login: "ann", Password: password})
			if err != nil {
				t.Fatal(err)
			}
			_, m, err := c.Start()
			for i := 0; err == nil && i < 2; i++ {
				var reply string
				if reply, err = conv.Step(string(m)); err == nil {
					m, err = c.Next([]byte(reply))
				}
			}
			if conv.Valid() != want || (err == nil) != want {
				t.Errorf("%s %s: valid %v, %v", mechanism, password, conv.Valid(), err)
			}
		}
	}
}

// TestSCRAMOwnPeers: both bindings, between our own client and server.
func TestSCRAMOwnPeers(t *testing.T) {
	for _, tc := range []struct {
		name           string
		client, server Binding
		want           Outcome
	}{
		{"exporter", Binding{Exporter: []byte("x"), Endpoint: []byte("y")}, Binding{Exporter: []byte("x"), Endpoint: []byte("y")}, OK},
		{"endpoint", Binding{Endpoint: []byte("y")}, Binding{Endpoint: []byte("y")}, OK},
		{"somebody in the middle", Binding{Exporter: []byte("x")}, Binding{Exporter: []byte("other")}, Failed},
		{"another certificate", Binding{Endpoint: []byte("y")}, Binding{Endpoint: []byte("z")}, Failed},
		{"binding that the server lacks", Binding{Exporter: []byte("x")}, Binding{Endpoint: []byte("y")}, Failed},
	} {
		c, err := NewClient([]string{SCRAMSHA256, SCRAMSHA256Plus}, ClientOptions{Login: "ann", Password: "pencil", Binding: tc.client})
		if err != nil {
			t.Fatal(err)
		}
		mech, first, _ := c.Start()
		if mech != SCRAMSHA256Plus {
			t.Fatalf("%s chose %s", tc.name, mech)
		}
		if r := talk(t, server(t, mech, tc.server, true), first, c.Next); r.Outcome != tc.want {
			t.Errorf("%s: %+v", tc.name, r)
		}
	}
	// A man in the middle took -PLUS from the list: the client could bind,
	// and says so.
	c, _ := NewClient([]string{SCRAMSHA256}, ClientOptions{Login: "ann", Password: "pencil", Binding: Binding{Exporter: []byte("x")}})
	_, first, _ := c.Start()
	if r := Step(server(t, SCRAMSHA256, Binding{Exporter: []byte("x")}, true), first); r.Outcome != Failed {
		t.Errorf("downgrade: %+v", r)
	}
}

func TestSCRAMRefuses(t *testing.T) {
	for name, first := range map[string]string{
		"empty": "", "no header": "n=ann,r=abc", "binding without plus": "p=tls-exporter,,n=ann,r=abc",
		"unknown flag": "x,,n=ann,r=abc", "mandatory extension": "n,,m=1,n=ann,r=abc", "no nonce": "n,,n=ann",
		"empty nonce": "n,,n=ann,r=", "bad escape": "n,,n=a=20b,r=abc", "empty name": "n,,n=,r=abc", "NUL": "n,,n=a\x00b,r=abc",
		"order": "n,,r=abc,n=ann", "many": "n,,n=ann,r=abc" + strings.Repeat(",x=1", 100),
	} {
		if r := Step(server(t, SCRAMSHA256, Binding{}, false), []byte(first)); r.Outcome != Failed {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if r := Step(server(t, SCRAMSHA256, Binding{}, false), []byte("n,,n=down,r=abc")); r.Outcome != Temporary {
		t.Errorf("down: %+v", r)
	}
	// An old answer, played to a new exchange.
	c, _ := NewClient([]string{SCRAMSHA256}, ClientOptions{Login: "ann", Password: "pencil"})
	_, first, _ := c.Start()
	r := Step(server(t, SCRAMSHA256, Binding{}, false), first)
	old, err := c.Next(r.Challenge)
	if err != nil {
		t.Fatal(err)
	}
	s := server(t, SCRAMSHA256, Binding{}, false)
	Step(s, first)
	if r := Step(s, old); r.Outcome != Failed {
		t.Errorf("replay: %+v", r)
	}
	for _, bad := range []string{"", "c=biws,r=x", "c=biws,r=x,p=", "c=%,r=x,p=AAAA", ",p=,p=,p="} {
		s := server(t, SCRAMSHA256, Binding{}, false)
		Step(s, first)
		if r := Step(s, []byte(bad)); r.Outcome != Failed {
			t.Errorf("%q: %+v", bad, r)
		}
	}
}

// TestSCRAMClientRefuses: a server that wants the password cheap (AU7).
func TestSCRAMClientRefuses(t *testing.T) {
	for name, reply := range map[string]string{
		"one iteration": "r=NONCEx,s=c2FsdA==,i=1", "endless": "r=NONCEx,s=c2FsdA==,i=2000000000", "same nonce": "r=NONCE,s=c2FsdA==,i=4096",
		"other nonce": "r=zzz,s=c2FsdA==,i=4096", "no salt": "r=NONCEx,s=,i=4096", "error": "e=other-error", "empty": "",
	} {
		c, _ := NewClient([]string{SCRAMSHA1}, ClientOptions{Login: "ann", Password: "pencil"})
		_, first, _ := c.Start()
		_, n, _ := strings.Cut(string(first), ",r=")
		if m, err := c.Next([]byte(strings.Replace(reply, "NONCE", n, 1))); err == nil {
			t.Errorf("%s: answered %s", name, m)
		}
	}
	c, _ := NewClient([]string{SCRAMSHA1}, ClientOptions{Login: "ann", Password: "pencil"})
	_, first, _ := c.Start()
	r := Step(server(t, SCRAMSHA1, Binding{}, false), first)
	c.Next(r.Challenge)
	if _, err := c.Next([]byte("v=AAAA")); err == nil {
		t.Error("a server that does not know the password is believed")
	}
}

// TestMadeUp: a login that is not there looks alike each time, and like others.
func TestMadeUp(t *testing.T) {
	secret := []byte("secret")
	a, b := MadeUp(SCRAMSHA256, "bob", secret, 4096), MadeUp(SCRAMSHA256Plus, "BOB", secret, 4096)
	if !bytes.Equal(a.Salt, b.Salt) || !bytes.Equal(a.StoredKey, b.StoredKey) {
		t.Error("repeated probes differ")
	}
	if bytes.Equal(a.Salt, MadeUp(SCRAMSHA256, "eve", secret, 4096).Salt) || bytes.Equal(a.Salt, MadeUp(SCRAMSHA256, "bob", []byte("x"), 4096).Salt) {
		t.Error("the salt does not depend on all it should")
	}
	known := Step(server(t, SCRAMSHA256, Binding{}, false), []byte("n,,n=ann,r=abc"))
	unknown := Step(server(t, SCRAMSHA256, Binding{}, false), []byte("n,,n=bob,r=abc"))
	if len(known.Challenge) != len(unknown.Challenge) || unknown.Outcome != Continue {
		t.Errorf("%s and %s", known.Challenge, unknown.Challenge)
	}
}

// TestKnownKeys computes the sample of RFC 7677 3.
func TestKnownKeys(t *testing.T) {
	k, err := MakeKeys(SCRAMSHA256, "pencil", b64("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096)
	if err != nil {
		t.Fatal(err)
	}
	auth := "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0," +
		"s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
	h := scramHash(SCRAMSHA256)
	if v := encode64(hmacOf(h, k.ServerKey, auth)); v != "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=" {
		t.Errorf("server signature %s", v)
	}
	proof := b64("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
	if !bytes.Equal(hashOf(h, xor(proof, hmacOf(h, k.StoredKey, auth))), k.StoredKey) {
		t.Error("stored key")
	}
}

func TestPrepare(t *testing.T) {
	// RFC 4013 3.
	for in, want := range map[string]string{"I\u00adX": "IX", "user": "user", "\u00aa": "a", "\u2168": "IX", "a\u00a0b": "a b"} {
		if got := Prepare(in); got != want {
			t.Errorf("Prepare(%q) = %q", in, got)
		}
	}
}
