package status

import "testing"

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     Status
	}{
		{"with code", "5.7.1 go away", Status{Code: "5.7.1", Text: "go away"}},
		{"without", "mail is discarded", Status{Code: "2.0.0", Text: "mail is discarded"}},
		{"only code", "4.2.0", Status{Code: "4.2.0"}},
		{"bad class", "3.2.0 x", Status{Code: "2.0.0", Text: "3.2.0 x"}},
		{"too long", "5.1000.1 x", Status{Code: "2.0.0", Text: "5.1000.1 x"}},
		{"empty", "", Status{Code: "2.0.0"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := Parse(tc.in, "2.0.0"); got != tc.want {
				t.Errorf("Parse(%q) = %+v, want %+v", tc.in, got, tc.want)
			}
		})
	}
}

func TestAs(t *testing.T) {
	got := New(554, "5.7.1", "no").As('4')
	if got != New(454, "4.7.1", "no") {
		t.Errorf("got %v", got)
	}
}
