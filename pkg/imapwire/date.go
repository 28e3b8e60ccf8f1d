package imapwire

import (
	"strings"
	"time"
)

// DateTimeLayout is the form of INTERNALDATE (RFC 9051 9: date-time).
const DateTimeLayout = "02-Jan-2006 15:04:05 -0700"

// DateTime reads a date-time in quotes.
func (d *Decoder) DateTime() time.Time {
	if d.Peek() != '"' {
		d.Fail("Invalid date-time")
		return time.Time{}
	}
	text := strings.TrimSpace(string(d.String()))
	t, err := time.Parse("_2-Jan-2006 15:04:05 -0700", text)
	if err != nil || t.Unix() < 0 {
		d.Fail("Invalid date-time")
		return time.Time{}
	}
	return t
}

// Date reads a date, quoted or not, as the first moment of the day in UTC.
func (d *Decoder) Date() time.Time {
	var text string
	if d.Peek() == '"' {
		text = string(d.String())
	} else {
		text = d.take(isAtom)
	}
	t, err := time.Parse("2-Jan-2006", text)
	if err != nil {
		d.Fail("Invalid date")
	}
	return t
}
