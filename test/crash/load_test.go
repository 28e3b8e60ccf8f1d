package crash

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// client is a connection to the system under test.
type client struct {
	conn net.Conn
	r    *bufio.Reader
}

var errRefused = errors.New("refused")

// dialSMTP connects and says hello.
func dialSMTP(addr string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	c := &client{conn: conn, r: bufio.NewReader(conn)}
	code, text, err := c.reply()
	if err == nil && code == 220 {
		code, text, err = c.cmd("EHLO ledger.test\r\n")
	}
	if err == nil && code/100 != 2 {
		err = fmt.Errorf("%w: %s", errRefused, text)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) close() {
	c.conn.SetDeadline(time.Now().Add(time.Second))
	c.cmd("QUIT\r\n")
	c.conn.Close()
}

func (c *client) cmd(text string) (int, string, error) {
	c.conn.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := c.conn.Write([]byte(text)); err != nil {
		return 0, err.Error(), err
	}
	return c.reply()
}

func (c *client) reply() (code int, text string, err error) {
	c.conn.SetDeadline(time.Now().Add(30 * time.Second))
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return 0, err.Error(), err
		}
		if len(line) < 4 {
			return 0, line, errRefused
		}
		if line[3] != '-' {
			fmt.Sscan(line[:3], &code)
			return code, strings.TrimSpace(line), nil
		}
	}
}

// send hands a message over and says what is known about it then. The
// connection is only to be used again if the reply is not unknown.
func (c *client) send(e *entry, text string, bdat bool) (reply, string, error) {
	from := "sender+" + e.ID + "@example.test"
	if code, text, err := c.cmd("MAIL FROM:<" + from + ">\r\n"); err != nil || code/100 != 2 {
		return nackNow, "MAIL: " + text, err
	}
	for _, r := range e.Rcpts {
		if code, text, err := c.cmd("RCPT TO:<" + r.Address + ">\r\n"); err != nil || code/100 != 2 {
			c.cmd("RSET\r\n")
			return nackNow, "RCPT: " + text, err
		}
	}
	body := strings.ReplaceAll(text, "\n", "\r\n")
	if bdat {
		return c.sendBDAT(body)
	}
	if code, text, err := c.cmd("DATA\r\n"); err != nil || code != 354 {
		return nackNow, "DATA: " + text, err
	}
	body = strings.ReplaceAll("\n"+body, "\n.", "\n..")[1:]
	// Without the last bytes the message is not there, whatever comes then.
	if _, err := c.conn.Write([]byte(body)); err != nil {
		return nackNow, err.Error(), err
	}
	return final(c.cmd(".\r\n"))
}

func (c *client) sendBDAT(body string) (reply, string, error) {
	half := len(body) / 2
	code, text, err := c.cmd(fmt.Sprintf("BDAT %d\r\n%s", half, body[:half]))
	if err != nil || code/100 != 2 {
		c.cmd("RSET\r\n")
		return nackNow, "BDAT: " + text, err
	}
	return final(c.cmd(fmt.Sprintf("BDAT %d LAST\r\n%s", len(body)-half, body[half:])))
}

// final is the meaning of the reply to the end of the message.
func final(code int, text string, err error) (reply, string, error) {
	switch {
	case err != nil:
		return unknown, text, err
	case code/100 == 2:
		return ack, text, nil
	case code/100 == 4:
		return later, text, nil
	}
	return nackNow, text, nil
}

// sendmail hands a message to the command.
func (s *site) sendmail(e *entry, text string) (reply, string) {
	args := []string{"-i", "-f", "sender+" + e.ID + "@example.test"}
	for _, r := range e.Rcpts {
		args = append(args, r.Address)
	}
	cmd := s.mail.Command("sendmail", args...)
	cmd.Stdin = strings.NewReader(text)
	out, err := cmd.CombinedOutput()
	return exitReply(string(out), err)
}

func exitReply(out string, err error) (reply, string) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return ack, out
	case errors.As(err, &exit) && exit.ExitCode() < 0:
		return unknown, out + err.Error() // killed
	}
	return later, out + err.Error()
}

// load sends messages from several clients until the context ends.
func (s *site) load(ctx context.Context, clients, perSecond int, pick func(*rand.Rand) []recipient) *sync.WaitGroup {
	var wg sync.WaitGroup
	pause := time.Second * time.Duration(clients) / time.Duration(perSecond)
	for n := range clients {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(s.ledger.seed, uint64(n)+2))
			var c *client
			for ctx.Err() == nil {
				next := time.Now().Add(time.Duration(float64(pause) * (0.5 + random.Float64())))
				c = s.sendOne(c, random, pick(random))
				time.Sleep(time.Until(next))
			}
			if c != nil {
				c.close()
			}
		})
	}
	return &wg
}

// sendOne sends one message in one of three ways.
func (s *site) sendOne(c *client, random *rand.Rand, rcpts []recipient) *client {
	size := 500 + random.IntN(6000)
	if random.IntN(20) == 0 {
		size = 200000
	}
	way := random.IntN(10)
	if way == 0 {
		e, text := s.ledger.begin("sendmail", size, rcpts...)
		r, why := s.sendmail(e, text)
		s.ledger.end(e, r, why)
		return c
	}
	if c == nil {
		var err error
		if c, err = dialSMTP(s.mail.Addr()); err != nil {
			time.Sleep(10 * time.Millisecond)
			return nil
		}
	}
	via := "smtpd"
	if way <= 3 {
		via = "bdat"
	}
	e, text := s.ledger.begin(via, size, rcpts...)
	r, why, err := c.send(e, text, via == "bdat")
	s.ledger.end(e, r, why)
	if err != nil || strings.HasPrefix(why, "421") {
		c.conn.Close()
		return nil
	}
	return c
}

// anyRecipients picks one to four recipients of all kinds.
func anyRecipients(random *rand.Rand) []recipient {
	all := recipients()
	var out []recipient
	for _, n := range random.Perm(len(all))[:1+random.IntN(4)] {
		out = append(out, all[n])
	}
	return out
}

// one sends a single message by SMTP and returns its entry.
func (s *site) one(rcpts ...recipient) *entry {
	s.t.Helper()
	e, text := s.ledger.begin("smtpd", 3000, rcpts...)
	c, err := dialSMTP(s.mail.Addr())
	if err != nil {
		s.ledger.end(e, nackNow, err.Error())
		return e
	}
	r, why, err := c.send(e, text, false)
	s.ledger.end(e, r, why)
	if err == nil {
		go c.close()
	} else {
		c.conn.Close()
	}
	return e
}
