package sasl

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	gosasl "github.com/emersion/go-sasl"
)

var errDown = errors.New("database is down")

// knows is a check with one user.
func knows(login, password string) func(l, p string) error {
	return func(l, p string) error {
		switch {
		case l == "down":
			return errDown
		case l != login || p != password:
			return ErrFailed
		}
		return nil
	}
}

// run plays the messages of a client and returns the last result.
func run(s Server, messages ...[]byte) Result {
	var r Result
	for i, m := range messages {
		r = Step(s, m)
		if r.Outcome != Continue && i < len(messages)-1 {
			return Result{Err: errors.New("ended early")}
		}
	}
	return r
}

func TestPlain(t *testing.T) {
	check := func(authzid, login, password string) error {
		if authzid != "" {
			return ErrFailed
		}
		return knows("ann", "secret")(login, password)
	}
	for name, tc := range map[string]struct {
		message string
		want    Outcome
	}{
		"right":           {"\x00ann\x00secret", OK},
		"own authzid":     {"ann\x00ann\x00secret", OK},
		"other authzid":   {"bob\x00ann\x00secret", Failed},
		"wrong":           {"\x00ann\x00other", Failed},
		"down":            {"\x00down\x00x", Temporary},
		"empty password":  {"\x00ann\x00", Failed},
		"empty login":     {"\x00\x00secret", Failed},
		"too many parts":  {"\x00ann\x00secret\x00x", Failed},
		"a b c d":         {"a\x00b\x00c\x00d", Failed},
		"one part":        {"ann", Failed},
		"nothing":         {"", Failed},
		"only NULs":       {"\x00\x00", Failed},
		"control in name": {"\x00an\nn\x00secret", Failed},
		"too long":        {"\x00ann\x00" + strings.Repeat("x", MaxMessage), Failed},
	} {
		if r := run(NewPlain(check), []byte(tc.message)); r.Outcome != tc.want {
			t.Errorf("%s: %+v", name, r)
		}
		if r := run(NewPlain(check), nil, []byte(tc.message)); r.Outcome != tc.want {
			t.Errorf("%s, after a challenge: %+v", name, r)
		}
	}
	s := NewPlain(check)
	run(s, []byte("\x00ann\x00other"))
	Step(s, []byte("\x00ann\x00other"))
	if r := Step(s, []byte("\x00ann\x00secret")); r.Outcome == OK {
		t.Error("an exchange goes on after its end")
	}
}

func TestLogin(t *testing.T) {
	for name, tc := range map[string]struct {
		messages []string // "-" is none
		want     Outcome
	}{
		"asked":            {[]string{"-", "ann", "secret"}, OK},
		"name in front":    {[]string{"ann", "secret"}, OK},
		"wrong":            {[]string{"ann", "other"}, Failed},
		"empty name":       {[]string{"-", ""}, Failed},
		"empty password":   {[]string{"-", "ann", ""}, Failed},
		"NUL in password":  {[]string{"-", "ann", "a\x00b"}, Failed},
		"down":             {[]string{"-", "down", "x"}, Temporary},
		"control in login": {[]string{"-", "a\x01"}, Failed},
	} {
		var messages [][]byte
		for _, m := range tc.messages {
			if m == "-" {
				messages = append(messages, nil)
			} else {
				messages = append(messages, []byte(m))
			}
		}
		if r := run(NewLogin(knows("ann", "secret")), messages...); r.Outcome != tc.want {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// TestCRAMMD5 uses the sample of RFC 2195 2.
func TestCRAMMD5(t *testing.T) {
	if d := cramDigest("tanstaaftanstaaf", "<1896.697170952@postoffice.reston.mci.net>"); d != "b913a602c7eda7a495b4e6e7334d3890" {
		t.Errorf("digest %s", d)
	}
	server := func() Server {
		return NewCRAMMD5("me.test", func(login, challenge, digest string) error {
			if login != "ann" || digest != cramDigest("secret", challenge) {
				return ErrFailed
			}
			return nil
		})
	}
	for password, want := range map[string]Outcome{"secret": OK, "other": Failed} {
		s := server()
		c, _ := NewClient([]string{CRAMMD5}, ClientOptions{Login: "ann", Password: password})
		first := Step(s, nil)
		answer, err := c.Next(first.Challenge)
		if err != nil {
			t.Fatal(err)
		}
		if r := Step(s, answer); r.Outcome != want {
			t.Errorf("%s: %+v", password, r)
		}
	}
	for _, bad := range []string{"", "ann", "ann ", "ann zz", " " + strings.Repeat("a", 32), "ann " + strings.Repeat("g", 32)} {
		s := server()
		Step(s, nil)
		if r := Step(s, []byte(bad)); r.Outcome != Failed {
			t.Errorf("%q: %+v", bad, r)
		}
	}
	if a, b := Step(server(), nil), Step(server(), nil); string(a.Challenge) == string(b.Challenge) {
		t.Error("the challenge is the same twice")
	}
}

func TestOAuth(t *testing.T) {
	check := func(authzid, token string) error { return knows("ann", "t0ken")(authzid, token) }
	bearer := gosasl.NewOAuthBearerClient(&gosasl.OAuthBearerOptions{Username: "ann", Token: "t0ken", Host: "me.test", Port: 143})
	_, ir, err := bearer.Start()
	if err != nil {
		t.Fatal(err)
	}
	if r := run(NewOAuthBearer(check), ir); r.Outcome != OK {
		t.Errorf("go-sasl's client: %+v", r)
	}
	if r := run(NewXOAuth2(check), []byte("user=ann\x01auth=Bearer t0ken\x01\x01")); r.Outcome != OK {
		t.Errorf("XOAUTH2: %+v", r)
	}
	for _, bad := range []string{"", "n,a=ann,", "n,a=ann,\x01auth=Bearer \x01\x01", "n,a=ann,\x01auth=Basic x\x01\x01",
		"n,a=ann,\x01auth=Bearer t0ken", "p=x,a=ann,\x01auth=Bearer t0ken\x01\x01", "n,b=ann,\x01auth=Bearer t0ken\x01\x01"} {
		if r := run(NewOAuthBearer(check), []byte(bad)); r.Outcome != Failed {
			t.Errorf("%q: %+v", bad, r)
		}
	}
	s := NewOAuthBearer(check)
	r := Step(s, []byte("n,a=ann,\x01auth=Bearer other\x01\x01"))
	if r.Outcome != Continue || !strings.Contains(string(r.Challenge), `"invalid_token"`) {
		t.Errorf("refusal: %+v %s", r, r.Challenge)
	}
	if r = Step(s, []byte{1}); r.Outcome != Failed {
		t.Errorf("after the refusal: %+v", r)
	}
	if r = Step(NewOAuthBearer(check), []byte("n,a=down,\x01auth=Bearer x\x01\x01")); r.Outcome != Temporary {
		t.Errorf("down: %+v", r)
	}
}

func TestExternal(t *testing.T) {
	check := func(authzid string) error {
		if authzid != "" && authzid != "ann" {
			return ErrFailed
		}
		return nil
	}
	for message, want := range map[string]Outcome{"": OK, "ann": OK, "bob": Failed, "a\x00b": Failed} {
		if r := run(NewExternal(check), []byte(message)); r.Outcome != want {
			t.Errorf("%q: %+v", message, r)
		}
	}
	if r := run(NewExternal(check), nil, []byte("")); r.Outcome != OK {
		t.Errorf("after a challenge: %+v", r)
	}
}

// TestClients lets our clients and those of go-sasl log in.
func TestClients(t *testing.T) {
	o := ClientOptions{Login: "ann", Password: "secret"}
	for _, tc := range []struct {
		server Server
		offer  []string
		want   string
	}{
		{NewPlain(func(_, l, p string) error { return knows("ann", "secret")(l, p) }), []string{"LOGIN", "PLAIN", "X"}, Plain},
		{NewLogin(knows("ann", "secret")), []string{"login"}, Login},
	} {
		c, err := NewClient(tc.offer, o)
		if err != nil {
			t.Fatal(err)
		}
		mech, message, err := c.Start()
		if err != nil || mech != tc.want {
			t.Fatalf("%s %v", mech, err)
		}
		r := Step(tc.server, message)
		for r.Outcome == Continue {
			if message, err = c.Next(r.Challenge); err != nil {
				t.Fatal(err)
			}
			r = Step(tc.server, message)
		}
		if r.Outcome != OK {
			t.Errorf("%s: %+v", mech, r)
		}
	}
	if _, err := NewClient([]string{"GSSAPI"}, o); !errors.Is(err, ErrNoMechanism) {
		t.Error(err)
	}
	o.Allowed = func(m string) bool { return !Cleartext(m) }
	if _, err := NewClient([]string{"PLAIN", "LOGIN"}, o); !errors.Is(err, ErrNoMechanism) {
		t.Error("a mechanism that is not allowed is used")
	}
}

func FuzzServers(f *testing.F) {
	f.Add([]byte("\x00ann\x00secret"), []byte(""))
	f.Add([]byte("n,,n=ann,r=abc"), []byte("c=biws,r=abc,p=AAAA"))
	f.Add([]byte("n,a=ann,\x01auth=Bearer t0ken\x01\x01"), []byte("\x01"))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		never := func() error { return ErrFailed }
		for _, s := range []Server{
			NewPlain(func(_, _, _ string) error { return never() }),
			NewLogin(func(_, _ string) error { return never() }),
			NewCRAMMD5("h", func(_, _, _ string) error { return never() }),
			NewOAuthBearer(func(_, _ string) error { return never() }),
			NewXOAuth2(func(_, _ string) error { return never() }),
			NewSCRAM(SCRAMServer{Mechanism: SCRAMSHA256,
				Lookup: func(l string) (Keys, error) { return MadeUp(SCRAMSHA256, l, []byte("s"), 4096), nil },
				Done: func(_, _ string, right bool) error {
					if right {
						t.Error("a made-up key was guessed")
					}
					return nil
				}}),
		} {
			if r := Step(s, first); r.Outcome == OK {
				t.Errorf("%T: in with %q", s, first)
			}
			if r := Step(s, second); r.Outcome == OK {
				t.Errorf("%T: in with %q %q", s, first, second)
			}
		}
	})
}

func b64(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}
