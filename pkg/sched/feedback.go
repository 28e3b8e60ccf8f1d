package sched

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/status"
)

// Feedback says how much a window changes with one success or failure:
// Amount, divided by the window or its square root where it says so.
type Feedback struct {
	Amount float64
	Per    Per
}

// Per is what a feedback is divided by.
type Per byte

// The divisors.
const (
	PerNone Per = iota
	PerWindow
	PerRoot
)

// ParseFeedback reads a value of default_destination_concurrency_*_feedback:
// "1", "0.5", "1/8", "1/concurrency" or "1/sqrt_concurrency".
func ParseFeedback(s string) (Feedback, error) {
	num, den, divided := strings.Cut(s, "/")
	f := Feedback{}
	var err error
	if f.Amount, err = strconv.ParseFloat(strings.TrimSpace(num), 64); err != nil {
		return f, fmt.Errorf("concurrency feedback %q: not a number", s)
	}
	switch den = strings.TrimSpace(den); {
	case !divided:
	case den == "concurrency":
		f.Per = PerWindow
	case den == "sqrt_concurrency":
		f.Per = PerRoot
	default:
		d, err := strconv.ParseFloat(den, 64)
		if err != nil || d == 0 {
			return f, fmt.Errorf("concurrency feedback %q: bad divisor", s)
		}
		f.Amount /= d
	}
	if !(f.Amount >= 0 && f.Amount <= 1) {
		return f, fmt.Errorf("concurrency feedback %q: not between 0 and 1", s)
	}
	return f, nil
}

func (f Feedback) value(window int) float64 {
	switch f.Per {
	case PerWindow:
		return f.Amount / float64(window)
	case PerRoot:
		return f.Amount / math.Sqrt(float64(window))
	}
	return f.Amount
}

// succeeded counts a success. The window grows at the end of a cycle of
// feedback, and only while it is near the concurrency that is really used;
// else a later failure would have no effect for a long time.
func (q *queue) succeeded() {
	l := &q.transport.limits
	q.cohorts = 0
	if l.Concurrency > 0 && q.window >= l.Concurrency || q.window >= q.busy+l.InitialConcurrency {
		return
	}
	f := l.Positive.value(q.window)
	q.success += f
	for q.success+f/2 >= 1 {
		q.window++
		q.success--
		q.failure = 0
	}
	if l.Concurrency > 0 {
		q.window = min(q.window, l.Concurrency)
	}
}

// failed counts a failure of the destination. The window shrinks at the start
// of a cycle of feedback. When as many requests as a window holds have failed
// CohortLimit times with no success between, the destination is dead.
func (q *queue) failed(why status.Status) {
	if q.state == dead {
		return
	}
	l := &q.transport.limits
	q.cohorts += 1 / float64(q.window)
	// Sums of 1/n fall short of 1 by a rounding error.
	if l.CohortLimit > 0 && q.cohorts >= l.CohortLimit-1e-9 {
		q.state, q.reason, q.store = dead, why, false
		return
	}
	f := l.Negative.value(q.window)
	q.failure -= f
	for q.failure+f/2 < 0 {
		q.window--
		q.success = 0
		q.failure++
	}
	q.window = max(q.window, 1)
}
