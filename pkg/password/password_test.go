package password

import (
	"errors"
	"os/exec"
	"strings"
	"testing"
)

// Each of these was made by another program, of the password "secret" unless
// the line says otherwise.
func vectors() []struct{ maker, stored string } {
	return []struct{ maker, stored string }{
		{"doveadm pw -s ARGON2ID", "{ARGON2ID}$argon2id$v=19$m=65536,t=3,p=1$QkKbKkds0Ka2NZmLWfczsw$opT8yyV/ouIYH0uZPbLjePxdEou+IUn80aaysY+2Yss"},
		{"doveadm pw -s BLF-CRYPT", "{BLF-CRYPT}$2y$05$c0H7KltMaQu9wm2ZpsOo/eHjhZSge6VD9ONSJo/Q10JsiGjHmvUmu"},
		{"doveadm pw -s PBKDF2", "{PBKDF2}$1$1uPj973yYkz90NTT$5000$83a4b5df8e876fe76907510a35b52408bb1d69cc"},
		{"doveadm pw -s SCRAM-SHA-256", "{SCRAM-SHA-256}4096,1R2ljG+LvZbV2zl/OErIJQ==,pfSVPDDMZF8pXJtptBk4sHDZw4CdY7T6wLliLTf73kU=,2ahVLkcr+AtLJCGnrsHaGJZObYGwf1hterm/UpXjbnM="},
		{"doveadm pw -s SCRAM-SHA-1", "{SCRAM-SHA-1}4096,tgBGsB5dtpZpz6D/nrD9hA==,iTAVwXiMAcYvOSYvhr2EUp770Sk=,qU5fPYvjPUnp022QR81452z75WA="},
		{"doveadm pw -s CRAM-MD5", "{CRAM-MD5}cd3ba7deaad6e5ca23448ba42e379747a9e0f7f1fbc00c8a81bbaac395731b56"},
		{"doveadm pw -s SSHA256", "{SSHA256}EJFsoDYd6gnbbLLD6UeQXsYE7ey/Hj6ruJfHOK9/HbRCoX3o"},
		{"doveadm pw -s SMD5", "{SMD5}0U/+qO4qB7LI+SFwUU/pF9e0LTQ="},
		{"doveadm pw -s MD5", "{MD5}$1$s3/o.M.r$VJ4LA/7CRD22LR6l326os."},
		{"doveadm pw -s PLAIN-MD5", "{PLAIN-MD5}5ebe2294ecd0e0f08eab7690d2a6ee69"},
		{"doveadm pw -s LDAP-MD5", "{LDAP-MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ=="},
		{"Courier {MD5}", "{MD5}Xr4ilOzQ4PCOq3aQ0qbuaQ=="},
		{"Courier {MD5RAW}", "{MD5RAW}5ebe2294ecd0e0f08eab7690d2a6ee69"},
		{"doveadm pw -s SHA", "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ="},
		{"SHA in hexadecimal", "{SHA.HEX}e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4"},
		{"small letters, no suffix", "{sha}e5e9fa1ba31ecd1ae84f75caaa474f3a663f05f4"},
		{"mkpasswd -m yescrypt", "$y$j9T$sEnLR28m97/RmDEMvJ6Cf0$qoQn.Rbh/IFWtW7ijBBGP6nMwawGfgxZaV7EXBYyxL5"},
		{"mkpasswd -m scrypt", "$7$CU..../....YhzQ0l9.L.bULqG/9FN361$/fNWuUunjyez6aSn/Z.u9IBeCzjOqW018YG5L2LJoN0"},
		{"mkpasswd -m bcrypt", "$2b$05$.lPbYAKNl3swrrj9DPco9uSF27agCZwngnJ1GhsA5xX4lBSeXh1xO"},
		{"mkpasswd -m bcrypt-a", "$2a$05$pQP1PFVYTbvkFDK2R8JK6uY.egA6fzynDJPpN.6gOwSMKPwi85bTC"},
		{"mkpasswd -m sha512crypt", "{CRYPT}$6$0tf8LvacWXKFpLxM$xofB8a7rewMhSIss7EZ2QminJKC54uSOUcvhb0jfWIJgNd1Z8fA9pLNDPLuQZmCj.RzoJayoghwF1HAbgZw9g1"},
		{"mkpasswd -m sha256crypt", "$5$wyA//gGI9Xa1iN0N$aiAAO9dYUqcENe8cEXMmfyL.gsQEW0ISLwB6vqk8D13"},
		{"mkpasswd -m md5crypt", "$1$bq7EtGW3$ovKn1QlzI8jQRz7mCR6CK."},
		{"userdbpw -md5", "$1$3Ajz5m4K$4/IVkvtEzNy8/IccVIdI4."},
		{"userdbpw", "5PG6HDDFabMIo"},
		{"mkpasswd -m descrypt", "t8BPOvdT1O3xM"},
		{"as it is", "{PLAIN}secret"},
		{"as it is, encoded", "{PLAIN.B64}c2VjcmV0"},
	}
}

func TestVectors(t *testing.T) {
	for _, v := range vectors() {
		t.Run(v.maker, func(t *testing.T) {
			for plaintext, want := range map[string]bool{"secret": true, "Secret": false, "secre": false, "secret1": false, "": false, "secret\x00": false} {
				if ok, err := Verify(v.stored, plaintext); ok != want || err != nil {
					t.Errorf("Verify(%s, %q) = %v, %v", v.stored, plaintext, ok, err)
				}
			}
		})
	}
}

func TestHashRoundTrip(t *testing.T) {
	for _, scheme := range Schemes() {
		t.Run(scheme, func(t *testing.T) {
			stored, err := Hash(scheme, "päss word")
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := Verify(stored, "päss word"); !ok || err != nil {
				t.Errorf("Verify(%s) = %v, %v", stored, ok, err)
			}
			if ok, err := Verify(stored, "pass word"); ok || err != nil {
				t.Errorf("Verify(%s) of another = %v, %v", stored, ok, err)
			}
			if strings.ContainsAny(stored, "|\t\n") {
				t.Errorf("%q cannot stand in a userdb", stored)
			}
			again, _ := Hash(scheme, "päss word")
			switch scheme {
			case "SHA", "SHA256", "SHA512", "LDAP-MD5", "PLAIN-MD5", "PLAIN", "CRAM-MD5":
			default:
				if again == stored {
					t.Error("two hashes have the same salt")
				}
			}
		})
	}
}

// The other way around: what we make, other programs accept.
func TestDovecotVerifies(t *testing.T) {
	if _, err := exec.LookPath("doveadm"); err != nil {
		t.Skip("SKIPPED: no doveadm (Debian's dovecot-core)")
	}
	for _, scheme := range Schemes() {
		if scheme == "YESCRYPT" || scheme == "SCRYPT" {
			continue // crypt(3) of the system, or ours alone
		}
		stored, err := Hash(scheme, "secret")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(stored, "{") {
			stored = "{CRYPT}" + stored
		}
		stored = strings.Replace(stored, "{CRYPT}$argon2id", "{ARGON2ID}$argon2id", 1)
		out, err := exec.Command("doveadm", "-c", "/dev/null", "pw", "-t", stored, "-p", "secret").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "(verified)") {
			t.Errorf("doveadm pw -t %s: %v: %s", stored, err, out)
		}
	}
}

// openssl and crypt(3) have own implementations of the crypt schemes.
func TestOpenSSLAgrees(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("SKIPPED: no openssl")
	}
	long := strings.Repeat("0123456789", 12)
	for _, option := range []string{"-1", "-apr1", "-5", "-6"} {
		for _, plaintext := range []string{"secret", "x", long} {
			out, err := exec.Command("openssl", "passwd", option, plaintext).Output()
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := Verify(strings.TrimSpace(string(out)), plaintext); !ok || err != nil {
				t.Errorf("openssl passwd %s %s made %s: %v, %v", option, plaintext, out, ok, err)
			}
		}
	}
}

func TestMkpasswdAgrees(t *testing.T) {
	if _, err := exec.LookPath("mkpasswd"); err != nil {
		t.Skip("SKIPPED: no mkpasswd (Debian's whois)")
	}
	long := strings.Repeat("0123456789", 9)
	for _, args := range [][]string{{"-m", "yescrypt"}, {"-m", "scrypt"}, {"-m", "bcrypt"}, {"-m", "sha512crypt", "-R", "7000"},
		{"-m", "sha256crypt", "-R", "1000"}, {"-m", "md5crypt"}, {"-m", "descrypt"}} {
		for _, plaintext := range []string{"secret", "x", "pässwörd", long} {
			out, err := exec.Command("mkpasswd", append(args, plaintext)...).Output()
			if err != nil {
				t.Fatal(err)
			}
			if ok, err := Verify(strings.TrimSpace(string(out)), plaintext); !ok || err != nil {
				t.Errorf("mkpasswd %v %s made %s: %v, %v", args, plaintext, out, ok, err)
			}
		}
	}
}

func TestOwnYescryptIsTheSystems(t *testing.T) {
	stored, err := Hash("YESCRYPT", "secret")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.SplitAfterN(stored, "$", 5)
	out, err := exec.Command("mkpasswd", "-S", strings.TrimSuffix(strings.Join(parts[:4], ""), "$"), "-m", "yescrypt", "secret").Output()
	if err != nil {
		t.Skipf("SKIPPED: mkpasswd (Debian's whois): %v", err)
	}
	if strings.TrimSpace(string(out)) != stored {
		t.Errorf("mkpasswd made %s of the same salt, we %s", out, stored)
	}
}

func TestUnusableStored(t *testing.T) {
	for _, tt := range []struct {
		stored string
		want   error
	}{
		{"{NTLM}0123", ErrScheme}, {"secret", ErrScheme}, {"{secret word}x", ErrScheme}, {"$9$abc", ErrScheme}, {"{PLAIN.X}x", ErrScheme},
		{"{SHA}abc", ErrFormat}, {"{SSHA}%%%", ErrFormat}, {"{SHA256}5en6G6MezRroT3XKqkdPOmY/BfQ=", ErrFormat},
		{"$6$rounds=x$abc$def", ErrFormat}, {"$6$abc", ErrFormat}, {"$2b$xx$", ErrFormat}, {"$argon2id$v=19$m=64$x$y", ErrFormat},
		{"{PBKDF2}$1$salt$5000", ErrFormat}, {"$pbkdf2-md4$1$a$b", ErrFormat}, {"{CRAM-MD5}12", ErrFormat}, {"{SCRAM-SHA-1}4096,a", ErrFormat},
		{"$y$jZZ$x", ErrScheme}, {"$7$", ErrFormat}, {"$sha1$x$y$z", ErrFormat}, {strings.Repeat("x", 5000), ErrFormat},
	} {
		ok, err := Verify(tt.stored, "secret")
		if ok || !errors.Is(err, tt.want) {
			t.Errorf("Verify(%.40s) = %v, %v, want %v", tt.stored, ok, err, tt.want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "SECRET")) {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	for _, stored := range []string{"", "x", "*", "!", "!!", "!$6$abc$def"} {
		if ok, err := Verify(stored, "secret"); ok || err != nil {
			t.Errorf("Verify(%q) = %v, %v, want a locked account", stored, ok, err)
		}
	}
}

// A hash that asks for more than the caps is refused before anything is
// computed: these would take gigabytes, or hours.
func TestCostCaps(t *testing.T) {
	for _, stored := range []string{
		"$argon2id$v=19$m=4194304,t=3,p=1$QkKbKkds0Ka2NZmLWfczsw$opT8yyV/ouIYH0uZPbLjePxdEou+IUn80aaysY+2Yss",
		"$argon2id$v=19$m=65536,t=4000000000,p=1$QkKbKkds0Ka2NZmLWfczsw$opT8yyV/ouIYH0uZPbLjePxdEou+IUn80aaysY+2Yss",
		"$argon2id$v=19$m=65536,t=3,p=255$QkKbKkds0Ka2NZmLWfczsw$opT8yyV/ouIYH0uZPbLjePxdEou+IUn80aaysY+2Yss",
		"$2y$31$c0H7KltMaQu9wm2ZpsOo/eHjhZSge6VD9ONSJo/Q10JsiGjHmvUmu",
		"$6$rounds=999999999$abc$xofB8a7rewMhSIss7EZ2QminJKC54uSOUcvhb0jfWIJgNd1Z8fA9pLNDPLuQZmCj.RzoJayoghwF1HAbgZw9g1",
		"{PBKDF2}$1$1uPj973yYkz90NTT$4000000000$83a4b5df8e876fe76907510a35b52408bb1d69cc",
		"$scrypt$ln=24,r=8,p=1$QkKbKkds0Ka2NZmLWfczsw$opT8yyV/ouIYH0uZPbLjePxdEou+IUn80aaysY+2Yss",
		"$7$zU..../....YhzQ0l9.L.bULqG/9FN361$/fNWuUunjyez6aSn/Z.u9IBeCzjOqW018YG5L2LJoN0",
		"$y$jFT$sEnLR28m97/RmDEMvJ6Cf0$qoQn.Rbh/IFWtW7ijBBGP6nMwawGfgxZaV7EXBYyxL5",
		"$sha1$4000000000$salt$hash",
		"{SCRAM-SHA-1}2000000000,tgBGsB5dtpZpz6D/nrD9hA==,iTAVwXiMAcYvOSYvhr2EUp770Sk=,qU5fPYvjPUnp022QR81452z75WA=",
	} {
		if ok, err := Verify(stored, "secret"); ok || !errors.Is(err, ErrCost) {
			t.Errorf("Verify(%.40s) = %v, %v, want ErrCost", stored, ok, err)
		}
	}
}

func TestHashRefuses(t *testing.T) {
	for _, plaintext := range []string{"", "a\nb", "a\x00b", strings.Repeat("x", MaxPlaintext+1)} {
		if s, err := Hash(Default, plaintext); !errors.Is(err, ErrPassword) {
			t.Errorf("Hash of %.20q = %s, %v", plaintext, s, err)
		}
	}
	if _, err := Hash("BLF-CRYPT", strings.Repeat("x", 73)); !errors.Is(err, ErrPassword) {
		t.Errorf("bcrypt of 73 bytes: %v", err)
	}
	if _, err := Hash("ROT13", "x"); !errors.Is(err, ErrScheme) {
		t.Errorf("unknown scheme: %v", err)
	}
}

func TestRandom(t *testing.T) {
	a, b := Random(), Random()
	if len(a) != 23 || a == b {
		t.Errorf("Random() = %s, %s", a, b)
	}
}

func FuzzVerify(f *testing.F) {
	for _, v := range vectors() {
		f.Add(v.stored, "secret")
	}
	f.Fuzz(func(t *testing.T, stored, plaintext string) {
		// The expensive ones would only make the fuzzer slow.
		if strings.Contains(stored, "$argon2") || strings.Contains(stored, "$2") || strings.Contains(stored, "$y$") || strings.Contains(stored, "$7$") ||
			strings.Contains(stored, "scrypt") || strings.Contains(strings.ToLower(stored), "pbkdf2") || strings.Contains(stored, "rounds=") {
			return
		}
		if ok, err := Verify(stored, plaintext); ok && err != nil {
			t.Errorf("Verify(%q, %q) = true, %v", stored, plaintext, err)
		}
	})
}
