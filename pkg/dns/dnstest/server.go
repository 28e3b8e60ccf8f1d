package dnstest

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	mdns "github.com/miekg/dns"
)

// Server is a name server on 127.0.0.1, UDP and TCP on one port.
type Server struct {
	*Zone
	Addr netip.AddrPort

	udp *net.UDPConn
	tcp *net.TCPListener
	wg  sync.WaitGroup
}

// Start starts a server that answers from the text and stops with the test.
func Start(tb testing.TB, text string) *Server {
	tb.Helper()
	z, err := Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{Zone: z}
	if err := s.listen(); err != nil {
		tb.Fatal(err)
	}
	s.wg.Add(2)
	go s.serveUDP()
	go s.serveTCP()
	tb.Cleanup(func() {
		s.udp.Close()
		s.tcp.Close()
		s.wg.Wait()
	})
	return s
}

// listen finds a port that is free for both protocols.
func (s *Server) listen() error {
	var last error
	for range 20 {
		udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		addr := udp.LocalAddr().(*net.UDPAddr).AddrPort()
		tcp, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(addr))
		if err == nil {
			s.udp, s.tcp, s.Addr = udp, tcp, addr
			return nil
		}
		udp.Close()
		last = err
	}
	return fmt.Errorf("listen: %w", last)
}

// WriteResolvConf writes a resolv.conf into a configuration directory, so
// that the daemons of that instance ask this server, and an empty hosts file.
func (s *Server) WriteResolvConf(tb testing.TB, dir string) {
	tb.Helper()
	text := fmt.Sprintf("nameserver %s\noptions timeout:1 attempts:2\n", s.Addr)
	for name, text := range map[string]string{"resolv.conf": text, "hosts": ""} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			tb.Fatal(err)
		}
	}
}

func (s *Server) serveUDP() {
	defer s.wg.Done()
	buf := make([]byte, 1<<16)
	for {
		n, from, err := s.udp.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		for _, out := range s.packets(buf[:n]) {
			s.udp.WriteToUDPAddrPort(out, from)
		}
	}
}

// packets returns what to send for one UDP query.
func (s *Server) packets(in []byte) [][]byte {
	q := new(mdns.Msg)
	if q.Unpack(in) != nil {
		return nil
	}
	m, word := s.reply(q)
	switch word {
	case "TIMEOUT":
		return nil
	case "TRUNCATE", "NOTCP":
		m.Truncated, m.Answer = true, nil
	case "WRONGID":
		m.Id++
	case "WRONGQUESTION":
		m.Question[0].Name = "other." + m.Question[0].Name
	}
	limit := mdns.MinMsgSize
	if o := q.IsEdns0(); o != nil {
		limit = int(o.UDPSize())
	}
	m.Truncate(limit)
	out, err := m.Pack()
	if err != nil {
		return nil
	}
	if word == "GARBAGE" {
		out = append(out[:12:12], 0xff, 0xff, 0xff)
	}
	return [][]byte{out}
}

func (s *Server) serveTCP() {
	defer s.wg.Done()
	for {
		conn, err := s.tcp.Accept()
		if err != nil {
			return
		}
		s.answerTCP(conn)
		conn.Close()
	}
}

func (s *Server) answerTCP(conn net.Conn) {
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	var size [2]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return
	}
	buf := make([]byte, binary.BigEndian.Uint16(size[:]))
	if _, err := io.ReadFull(conn, buf); err != nil {
		return
	}
	q := new(mdns.Msg)
	if q.Unpack(buf) != nil {
		return
	}
	m, word := s.reply(q)
	if word == "NOTCP" {
		return
	}
	out, err := m.Pack()
	if err != nil || len(out) > 1<<16-1 {
		return
	}
	conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(out))), out...))
}
