package envelope

import "testing"

func TestParseNotify(t *testing.T) {
	for _, tc := range []struct {
		in   string
		want Notify
		ok   bool
	}{
		{"NEVER", NotifyNever, true},
		{"success,Failure,DELAY", NotifySuccess | NotifyFailure | NotifyDelay, true},
		{"NEVER,DELAY", NotifyNever | NotifyDelay, false},
		{"", 0, false},
		{"SUCCESS,", 0, false},
		{"NOW", 0, false},
	} {
		got, ok := ParseNotify(tc.in)
		if ok != tc.ok || ok && got != tc.want {
			t.Errorf("ParseNotify(%q) = %v, %v", tc.in, got, ok)
		}
	}
}
