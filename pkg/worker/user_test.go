package worker

import (
	"strings"
	"testing"
)

func TestUserDirs(t *testing.T) {
	for _, tc := range []struct{ home, mail, base, want string }{
		{"/home/a", "/home/a/Maildir", "/var/mail", "/home/a"},
		{"/home/a", "/var/spool/a", "", "/home/a /var/spool/a"},
		{"", "/var/spool/a/", "", "/var/spool/a"},
		{"/v/d/a", "/v/d/a/Maildir", "/v/", "/v"},
		{"", "/v/d/a", "/v", "/v"},
		{"/home/a", "/v/d/a", "/v", "/home/a /v/d/a"},
		{"/vx/a", "/vx/a/Maildir", "/v", "/vx/a"},
		{"/a", "/a/Maildir", "/", "/a"},
	} {
		if got := strings.Join(UserDirs(tc.home, tc.mail, tc.base), " "); got != tc.want {
			t.Errorf("%+v: got %s", tc, got)
		}
	}
}
