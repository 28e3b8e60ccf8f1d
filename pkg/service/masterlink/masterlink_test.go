package masterlink

import (
	"bytes"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	for _, r := range []Report{
		{PID: 1, Generation: 0, State: Available},
		{PID: 1 << 30, Generation: 77, State: Taken, Solitary: true},
		{PID: 42, Generation: 1, State: Retiring},
	} {
		got, err := Decode(r.Encode())
		if err != nil || got != r {
			t.Errorf("got %v %v, want %v", got, err, r)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(Report{PID: 7, State: Available}.Encode())
	f.Add([]byte("AAAAAAAAAA"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err == nil && !bytes.Equal(r.Encode(), b) {
			t.Errorf("%x decodes to %v", b, r)
		}
	})
}
