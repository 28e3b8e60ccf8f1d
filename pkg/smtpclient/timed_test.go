package smtpclient

import (
	"errors"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// TestMinRate holds that a server that takes a little all the time is given up
// on only where a minimum rate is asked for.
func TestMinRate(t *testing.T) {
	for _, test := range []struct {
		name string
		rate int
		fail bool
	}{
		{"no rate", 0, false},
		{"slower than the server", 100, false},
		{"faster than the server", 10000, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				client, server := net.Pipe()
				defer server.Close()
				go func() {
					// 1000 bytes a second.
					buf := make([]byte, 1000)
					for {
						if _, err := server.Read(buf); err != nil {
							return
						}
						time.Sleep(time.Second)
					}
				}()
				c := &timedConn{Conn: client, raw: client, rate: test.rate}
				c.begin(30 * time.Second)
				_, err := c.Write(make([]byte, 100*1000))
				if got := errors.Is(err, os.ErrDeadlineExceeded); got != test.fail || err != nil && !test.fail {
					t.Errorf("got %v, want failure: %v", err, test.fail)
				}
				client.Close()
				time.Sleep(2 * time.Second)
			})
		})
	}
}
