package main

import (
	"bytes"
	"os"
	"sort"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

func TestCourierAgrees(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"passwd": "root:x:0:0:root:/root:/bin/bash\n# comment\nyou:x:1000:1000:You|me,,,:/home/you:/bin/sh\nnopw::1001:1001::/home/nopw:\nshort:abc:5:6\n",
		"shadow": "root:*:1::::::\nyou:$6$a$b:1::::::\nelse:x:1\n",
	} {
		if err := os.WriteFile(dir+"/"+name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, options := range [][]string{nil, {"--noshadow"}, {"--nouid"}, {"--domain=example.com"}, {"--shadow=" + dir + "/none"}} {
		args := append([]string{"--passwd=" + dir + "/passwd", "--shadow=" + dir + "/shadow"}, options...)
		theirs, err := testkit.CourierTool(t, "usr/sbin/pw2userdb", args...).Output()
		if err != nil {
			t.Fatal(err)
		}
		var mine bytes.Buffer
		if err := run(args, &mine); err != nil {
			t.Fatal(err)
		}
		// Courier's order is that of a Perl hash.
		if a, b := sorted(string(theirs)), sorted(mine.String()); a != b {
			t.Errorf("pw2userdb %v:\nours\n%s\nCourier\n%s", options, b, a)
		}
	}
}

func TestUsage(t *testing.T) {
	var out bytes.Buffer
	if err := run([]string{"--help"}, &out); err != nil || out.String() != usage+"\n" {
		t.Errorf("--help: %v, %q", err, out.String())
	}
	for _, args := range [][]string{{"--nonsense"}, {"--passwd"}, {"word"}} {
		out.Reset()
		if err := run(args, &out); err == nil || !strings.Contains(err.Error(), usage) || out.Len() > 0 {
			t.Errorf("%q: %v, %q", args, err, out.String())
		}
	}
}

func sorted(text string) string {
	lines := strings.Split(text, "\n")
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}
