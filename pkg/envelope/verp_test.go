package envelope

import "testing"

func TestVERP(t *testing.T) {
	for _, tc := range []struct {
		sender, delims string
		rcpt           Recipient
		want           string
	}{
		{"list@origin.test", "+=", Recipient{Address: "user@domain.test"}, "list+user=domain.test@origin.test"},
		{"list@origin.test", "-=", Recipient{Address: "new@x.test", Original: "user@domain.test"}, "list-user=domain.test@origin.test"},
		{"list@origin.test", "+=", Recipient{Address: "user"}, "list+user@origin.test"},
		{"list", "+=", Recipient{Address: "a@b@c"}, "list+a@b=c"},
		{"", "+=", Recipient{Address: "user@domain.test"}, ""},
		{"list@origin.test", "", Recipient{Address: "user@domain.test"}, "list@origin.test"},
	} {
		if got := VERP(tc.sender, tc.delims, &tc.rcpt); got != tc.want {
			t.Errorf("VERP(%q, %q, %+v) = %q, want %q", tc.sender, tc.delims, tc.rcpt, got, tc.want)
		}
	}
	for delims, want := range map[string]bool{"+=": true, "=+": true, "++": true, "+": false, "+=+": false, "+x": false, "": false} {
		if ValidVERP(delims, "-=+") != want {
			t.Errorf("ValidVERP(%q) is %v", delims, !want)
		}
	}
}
