package main

import (
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/status"
)

func TestReason(t *testing.T) {
	for _, tc := range []struct {
		name, nexthop, code string
		want                status.Status
	}{
		{"with code", "5.1.1 user unknown", "5.0.0", status.Status{Code: "5.1.1", Text: "user unknown"}},
		{"without", "user unknown", "5.0.0", status.Status{Code: "5.0.0", Text: "user unknown"}},
		{"retry with a permanent code", "5.3.0 full", "4.0.0", status.Status{Code: "4.3.0", Text: "full"}},
		{"error with a temporary code", "4.3.0 full", "5.0.0", status.Status{Code: "5.3.0", Text: "full"}},
		{"empty", "", "5.0.0", status.Status{Code: "5.0.0", Text: "unspecified reason"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := reason(tc.nexthop, tc.code); got != tc.want {
				t.Errorf("reason(%q) = %+v, want %+v", tc.nexthop, got, tc.want)
			}
		})
	}
}
