package mutf7

import "testing"

func TestKnownForms(t *testing.T) {
	for utf8, encoded := range map[string]string{
		"INBOX":         "INBOX",
		"Entwürfe":      "Entw&APw-rfe",
		"A&B":           "A&-B",
		"~peter/台北/日本語": "~peter/&U,BTFw-/&ZeVnLIqe-",
		"😀":             "&2D3eAA-",
	} {
		if got := Encode(utf8); got != encoded {
			t.Errorf("Encode(%q) = %q, want %q", utf8, got, encoded)
		}
		if got, err := Decode(encoded); got != utf8 || err != nil {
			t.Errorf("Decode(%q) = %q, %v", encoded, got, err)
		}
	}
}

func TestOtherFormsAreRefused(t *testing.T) {
	for _, s := range []string{"&", "&AP", "&AGE-", "ü", "&APw", "a\x00", "&APw-&APw-", "&A-", "&2D0-"} {
		if got, err := Decode(s); err == nil {
			t.Errorf("Decode(%q) = %q", s, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("Entw&APw-rfe")
	f.Fuzz(func(t *testing.T, s string) {
		if out, err := Decode(s); err == nil && Encode(out) != s {
			t.Errorf("%q -> %q -> %q", s, out, Encode(out))
		}
	})
}
