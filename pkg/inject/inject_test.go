package inject

import "testing"

func TestReply(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   Result
		want string
	}{
		{"queued", Result{QueueID: "ABC"}, "250 2.0.0 Ok: queued as ABC"},
		{"size", Result{Status: StatSize}, "552 5.3.4 Error: message file too big"},
		{"write", Result{Status: StatWrite}, "451 4.3.0 Error: queue file write error"},
		{"hops", Result{Status: StatHops}, "554 5.4.0 Error: too many hops"},
		{"content", Result{Status: StatCont}, "550 5.7.1 Error: message content rejected"},
		{"content, own text", Result{Status: StatCont, Reason: "no thanks"}, "550 5.7.1 no thanks"},
		{"content, own code", Result{Status: StatCont, Reason: "5.7.9 no"}, "550 5.7.9 no"},
		{"content, own reply", Result{Status: StatCont, Reason: "554 5.6.0 no"}, "554 5.6.0 no"},
		{"content, later", Result{Status: StatCont, Reason: "4.7.1 later"}, "450 4.7.1 later"},
		{"defer wins", Result{Status: StatSize | StatDefer, Reason: "4.6.0 x"}, "451 4.6.0 x"},
		{"unknown bit", Result{Status: 1 << 20}, "451 4.3.0 Error: unknown error"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := tc.in.Reply().String(); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestFlags(t *testing.T) {
	if !(FlagsExternal | FlagUTF8 | FlagHold).Valid() || Flags(1<<15).Valid() {
		t.Error("Valid is wrong")
	}
}
