package testkit

import (
	"errors"
	"net"
	"syscall"
	"testing"
	"time"
)

// TestClosed: the port refuses, nobody else gets it, and it can be opened.
func TestClosed(t *testing.T) {
	c := NewClosed(t)
	if _, err := net.Dial("tcp", c.Addr()); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("a closed port: %v", err)
	}
	if ln, err := net.Listen("tcp", c.Addr()); err == nil {
		ln.Close()
		t.Error("somebody else can listen there")
	}
	ln := c.Listen(t)
	conn, err := net.DialTimeout("tcp", c.Addr(), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	got, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	got.Close()
}

// TestFreePorts: what one test has been given no other one gets.
func TestFreePorts(t *testing.T) {
	seen := map[int]bool{}
	for range 20 {
		base := FreePorts(t)
		if seen[base] {
			t.Errorf("port %d twice", base)
		}
		seen[base] = true
		for port := base; port < base+portsEach-1; port++ {
			ln, err := net.Listen("tcp", loopback(port))
			if err != nil {
				t.Fatal(err)
			}
			ln.Close()
		}
	}
}

// TestArrivals: names of one second are in the order of their microseconds.
func TestArrivals(t *testing.T) {
	for _, tc := range []struct {
		a, b string
		want int
	}{
		{"1700000000.M9P1.h", "1700000000.M10P1.h", -1},
		{"1700000000.V10I2M30.h", "1700000000.V10I1M4.h", 1},
		{"999.M1.h", "1000.M0.h", -1},
		{"x", "y", -1},
		{"1.M1.a", "1.M1.a", 0},
	} {
		if got := byArrival(tc.a, tc.b); got != tc.want {
			t.Errorf("%s and %s: %d", tc.a, tc.b, got)
		}
	}
}
