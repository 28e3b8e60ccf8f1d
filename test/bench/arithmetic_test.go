package bench

import (
	"slices"
	"strconv"
	"testing"
)

// median returns the middle value, the mean of two if there are two, and 0 of
// nothing.
func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

// percentile returns the smallest value that at least p percent of all do not
// exceed.
func percentile(v []float64, p int) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	return s[max(0, (len(s)*p+99)/100-1)]
}

// ratio returns a/b, or 0 if there is no b.
func ratio(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}

// goal is the rate that we want: twice that of Postfix, or 85 % of what the
// disk can keep if that is less.
func goal(postfix, disk float64, filesPerMessage int) float64 {
	return min(2*postfix, 0.85*disk/float64(filesPerMessage))
}

// bound is the rate of who only talks and keeps a file: one session does these
// in turn, several at once.
func bound(sessions int, talk, disk float64) float64 {
	if sessions > 1 {
		return min(talk, disk)
	}
	return ratio(1, ratio(1, talk)+ratio(1, disk))
}

func f0(v float64) string { return strconv.FormatFloat(v, 'f', 0, 64) }
func f1(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
func f2(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }

func TestArithmetic(t *testing.T) {
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"bound of one", bound(1, 300, 600), 200},
		{"bound of ten", bound(10, 300, 600), 300},
		{"median of none", median(nil), 0},
		{"median of odd", median([]float64{9, 1, 5}), 5},
		{"median of even", median([]float64{4, 1, 2, 9}), 3},
		{"p99 of one", percentile([]float64{7}, 99), 7},
		{"p99 of 200", percentile(upTo(200), 99), 198},
		{"p50 of 5", percentile(upTo(5), 50), 3},
		{"ratio", ratio(3, 2), 1.5},
		{"ratio to none", ratio(3, 0), 0},
		{"goal is twice Postfix", goal(100, 1000, 1), 200},
		{"goal is the disk", goal(1000, 1000, 2), 425},
	} {
		if c.got != c.want {
			t.Errorf("%s: got %v, want %v", c.name, c.got, c.want)
		}
	}
}

func upTo(n int) []float64 {
	var v []float64
	for i := range n {
		v = append(v, float64(i+1))
	}
	return v
}

func TestParseStat(t *testing.T) {
	const line = "812 (a) b (c) S 7 812 812 0 -1 4194560 100 200 0 0 11 22 33 44 20 0 1 0 5 6 7\n"
	p, err := parseStat(line)
	if err != nil || p.parent != 7 || p.ticks != 110 {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, bad := range []string{"", "812 a S 7", "812 (a) S x 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1"} {
		if _, err := parseStat(bad); err == nil {
			t.Errorf("accepted %q", bad)
		}
	}
}
