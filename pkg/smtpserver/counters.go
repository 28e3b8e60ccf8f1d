package smtpserver

import (
	"strconv"
	"strings"
)

// The commands, in the order in which "disconnect from" counts them.
const (
	cmdHelo = iota
	cmdEhlo
	cmdXclient
	cmdXforward
	cmdStartTLS
	cmdAuth
	cmdMail
	cmdRcpt
	cmdData
	cmdBdat
	cmdRset
	cmdNoop
	cmdVrfy
	cmdEtrn
	cmdQuit
	cmdUnknown
	numCommands
)

func commandNames() [numCommands]string {
	return [...]string{"helo", "ehlo", "xclient", "xforward", "starttls", "auth", "mail", "rcpt",
		"data", "bdat", "rset", "noop", "vrfy", "etrn", "quit", "unknown"}
}

// counters has, for each command, how many there were and how many succeeded.
type counters [numCommands]struct{ ok, total int }

func (c *counters) add(cmd int, ok bool) {
	c[cmd].total++
	if ok {
		c[cmd].ok++
	}
}

// String returns "ehlo=1 mail=1 rcpt=0/1 commands=2/3".
func (c *counters) String() string {
	var b strings.Builder
	ok, total := 0, 0
	names := commandNames()
	for i, n := range c {
		if n.total == 0 {
			continue
		}
		count(&b, names[i], n.ok, n.total)
		b.WriteByte(' ')
		ok += n.ok
		total += n.total
	}
	count(&b, "commands", ok, total)
	return b.String()
}

func count(b *strings.Builder, name string, ok, total int) {
	b.WriteString(name)
	b.WriteByte('=')
	b.WriteString(strconv.Itoa(ok))
	// Postfix says commands=0/0 for a client that said nothing.
	if ok != total || total == 0 {
		b.WriteByte('/')
		b.WriteString(strconv.Itoa(total))
	}
}
