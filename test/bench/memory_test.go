package bench

import (
	"fmt"
	"net"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// client is a bare SMTP client.
type client struct {
	net.Conn
	text *textproto.Conn
}

// dial connects and greets.
func dial(addr string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	c := &client{conn, textproto.NewConn(conn)}
	if _, _, err := c.text.ReadResponse(220); err != nil {
		conn.Close()
		return nil, err
	}
	if err := c.cmd(250, "EHLO client.test"); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

func (c *client) cmd(code int, line string) error {
	if err := c.text.PrintfLine("%s", line); err != nil {
		return err
	}
	_, _, err := c.text.ReadResponse(code)
	return err
}

// message sends one and returns the time from the end of data to the reply.
func (c *client) message(from, to, body string) (time.Duration, error) {
	for _, step := range []struct {
		code int
		line string
	}{{250, "MAIL FROM:<" + from + ">"}, {250, "RCPT TO:<" + to + ">"}, {354, "DATA"}} {
		if err := c.cmd(step.code, step.line); err != nil {
			return 0, err
		}
	}
	c.text.W.WriteString(body)
	start := time.Now()
	err := c.cmd(250, ".")
	return time.Since(start), err
}

// body is a message of 4 KiB.
func body() string {
	return "From: <sender@client.test>\r\nSubject: bench\r\n\r\n" + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 57)
}

// hold opens n connections that say EHLO and then nothing.
func hold(t testing.TB, addr string, n int) []*client {
	t.Helper()
	var all []*client
	for range n {
		c, err := dial(addr)
		if err != nil {
			t.Fatalf("connection %d: %v", len(all)+1, err)
		}
		all = append(all, c)
	}
	return all
}

func memory(t *testing.T) {
	sizes := numbers(t, *idle)
	rows := [][]string{{"", "A", "B", "B/A"}}
	got := map[string][]float64{}
	for _, s := range systems(t, discard, "") {
		s.start(t)
		send(t, s, discard, cell{2, true}, 20)
		time.Sleep(2 * time.Second)
		base := pssKiB(s.pid())
		got[s.name()] = append(got[s.name()], base)
		var conns []*client
		for _, n := range sizes {
			conns = append(conns, hold(t, s.addr(), n-len(conns))...)
			time.Sleep(3 * time.Second)
			got[s.name()] = append(got[s.name()], (pssKiB(s.pid())-base)/float64(n))
		}
		for _, c := range conns {
			c.Close()
		}
		s.stop(t)
	}
	for i, label := range append([]string{"PSS without connections, KiB"}, labels(sizes)...) {
		a, b := at(got["Postfix"], i), at(got["Posthouse"], i)
		rows = append(rows, []string{label, f1(a), f1(b), f2(ratio(b, a))})
	}
	table("memory of all processes", rows)
}

func labels(sizes []int) []string {
	var out []string
	for _, n := range sizes {
		out = append(out, fmt.Sprintf("KiB more per idle connection, %d of them", n))
	}
	return out
}

func at(v []float64, i int) float64 {
	if i < len(v) {
		return v[i]
	}
	return 0
}

func latency(t *testing.T) {
	both := systems(t, discard, "")
	got := map[string]map[int][2][]float64{}
	widths := []int{1, 10}
	for range *rounds {
		for _, s := range both {
			if got[s.name()] == nil {
				got[s.name()] = map[int][2][]float64{}
			}
			s.start(t)
			send(t, s, discard, cell{5, true}, 100)
			for _, n := range widths {
				times := endOfData(t, s, n, max(1, *messages/2))
				old := got[s.name()][n]
				got[s.name()][n] = [2][]float64{append(old[0], percentile(times, 50)), append(old[1], percentile(times, 99))}
			}
			s.stop(t)
		}
	}
	rows := [][]string{{"", "A", "B", "B/A"}}
	for _, n := range widths {
		for i, what := range []string{"median", "99 %"} {
			a, b := median(got["Postfix"][n][i]), median(got["Posthouse"][n][i])
			rows = append(rows, []string{fmt.Sprintf("%d sessions, %s, ms", n, what), f2(a), f2(b), f2(ratio(b, a))})
		}
	}
	table("end of data to 250", rows)
}

// endOfData returns milliseconds.
func endOfData(t testing.TB, s system, width, n int) []float64 {
	t.Helper()
	type result struct {
		times []float64
		err   error
	}
	results := make(chan result, width)
	for range width {
		go func() {
			var r result
			c, err := dial(s.addr())
			for i := 0; err == nil && i < n/width; i++ {
				var d time.Duration
				d, err = c.message("sender@client.test", discard.recipient, body())
				r.times = append(r.times, d.Seconds()*1000)
			}
			if c != nil {
				c.Close()
			}
			r.err = err
			results <- r
		}()
	}
	var all []float64
	for range width {
		r := <-results
		if r.err != nil {
			t.Errorf("%s: %v", s.name(), r.err)
		}
		all = append(all, r.times...)
	}
	drained(t, s)
	return all
}
