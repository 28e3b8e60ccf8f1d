package main

import (
	"bufio"
	"fmt"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/printable"
)

// table prints the listing as mailq does.
type table struct {
	w       *bufio.Writer
	longIDs bool
	count   int
	bytes   int64
	reason  string
}

func (t *table) message(h header) error {
	if t.count == 0 {
		t.columns("-Queue ID-", "--Size--", "----Arrival Time----", "-Sender/Recipient-------")
	} else {
		t.w.WriteByte('\n')
	}
	t.count++
	h.id, h.sender = visible(h.id), visible(h.sender)
	t.bytes += h.size
	t.reason = ""
	mark := ""
	switch h.queue {
	case "active":
		mark = "*"
	case "hold":
		mark = "!"
	}
	if h.forcedExpire {
		mark += "#"
	}
	arrival := time.Unix(h.arrival, 0).Format("Mon Jan _2 15:04:05 2006")
	if t.longIDs {
		_, err := fmt.Fprintf(t.w, "%-17s %8d %.19s %s\n", h.id+mark, h.size, arrival, h.sender)
		return err
	}
	_, err := fmt.Fprintf(t.w, "%-11s %7d %.20s %s\n", h.id+mark, h.size, arrival, h.sender)
	return err
}

// visible makes text safe for a terminal. Our showq has done so already; that
// of another may not have.
func visible(s string) string {
	parts := strings.Split(s, "\t")
	for i := range parts {
		parts[i] = printable.Text(parts[i])
	}
	return strings.Join(parts, "\t")
}

func (t *table) columns(id, size, when, who string) {
	if t.longIDs {
		if id != "" {
			id, when, who = "----Queue ID-----", when[1:], "--Sender/Recipient------"
		}
		fmt.Fprintf(t.w, "%-17s %8s %-19s %s\n", id, size, when, who)
		return
	}
	fmt.Fprintf(t.w, "%-11s %7s %-20s %s\n", id, size, when, who)
}

func (t *table) recipient(addr, reason string) error {
	addr, reason = visible(addr), visible(reason)
	// One reason for several recipients is shown once.
	if reason != "" && reason != t.reason {
		fmt.Fprintf(t.w, "%s(%s)\n", strings.Repeat(" ", max(0, 76-len(reason))), reason)
	}
	t.reason = reason
	t.columns("", "", "", addr)
	return nil
}

func (t *table) endMessage() error { return nil }

func (t *table) end() error {
	if t.count == 0 {
		_, err := t.w.WriteString("Mail queue is empty\n")
		return err
	}
	plural := "s"
	if t.count == 1 {
		plural = ""
	}
	_, err := fmt.Fprintf(t.w, "\n-- %d Kbytes in %d Request%s.\n", t.bytes/1024, t.count, plural)
	return err
}

// jsonLines prints each message as a JSON object on a line of its own.
type jsonLines struct {
	w     *bufio.Writer
	rcpts int
}

func (j *jsonLines) message(h header) error {
	j.rcpts = 0
	_, err := fmt.Fprintf(j.w, "{\"queue_name\": %s, \"queue_id\": %s, \"arrival_time\": %d, \"message_size\": %d, "+
		"\"forced_expire\": %t, \"sender\": %s, \"recipients\": [",
		quote(h.queue), quote(h.id), h.arrival, h.size, h.forcedExpire, quote(h.sender))
	return err
}

func (j *jsonLines) recipient(addr, reason string) error {
	if j.rcpts++; j.rcpts > 1 {
		j.w.WriteString(", ")
	}
	j.w.WriteString("{\"address\": " + quote(addr))
	if reason != "" {
		j.w.WriteString(", \"delay_reason\": " + quote(reason))
	}
	_, err := j.w.WriteString("}")
	return err
}

func (j *jsonLines) endMessage() error {
	_, err := j.w.WriteString("]}\n")
	return err
}

func (j *jsonLines) end() error { return nil }

// quote returns a JSON string. Text beyond ASCII is passed through.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case '\b':
			b.WriteString(`\b`)
		case '\f':
			b.WriteString(`\f`)
		case '\n':
			b.WriteString(`\n`)
		case '\r':
			b.WriteString(`\r`)
		case '\t':
			b.WriteString(`\t`)
		default:
			if c < ' ' || c == 0x7f {
				fmt.Fprintf(&b, `\u%04X`, c)
			} else {
				b.WriteByte(c)
			}
		}
	}
	b.WriteByte('"')
	return b.String()
}
