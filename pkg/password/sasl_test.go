package password

import (
	"bytes"
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

// RFC 2195 2, the example.
func TestCramMD5Example(t *testing.T) {
	challenge := []byte("<1896.697170952@postoffice.reston.mci.net>")
	const answer = "b913a602c7eda7a495b4e6e7334d3890"
	hashed, err := Hash("CRAM-MD5", "tanstaaftanstaaf")
	if err != nil {
		t.Fatal(err)
	}
	for _, stored := range []string{"{PLAIN}tanstaaftanstaaf", hashed, hashed[len("{CRAM-MD5}"):]} {
		s, err := CramMD5(stored)
		if err != nil {
			t.Fatalf("CramMD5(%s): %v", stored, err)
		}
		if got, err := s.Digest(challenge); err != nil || got != answer {
			t.Errorf("answer for %s: %s, %v", stored, got, err)
		}
		if !s.Check(challenge, answer) || s.Check(challenge, answer[1:]) || s.Check([]byte("other"), answer) {
			t.Errorf("Check for %s", stored)
		}
	}
	if _, err := CramMD5("{SSHA}x"); !errors.Is(err, ErrScheme) {
		t.Errorf("state of a hash: %v", err)
	}
}

// As userdbpw of Courier makes them of "secret".
func TestHMACStatesOfCourier(t *testing.T) {
	for name, want := range map[string]string{
		"hmac-md5":    "cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56",
		"hmac-sha1":   "091e0f4c6cb5277ee2beb639a60d0831b5c8adcdaee172433df3e96ba4f00fb1b6a490c3929d2034",
		"hmac-sha256": "5a84072aab37d22275b139adf7a92564c7f674be98e77d991f6f689d29e0524572804f31b042016804d3dea2f4e991a21b1c8906be161594b202fb74afc8ceb3",
	} {
		s, err := NewHMACState(name, "secret")
		if err != nil || s.String() != want {
			t.Errorf("%s: %s, %v\nwant %s", name, s, err, want)
		}
		back, err := ParseHMACState(name, want)
		a, _ := s.Digest([]byte("challenge"))
		if b, _ := back.Digest([]byte("challenge")); err != nil || a != b {
			t.Errorf("%s: read back: %s, %v, want %s", name, b, err, a)
		}
	}
}

// RFC 7677 3: the example has password "pencil".
func TestSCRAMExample(t *testing.T) {
	salt := []byte{0x5b, 0x6d, 0x99, 0x68, 0x9d, 0x12, 0x35, 0x8e, 0xec, 0xa0, 0x4b, 0x14, 0x12, 0x36, 0xfa, 0x81}
	k, err := NewSCRAM(SCRAMSHA256, "pencil", salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	stored := k.Format("SCRAM-SHA-256-PLUS")
	const want = "{SCRAM-SHA-256}4096,W22ZaJ0SNY7soEsUEjb6gQ==,WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=,wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	if stored != want {
		t.Errorf("stored form %s\nwant        %s", stored, want)
	}
	back, err := SCRAM(stored, "SCRAM-SHA-256-PLUS")
	if err != nil || !bytes.Equal(back.StoredKey, k.StoredKey) || !bytes.Equal(back.ServerKey, k.ServerKey) || back.Iterations != 4096 {
		t.Errorf("SCRAM(%s) = %v, %v", stored, back, err)
	}
	if _, err := SCRAM(stored, SCRAMSHA1); !errors.Is(err, ErrScheme) {
		t.Errorf("keys of another mechanism: %v", err)
	}
}

func TestCheckerBoundsItself(t *testing.T) {
	c, err := NewChecker(1, "SSHA", nil)
	if err != nil {
		t.Fatal(err)
	}
	c.slots <- struct{}{} // somebody is at it
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Verify(ctx, "{PLAIN}x", "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("Verify beyond the bound: %v", err)
	}
	<-c.slots
	ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if ok, err := c.Verify(ctx, "{PLAIN}x", "x"); !ok || err != nil {
				t.Errorf("Verify: %v, %v", ok, err)
			}
			if err := c.Dummy(ctx, "x"); err != nil {
				t.Errorf("Dummy: %v", err)
			}
		})
	}
	wg.Wait()
}

func TestFakeKeys(t *testing.T) {
	a, err := NewChecker(1, "SSHA", []byte("key of the site"))
	if err != nil {
		t.Fatal(err)
	}
	b, _ := NewChecker(1, "SSHA", []byte("key of the site"))
	k1, err1 := a.FakeSCRAM(t.Context(), "you@example.com", SCRAMSHA256)
	k2, err2 := b.FakeSCRAM(t.Context(), "You@example.com", SCRAMSHA256)
	k3, _ := a.FakeSCRAM(t.Context(), "me@example.com", SCRAMSHA256)
	if err1 != nil || err2 != nil || !bytes.Equal(k1.Salt, k2.Salt) || bytes.Equal(k1.Salt, k3.Salt) {
		t.Errorf("salts %x, %x, %x", k1.Salt, k2.Salt, k3.Salt)
	}
	k4, err := a.SCRAM(t.Context(), "{PLAIN}secret", "you@example.com", SCRAMSHA256)
	if err != nil || !bytes.Equal(k4.Salt, k1.Salt) || bytes.Equal(k4.StoredKey, k1.StoredKey) || k4.Iterations != k1.Iterations {
		t.Errorf("keys of a plain password: %v, %v", k4, err)
	}
	if k, err := a.FakeSCRAM(t.Context(), "x", SCRAMSHA1); err != nil || len(k.StoredKey) != 20 {
		t.Errorf("keys for SHA-1: %v, %v", k, err)
	}
}
