package main

import (
	"reflect"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/envelope"
)

func TestParseAttributes(t *testing.T) {
	a, err := parseAttributes([]string{"flags=DRhu", "user=vmail:mail", "eol=\\r\\n", "size=1000", "null_sender=", "directory=/srv",
		"argv=/usr/bin/x", "-f", "${sender}", "flags=no"})
	if err != nil {
		t.Fatal(err)
	}
	if a.user != "vmail" || a.group != "mail" || a.eol != "\r\n" || a.size != 1000 || a.nullSender != "" || a.dir != "/srv" || len(a.argv) != 4 {
		t.Errorf("%+v", a)
	}
	for name, line := range map[string]string{
		"no argv": "user=x", "no user": "argv=/bin/x", "empty argv": "user=x argv=", "unknown": "user=x color=red argv=/bin/x",
		"flag": "flags=Z user=x argv=/bin/x", "size": "size=-1 user=x argv=/bin/x", "chroot": "chroot=/x user=x argv=/bin/x",
		"directory": "directory=x user=x argv=/bin/x", "name": "user=x argv=/bin/x ${colour}", "brace": "user=x argv=/bin/x ${user",
		"dollar": "user=x argv=/bin/x a$", "eol": `eol=\0 user=x argv=/bin/x`, "empty eol": "eol= user=x argv=/bin/x", "word": "user=x -v argv=/bin/x",
	} {
		if _, err := parseAttributes(strings.Fields(line)); err == nil {
			t.Errorf("%s: %s was taken", name, line)
		}
	}
}

// TestArguments: an argument for each recipient, empty ones stay where they are
// (P16), and what a sender wrote is no template.
func TestArguments(t *testing.T) {
	for _, tc := range []struct {
		name, line, delimiter string
		d                     *deliver.Delivery
		want                  []string
	}{
		{"each recipient", "argv=/bin/x -f ${sender} -- ${recipient} end", "", request("s@a.test", "u1@b.test", "u2@b.test"),
			[]string{"/bin/x", "-f", "s@a.test", "--", "u1@b.test", "u2@b.test", "end"}},
		{"empty stays", "argv=/bin/x ${extension} $(user) $mailbox <$envid>", "+", request("s@a.test", "u@b.test"),
			[]string{"/bin/x", "", "u", "u", "<>"}},
		{"extension", "argv=/bin/x $user/$extension@$domain ${extension?has}${extension:none}", "+", request("s@a.test", "u+e@b.test"),
			[]string{"/bin/x", "u/e@b.test", "has"}},
		{"condition", "argv=/bin/x ${extension:none-$user}", "+", request("s@a.test", "u@b.test"), []string{"/bin/x", "none-u"}},
		{"null sender", "argv=/bin/x $sender $$x", "", request("", "u@b.test"), []string{"/bin/x", "MAILER-DAEMON", "$x"}},
		{"no sender", "null_sender= argv=/bin/x $sender y", "", request("", "u@b.test"), []string{"/bin/x", "", "y"}},
		{"no second reading", "argv=/bin/x $sender ${recipient}", "", request("${user}@a.test", "$(id)@b.test"),
			[]string{"/bin/x", "${user}@a.test", "$(id)@b.test"}},
		{"fold", "flags=hu argv=/bin/x $recipient $user $domain $nexthop $sender", "", request("S@A.test", "Us@B.Test"),
			[]string{"/bin/x", "us@b.test", "us", "b.test", "hop.test", "S@A.test"}},
		{"quote", "flags=q argv=/bin/x $recipient $mailbox", "", request("s@a.test", "a b@b.test"), []string{"/bin/x", `"a b"@b.test`, "a b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			attrs, err := parseAttributes(append([]string{"user=x"}, strings.Fields(tc.line)...))
			if err != nil {
				t.Fatal(err)
			}
			a := &agent{params: params{Delimiter: tc.delimiter}, attributes: attrs}
			if got := a.arguments(tc.d); !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func request(sender string, rcpts ...string) *deliver.Delivery {
	r := &deliver.Request{Sender: envelope.Sender{Address: sender}, NextHop: "Hop.test"}
	for _, a := range rcpts {
		r.Recipients = append(r.Recipients, envelope.Recipient{Address: a})
	}
	return &deliver.Delivery{Request: r}
}

func FuzzTemplate(f *testing.F) {
	for _, s := range []string{"${user}", "$(user)x$domain", "${user?{$domain}}", "${extension:a$$b}", "$", "${", "${user?${user?${user"} {
		f.Add(s)
	}
	values := map[string]string{"user": "$user", "domain": "d"}
	f.Fuzz(func(t *testing.T, s string) {
		if tpl, err := parseTemplate(s); err == nil {
			tpl.repeats()
			tpl.fill(values)
		}
	})
}
