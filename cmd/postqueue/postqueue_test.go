package main

import (
	"bufio"
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/flushclient"
)

const stream = "protocol|mail_queue_list_protocol||" +
	"queue_name|hold|queue_id|DAE73984280|time|1795230881|size|313|forced_expire|1|sender|a@b|recipient|r1@c|reason|busy||" +
	"queue_name|active|queue_id|51DF69903E9|time|1795230881|size|5000|forced_expire|0|sender|MAILER-DAEMON|" +
	"recipient|\"a b\"@c|reason||recipient|d@e|reason|x\ty|||"

func present(t *testing.T, in string, asJSON, long bool) (string, error) {
	t.Helper()
	var out bytes.Buffer
	w := bufio.NewWriter(&out)
	var p presenter = &table{w: w, longIDs: long}
	if asJSON {
		p = &jsonLines{w: w}
	}
	err := read(bufio.NewReader(strings.NewReader(strings.ReplaceAll(in, "|", "\x00"))), p)
	w.Flush()
	return out.String(), err
}

func TestTable(t *testing.T) {
	old := time.Local
	time.Local = time.UTC
	defer func() { time.Local = old }()
	for _, tc := range []struct {
		name, in, want string
		json, long     bool
	}{
		{"empty", "protocol|mail_queue_list_protocol|||", "Mail queue is empty\n", false, false},
		{"empty json", "protocol|mail_queue_list_protocol|||", "", true, false},
		{"two", stream, `-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------
DAE73984280!#     313 Sat Nov 21 03:14:41  a@b
                                                                        (busy)
                                         r1@c

51DF69903E9*    5000 Sat Nov 21 03:14:41  MAILER-DAEMON
                                         "a b"@c
                                                                         (x	y)
                                         d@e

-- 5 Kbytes in 2 Requests.
`, false, false},
		{"json", stream, `{"queue_name": "hold", "queue_id": "DAE73984280", "arrival_time": 1795230881, "message_size": 313, "forced_expire": true, "sender": "a@b", "recipients": [{"address": "r1@c", "delay_reason": "busy"}]}
{"queue_name": "active", "queue_id": "51DF69903E9", "arrival_time": 1795230881, "message_size": 5000, "forced_expire": false, "sender": "MAILER-DAEMON", "recipients": [{"address": "\"a b\"@c"}, {"address": "d@e", "delay_reason": "x\ty"}]}
`, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := present(t, tc.in, tc.json, tc.long)
			if diff := cmp.Diff(tc.want, got); diff != "" || err != nil {
				t.Errorf("%v\n%s", err, diff)
			}
		})
	}
}

func TestStreamIsDistrusted(t *testing.T) {
	for _, in := range []string{"", "protocol|other||", "protocol|mail_queue_list_protocol|",
		stream[:len(stream)-1], stream[:len(stream)-30], "protocol|mail_queue_list_protocol||queue_id|x|||",
		"protocol|mail_queue_list_protocol||recipient|x|reason|y|||", "protocol|mail_queue_list_protocol||time|x|||",
		strings.Repeat("x", 1<<20)} {
		if out, err := present(t, in, false, false); err == nil {
			t.Errorf("%.60q was accepted: %s", in, out)
		}
	}
}

func TestParse(t *testing.T) {
	for _, args := range [][]string{{}, {"-p", "-j"}, {"-p", "x"}, {"-z"}, {"-i"}, {"-f", "-s", "x"}} {
		if _, err := parse(args, func(string) {}); err == nil || err.(*failure).code != exUsage {
			t.Errorf("%q: %v", args, err)
		}
	}
	for site, want := range map[string]bool{"example.com": true, "[192.0.2.1]": true, "[ipv6:::1]": true,
		"[x]": false, "a b": false, "": false, "../x": false} {
		if flushclient.ValidSite(site) != want {
			t.Errorf("site %q: want %v", site, want)
		}
	}
}
