package bench

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/dkim"
	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// opendkimRate has Debian's opendkim sign messages over the milter protocol,
// which is how it works beside a Postfix.
func opendkimRate(t *testing.T, width, n int) float64 {
	if _, err := exec.LookPath("opendkim"); err != nil {
		t.Log("SKIPPED: opendkim is not installed; tools/scripts/test-deps installs it")
		return 0
	}
	dir := t.TempDir()
	key, err := dkim.Generate(dkim.RSA)
	if err != nil {
		t.Fatal(err)
	}
	pem, err := dkim.EncodeKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(file, pem, 0o600); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	conf := filepath.Join(dir, "conf")
	text := fmt.Sprintf("Domain client.test\nSelector x\nKeyFile %s\nSocket local:%s\nMode s\nCanonicalization relaxed/relaxed\nInternalHosts 127.0.0.1\nRequireSafeKeys no\n", file, socket)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("opendkim", "-f", "-x", conf)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	testkit.Wait(t, "opendkim", func() bool { _, err := os.Stat(socket); return err == nil })
	var wg sync.WaitGroup
	var sent atomic.Int64
	errs := make(chan error, width)
	start := time.Now()
	for range width {
		wg.Go(func() {
			for sent.Add(1) <= int64(n) {
				if err := milter(socket); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-errs:
		t.Fatal(err)
	default:
	}
	return float64(n) / time.Since(start).Seconds()
}

// milter sends one message through a filter, as an MTA does, and wants headers
// to be inserted.
func milter(socket string) error {
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	send := func(cmd byte, data string) {
		binary.Write(conn, binary.BigEndian, uint32(len(data)+1))
		io.WriteString(conn, string(cmd)+data)
	}
	receive := func() (byte, error) {
		var n uint32
		if err := binary.Read(conn, binary.BigEndian, &n); err != nil {
			return 0, err
		}
		b := make([]byte, n)
		_, err := io.ReadFull(conn, b)
		return b[0], err
	}
	steps := []struct {
		cmd  byte
		data string
	}{
		{'O', "\x00\x00\x00\x06\x00\x00\x01\xff\x00\x00\x00\x00"}, {'C', "localhost\x004\x30\x39127.0.0.1\x00"}, {'H', "client.test\x00"},
		{'M', "<sender@client.test>\x00"}, {'R', "<x@sink.test>\x00"}, {'L', "From\x00<sender@client.test>\x00"}, {'L', "To\x00x@sink.test\x00"},
		{'L', "Subject\x00bench\x00"}, {'N', ""}, {'B', strings.Repeat(strings.Repeat("x", 70)+"\r\n", 57)},
	}
	for _, s := range steps {
		send(s.cmd, s.data)
		if got, err := receive(); err != nil || got != 'O' && got != 'c' && got != 's' {
			return fmt.Errorf("milter: %q is answered with %q: %w", s.cmd, got, err)
		}
	}
	send('E', "")
	for signed := false; ; {
		got, err := receive()
		if err != nil {
			return err
		}
		signed = signed || got == 'i' || got == 'h'
		if got == 'a' || got == 'c' {
			if !signed {
				return fmt.Errorf("milter: no signature")
			}
			return nil
		}
	}
}
