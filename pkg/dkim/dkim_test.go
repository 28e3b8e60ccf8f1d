package dkim

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	gomsgauth "github.com/emersion/go-msgauth/dkim"
)

// sign signs a message, given with LF line ends, and returns it with CR LF.
func sign(t testing.TB, message string, o Options, keys ...crypto.Signer) string {
	t.Helper()
	head, body, _ := strings.Cut(message, "\n\n")
	var fields [][]byte
	for line := range strings.SplitSeq(head, "\n") {
		if line[0] == ' ' || line[0] == '\t' {
			last := len(fields) - 1
			fields[last] = append(append(fields[last], '\n'), line...)
			continue
		}
		fields = append(fields, []byte(line))
	}
	bh := NewBodyHash()
	for line := range strings.Lines(body) {
		text := strings.TrimSuffix(line, "\n")
		// In parts, as long lines come.
		bh.Line([]byte(text[:len(text)/2]), false)
		bh.Line([]byte(text[len(text)/2:]), true)
	}
	sum := bh.Sum()
	var out strings.Builder
	for i, key := range keys {
		algorithm, size := Describe(key)
		s := New(Key{Domain: "example.test", Selector: fmt.Sprintf("s%d", i), Algorithm: algorithm, SigLen: size}, fields, o)
		before := s.Placeholder()
		sig, err := SignDigest(key, s.Digest(sum))
		if err != nil {
			t.Fatal(err)
		}
		field, err := s.Field(sum, sig)
		if err != nil {
			t.Fatal(err)
		}
		a, b := strings.Split(before, "\n"), strings.Split(field, "\n")
		if len(a) != len(b) {
			t.Fatalf("%d lines become %d", len(a), len(b))
		}
		for j := range a {
			if len(a[j]) != len(b[j]) || len(b[j]) > 200 {
				t.Errorf("line %q takes the place of %q", b[j], a[j])
			}
		}
		out.WriteString(field + "\n")
	}
	return strings.ReplaceAll(out.String()+message, "\n", "\r\n")
}

// verify has an independent verifier look at a message.
func verify(t testing.TB, message string, keys ...crypto.Signer) []*gomsgauth.Verification {
	t.Helper()
	v, err := gomsgauth.VerifyWithOptions(strings.NewReader(message), &gomsgauth.VerifyOptions{
		LookupTXT: func(name string) ([]string, error) {
			var i int
			if _, err := fmt.Sscanf(name, "s%d._domainkey.example.test", &i); err != nil {
				return nil, err
			}
			r, err := Record(keys[i])
			return []string{r}, err
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func testKeys(t testing.TB) []crypto.Signer {
	t.Helper()
	var keys []crypto.Signer
	for _, a := range []string{RSA, Ed25519} {
		k, err := Generate(a)
		if err != nil {
			t.Fatal(err)
		}
		text, err := EncodeKey(k)
		if err == nil {
			k, err = DecodeKey(text)
		}
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, k)
	}
	return keys
}

func TestSignatures(t *testing.T) {
	keys := testKeys(t)
	o := Options{Now: time.Now(), Oversign: []string{"from", "to", "subject"}}
	for name, message := range map[string]string{
		"plain":       "From: a@example.test\nTo: b@c.test\nSubject: x\n\nHello\n",
		"no body":     "From: a@example.test\nSubject: x\n\n",
		"blank lines": "From: a@example.test\n\n\n\n  \nx  y \t z \n \n\n\n",
		"folded":      "From: A\n B\n\t<a@example.test>\nTo: b@c.test,\n d@e.test\nReceived: x\nReceived: y\n\n  leading\n",
		"two of one":  "From: a@example.test\nTo: b@c.test\nTo: d@c.test\nComments: x\n\nx\n",
		"many":        "From: a@example.test\n" + strings.Repeat("References: <x@y>\n", 50) + "\nx\n",
		"8 bit":       "From: \xc3\xbc@example.test\nSubject: \xff\xfe\n\n\x00\xff\n",
		"blanks":      "From :  a@example.test \t\nSubject:\n\n" + strings.Repeat(" \t", 5000) + "x\n",
	} {
		t.Run(name, func(t *testing.T) {
			for i, v := range verify(t, sign(t, message, o, keys...), keys...) {
				if v.Err != nil {
					t.Errorf("signature %d: %v", i, v.Err)
				}
			}
		})
	}
}

// TestOversigned: a field that is added, or changed, breaks the signature.
func TestOversigned(t *testing.T) {
	keys := testKeys(t)[1:]
	message := sign(t, "From: a@example.test\nSubject: x\n\nHello\n", Options{Now: time.Now(), Oversign: []string{"from", "to", "subject"}}, keys...)
	for _, add := range []string{"From: ceo@example.test", "Subject: y", "To: z@example.test"} {
		v := verify(t, add+"\r\n"+message, keys...)
		if len(v) != 1 || v[0].Err == nil {
			t.Errorf("%s: the signature is still good", add)
		}
	}
	if v := verify(t, strings.Replace(message, "Hello", "Hallo", 1), keys...); v[0].Err == nil {
		t.Error("a changed body")
	}
	if v := verify(t, "X-Added: 1\r\n"+message, keys...); v[0].Err != nil {
		t.Error(v[0].Err)
	}
}

// TestRFC6376Bodies has the examples of section 3.4.5, and of 3.4.4 the empty
// body.
func TestRFC6376Bodies(t *testing.T) {
	for in, want := range map[string]string{
		" C \nD \t E\n\n\n": " C\r\nD E\r\n",
		"":                  "",
		"\n\n":              "",
		" \n":               "",
	} {
		b := NewBodyHash()
		for line := range strings.Lines(in) {
			b.Line([]byte(strings.TrimSuffix(line, "\n")), true)
		}
		sum := sha256.Sum256([]byte(want))
		if !bytes.Equal(b.Sum(), sum[:]) {
			t.Errorf("%q is not hashed as %q", in, want)
		}
	}
	if got := string(appendRelaxed(nil, []byte("B : Y\t\n\tZ  "))); got != "b:Y Z" {
		t.Errorf("%q", got)
	}
}

// FuzzBody compares what is hashed with RFC 6376 3.4.4, word by word, however the
// body comes in parts.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{" C \nD \t E\n\n\n", "", "a b\n  c\n d  e \n\t\n\nf", "x \n", " \n \ny", strings.Repeat("long ", 600) + "\n\nz"} {
		f.Add(seed, uint8(7))
		f.Add(seed, uint8(255))
	}
	f.Fuzz(func(t *testing.T, in string, part uint8) {
		b := NewBodyHash()
		var want []string
		for line := range strings.Lines(in) {
			line = strings.TrimSuffix(line, "\n")
			words := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
			text := strings.Join(words, " ")
			if len(words) > 0 && (line[0] == ' ' || line[0] == '\t') {
				text = " " + text
			}
			want = append(want, text)
			for n := int(part) + 1; len(line) > n; line = line[n:] {
				b.Line([]byte(line[:n]), false)
			}
			b.Line([]byte(line), true)
		}
		for len(want) > 0 && want[len(want)-1] == "" {
			want = want[:len(want)-1]
		}
		text := strings.Join(want, "\r\n")
		if len(want) > 0 {
			text += "\r\n"
		}
		sum := sha256.Sum256([]byte(text))
		if !bytes.Equal(b.Sum(), sum[:]) {
			t.Errorf("%q in parts of %d is not hashed as %q", in, int(part)+1, text)
		}
	})
}

func BenchmarkBody(b *testing.B) {
	line := []byte("The quick brown fox jumps over the lazy dog, and then it sleeps a while.")
	b.ReportAllocs()
	b.SetBytes(57 * int64(len(line)+2))
	for b.Loop() {
		h := NewBodyHash()
		for range 57 {
			h.Line(line, true)
		}
		h.Sum()
	}
}

func TestTable(t *testing.T) {
	all, err := ParseTable("# keys\n\nExample.test s1 signing k.pem .example.test other.test\nexample.test s2 new k2.pem\n")
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	for domain, want := range map[string]bool{"example.test": true, "EXAMPLE.TEST": true, "a.example.test": true, "other.test": true,
		"a.other.test": false, "badexample.test": false, ".example.test": false} {
		if all[0].Signs(domain) != want || all[1].Signs(domain) {
			t.Errorf("%s: not %v", domain, want)
		}
	}
	again, err := ParseLine(all[0].String())
	if err != nil || again.String() != all[0].String() {
		t.Errorf("%v %v", again, err)
	}
	for _, bad := range []string{"a b", "a_b.test s signing f", "a.test s/../x signing f", "a.test s on f", "a.test s signing f .."} {
		if _, err := ParseTable(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestZoneLine(t *testing.T) {
	r, err := Record(testKeys(t)[0])
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range strings.Split(ZoneLine("example.test", "s", r), `"`) {
		if len(part) > 255 {
			t.Errorf("a string of %d bytes", len(part))
		}
	}
}

func TestDecodeKey(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "no key": "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		if _, err := DecodeKey([]byte(text)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func FuzzSign(f *testing.F) {
	key, err := Generate(Ed25519)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("From: a@b\nTo: c", " x\n\ny ")
	f.Fuzz(func(t *testing.T, head, body string) {
		// A message as cleanup would have it.
		fields := "From: a@example.test"
		for line := range strings.SplitSeq(head, "\n") {
			line = strings.Map(func(r rune) rune {
				if r == '\r' {
					return ' '
				}
				return r
			}, line)
			if i := strings.IndexByte(line, ':'); i > 0 && !strings.ContainsAny(line[:i], " \t\x00") && line[0] > ' ' && line[i-1] < 0x7f {
				fields += "\n" + line
			}
		}
		message := sign(t, fields+"\n\n"+strings.ReplaceAll(body, "\r", " ")+"\n", Options{Now: time.Unix(1e9, 0), Oversign: []string{"from"}}, key)
		if !strings.Contains(message, "bh="+base64.StdEncoding.EncodeToString(make([]byte, 0))) {
			t.Error("no body hash")
		}
	})
}

func BenchmarkSign(b *testing.B) {
	keys := testKeys(b)
	digest := make([]byte, 32)
	for i, name := range []string{"rsa-2048", "ed25519"} {
		b.Run(name, func(b *testing.B) {
			// What a machine with other work can tell is the time of the
			// processor, as "openssl speed" gives it.
			before := cpuTime(b)
			for b.Loop() {
				if _, err := SignDigest(keys[i], digest); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
		})
	}
}

// cpuTime is the time of the processor that this process has used.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
