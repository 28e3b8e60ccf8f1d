package deliver

import (
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/envelope"
)

// significantDigits is how exact the logged delays are.
const significantDigits = 2

// writeDelays writes delay= and delays=a/b/c/d: before the active queue, in
// it, connection set-up, transmission.
func writeDelays(b *strings.Builder, t envelope.Times, digits int) {
	var scratch [24]byte
	conn := t.ConnDone
	setup := conn.Sub(t.AgentStart)
	if conn.IsZero() {
		conn, setup = t.AgentStart, 0
	}
	b.WriteString(", delay=")
	b.Write(appendDelay(scratch[:0], t.Delivered.Sub(t.Arrival), digits))
	b.WriteString(", delays=")
	b.Write(appendDelay(scratch[:0], t.Active.Sub(t.Arrival), digits))
	b.WriteByte('/')
	b.Write(appendDelay(scratch[:0], t.AgentStart.Sub(t.Active), digits))
	b.WriteByte('/')
	b.Write(appendDelay(scratch[:0], setup, digits))
	b.WriteByte('/')
	b.Write(appendDelay(scratch[:0], t.Delivered.Sub(conn), digits))
}

// appendDelay formats a delay with two significant digits, at most maxDigits
// of them after the point, without trailing zeros
// (delay_logging_resolution_limit). A clock that went back counts as 0.
func appendDelay(dst []byte, d time.Duration, maxDigits int) []byte {
	if d < 0 {
		d = 0
	}
	maxDigits = min(max(maxDigits, 0), 6)
	usec := d.Microseconds()
	decimals := significantDigits
	for unit := int64(1e6); usec >= unit && decimals > 0; unit *= 10 {
		decimals--
	}
	for unit := int64(1e5); usec < unit && usec > 0 && unit > 0; unit /= 10 {
		decimals++
	}
	decimals = min(decimals, maxDigits)
	step := int64(1e6)
	for range decimals {
		step /= 10
	}
	usec = (usec + step/2) / step * step
	dst = strconv.AppendInt(dst, usec/1e6, 10)
	frac := usec % 1e6
	if frac == 0 {
		return dst
	}
	dst = append(dst, '.')
	for unit := int64(1e5); frac > 0; unit /= 10 {
		dst = append(dst, byte('0'+frac/unit))
		frac %= unit
	}
	return dst
}
