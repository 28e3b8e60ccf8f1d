package attack

import (
	"math"
	"slices"
	"testing"
	"time"
)

// rankSum is the test of Mann and Whitney: z says how far the times of a lie
// above those of b, in standard deviations of two samples of one kind, and p how
// likely such a distance or a larger one is if they are. Only the order counts, so
// a few times that the machine made long do not matter.
func rankSum(a, b []time.Duration) (z, p float64) {
	type one struct {
		d     time.Duration
		first bool
	}
	all := make([]one, 0, len(a)+len(b))
	for _, d := range a {
		all = append(all, one{d, true})
	}
	for _, d := range b {
		all = append(all, one{d, false})
	}
	slices.SortFunc(all, func(x, y one) int { return int(x.d - y.d) })
	n1, n2, n := float64(len(a)), float64(len(b)), float64(len(all))
	sum, ties := 0.0, 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].d == all[i].d {
			j++
		}
		rank := float64(i+j+1) / 2 // the mean of the ranks i+1 to j
		for _, x := range all[i:j] {
			if x.first {
				sum += rank
			}
		}
		k := float64(j - i)
		ties += k*k*k - k
		i = j
	}
	u := sum - n1*(n1+1)/2
	variance := n1 * n2 / 12 * (n + 1 - ties/(n*(n-1)))
	if variance == 0 {
		return 0, 1
	}
	z = (u - n1*n2/2) / math.Sqrt(variance)
	return z, math.Erfc(math.Abs(z) / math.Sqrt2)
}

// TestRankSum: the figures were worked out by hand, by the formula with ties and
// without the correction for continuity.
func TestRankSum(t *testing.T) {
	ms := func(list ...int) (d []time.Duration) {
		for _, n := range list {
			d = append(d, time.Duration(n)*time.Millisecond)
		}
		return d
	}
	for _, tc := range []struct {
		a, b []time.Duration
		z, p float64
	}{
		{ms(1, 2, 3, 4), ms(5, 6, 7, 8), -2.3094, 0.02092},
		{ms(5, 6, 7, 8), ms(1, 2, 3, 4), 2.3094, 0.02092},
		{ms(1, 2, 2, 3, 9), ms(2, 3, 4, 5, 6), -1.0607, 0.28884},
		{ms(7, 7, 7), ms(7, 7), 0, 1},
	} {
		if z, p := rankSum(tc.a, tc.b); math.Abs(z-tc.z) > 1e-3 || math.Abs(p-tc.p) > 1e-3 {
			t.Errorf("%v and %v: z %.4f p %.5f, want %.4f %.5f", tc.a, tc.b, z, p, tc.z, tc.p)
		}
	}
	var a, b []time.Duration
	for i := range 500 {
		a, b = append(a, time.Duration(i)*time.Microsecond), append(b, time.Duration(i+60)*time.Microsecond)
	}
	if z, p := rankSum(a, b); z > -5 || p > 1e-6 {
		t.Errorf("shifted by an eighth of the spread: z %.2f p %g", z, p)
	}
}
