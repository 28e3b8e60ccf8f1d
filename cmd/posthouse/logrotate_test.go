package main

import (
	"testing"
	"time"
)

func TestTimeText(t *testing.T) {
	at := time.Date(2026, 2, 3, 4, 5, 6, 0, time.UTC)
	for _, test := range []struct{ name, format, want string }{
		{"default", "%Y%m%d-%H%M%S", "20260203-040506"},
		{"day of the year", "%y.%j", "26.034"},
		{"literal", "old%%", "old%"},
		{"seconds", "%s", "1770091506"},
		{"unknown", "%Q", ""},
		{"cut", "a%", ""},
		{"empty", "", ""},
		{"directory", "../%Y", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := timeText(test.format, at)
			if got != test.want || (err == nil) != (test.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, test.want)
			}
		})
	}
}
