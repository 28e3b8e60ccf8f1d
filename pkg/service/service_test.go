package service

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/jail"
)

func TestParseOptions(t *testing.T) {
	t.Setenv("MAIL_CONFIG", "")
	for _, tc := range []struct {
		name, line string
		want       options
		err        string
	}{
		{"as master does", "smtpd -n smtp -t inet -c /etc/x -s 2 -g 7 -u -j -v -v -o a=b -o c= d", options{
			configDir: "/etc/x", service: "smtp", typ: "inet", sockets: 2, generation: 7, unpriv: true, chroot: true, verbose: 2,
			overrides: []config.Override{{Name: "a", Value: "b"}}, args: nil}, "option -o needs"},
		{"own arguments", "pipe -s1 -S -l -p flags=R user=x -o y", options{configDir: defaultConfigDir, typ: "unix", sockets: 1,
			stress: true, single: true, private: true, args: []string{"flags=R", "user=x", "-o", "y"}}, ""},
		{"unknown option", "smtpd -s 1 -X -v", options{configDir: defaultConfigDir, typ: "unix", sockets: 1, args: []string{"-X", "-v"}}, ""},
		{"alone", "smtpd --listen=/tmp/x", options{configDir: defaultConfigDir, typ: "unix", listen: "/tmp/x"}, ""},
		{"by hand", "smtpd", options{}, "started by master"},
		{"help", "smtpd -c /etc/x --help", options{}, errHelp.Error()},
		{"not from master", "smtpd -s 1 -h", options{configDir: defaultConfigDir, typ: "unix", sockets: 1, help: true}, ""},
		{"unknown option by hand", "smtpd --bogus", options{}, `unexpected argument "--bogus"`},
		{"argument by hand", "smtpd --listen x now", options{}, `unexpected argument "now"`},
		{"both", "smtpd -s 1 --listen x", options{}, "exclude each other"},
		{"no value", "smtpd -s", options{}, "needs a value"},
		{"too many", "smtpd -s 1001", options{}, "bad number"},
		{"negative", "smtpd -s 1 -g -1", options{}, "bad number"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			line := strings.Replace(tc.line, "c= d", "d", 1)
			got, err := parseOptions(strings.Fields(line), strings.HasPrefix(line, "pipe"))
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want %s", err, tc.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if len(got.args) == 0 {
				got.args = nil
			}
			if d := cmp.Diff(tc.want, got, cmp.AllowUnexported(options{})); d != "" {
				t.Error(d)
			}
		})
	}
}

// place makes a configuration and a queue directory and returns them.
func place(t *testing.T) (etc, queue string) {
	t.Helper()
	dir := t.TempDir()
	etc, queue = filepath.Join(dir, "etc"), filepath.Join(dir, "spool")
	for _, d := range []string{etc, queue, filepath.Join(dir, "data")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	text := fmt.Sprintf("compatibility_level = 3.6\nqueue_directory = %s\ndata_directory = %s/data\nmyhostname = mail.example.test\nmail_owner = daemon\n", queue, dir)
	if err := os.WriteFile(filepath.Join(etc, "main.cf"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return etc, queue
}

// alone runs a daemon in this process until it retires, and returns its socket
// and its exit status.
func alone(t *testing.T, d Daemon, more ...string) (socket string, status <-chan int) {
	t.Helper()
	wd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chdir(wd) })
	etc, queue := place(t)
	socket = filepath.Join(queue, "sock")
	c := make(chan int, 1)
	go func() {
		c <- run(d, append([]string{d.Name, "-c", etc, "--listen", socket, "-o", "max_idle=1s"}, more...))
	}()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		if _, err := os.Stat(socket); err == nil {
			return socket, c
		}
		if time.Now().After(end) {
			t.Fatal("no socket")
		}
	}
}

// dial connects as soon as somebody listens.
func dial(t *testing.T, socket string) net.Conn {
	t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.SetDeadline(time.Now().Add(time.Minute))
			t.Cleanup(func() { c.Close() })
			return c
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func wait(t *testing.T, status <-chan int, want int) {
	t.Helper()
	select {
	case got := <-status:
		if got != want {
			t.Errorf("exit status %d, want %d", got, want)
		}
	case <-time.After(time.Minute):
		t.Fatal("the daemon does not end")
	}
}

func TestLifeOfADaemon(t *testing.T) {
	var mu sync.Mutex
	var steps []string
	step := func(s string) {
		mu.Lock()
		defer mu.Unlock()
		steps = append(steps, s)
	}
	d := Daemon{Name: "lifed", Args: "words", Jail: jail.QueueOnly, Prepare: func(env *Env) (*Hooks, error) {
		step("prepare " + strings.Join(env.Args, " "))
		if wd, _ := os.Getwd(); wd != env.QueueDir {
			t.Errorf("working directory %s", wd)
		}
		return &Hooks{
			Ready: func(ctx context.Context) error {
				step("ready")
				context.AfterFunc(ctx, func() { step("ctx done") })
				return nil
			},
			Session: func(_ context.Context, conn net.Conn) error {
				line, err := bufio.NewReader(conn).ReadString('\n')
				if err != nil {
					return err
				}
				if line == "panic\n" {
					panic("asked for")
				}
				_, err = conn.Write([]byte(line))
				return err
			},
			Drain: func() { time.Sleep(20 * time.Millisecond); step("drain") },
		}, nil
	}}
	socket, status := alone(t, d, "a", "b")
	c := dial(t, socket)
	p := dial(t, socket)
	fmt.Fprint(p, "panic\n")
	if _, err := p.Read(make([]byte, 1)); err == nil {
		t.Error("no end of the session that panicked")
	}
	// The other session goes on, and the process ends after it.
	fmt.Fprint(c, "hello\n")
	if line, _ := bufio.NewReader(c).ReadString('\n'); line != "hello\n" {
		t.Errorf("got %q", line)
	}
	wait(t, status, 0)
	if d := cmp.Diff([]string{"prepare a b", "ready", "ctx done", "drain"}, steps); d != "" {
		t.Error(d)
	}
}

// TestStartGivesMemoryBack: a daemon whose start took much memory, as the first
// look at a costly password does, does not keep it while nobody comes.
func TestStartGivesMemoryBack(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // not by chance
	debug.FreeOSMemory()
	held := func() uint64 {
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapSys - m.HeapReleased
	}
	before := held()
	prepared := make(chan uint64, 1)
	_, status := alone(t, Daemon{Name: "test", Kind: Stream, Calm: true, Prepare: func(*Env) (*Hooks, error) {
		runtime.KeepAlive(make([]byte, 64<<20))
		prepared <- held()
		return &Hooks{Session: func(context.Context, net.Conn) error { return nil }}, nil
	}})
	if after := <-prepared; after < before+48<<20 {
		t.Fatalf("%d bytes before, %d after the start", before, after)
	}
	for end := time.Now().Add(time.Minute); held() > before+32<<20; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d bytes before, %d after a while", before, held())
		}
	}
	wait(t, status, 0)
}

func TestPrepareFails(t *testing.T) {
	d := Daemon{Name: "faild", Prepare: func(*Env) (*Hooks, error) { return nil, errors.New("no") }}
	_, status := alone(t, d)
	wait(t, status, 1)
}

func TestChangedTableRetires(t *testing.T) {
	changed := make(chan bool, 1)
	d := Daemon{Name: "tabled", Permanent: true, Prepare: func(*Env) (*Hooks, error) {
		return &Hooks{
			Session: func(_ context.Context, conn net.Conn) error { _, err := conn.Write([]byte("x")); return err },
			Changed: func() bool { return len(changed) > 0 },
		}, nil
	}}
	socket, status := alone(t, d)
	dial(t, socket).Read(make([]byte, 1))
	changed <- true
	wait(t, status, 0)
}

func TestTriggerSocket(t *testing.T) {
	got := make(chan string, 1)
	d := Daemon{Name: "trigd", Kind: Trigger, Prepare: func(*Env) (*Hooks, error) {
		return &Hooks{Trigger: func(_ context.Context, request []byte) { got <- string(request) }}, nil
	}}
	socket, status := alone(t, d)
	dial(t, socket).Close()
	if err := ipc.Trigger(socket, []byte("DFA")); err != nil {
		t.Fatal(err)
	}
	if s := <-got; s != "DFA" {
		t.Errorf("got %q", s)
	}
	wait(t, status, 0)
}

func TestPassedConnection(t *testing.T) {
	d := Daemon{Name: "passd", Prepare: func(*Env) (*Hooks, error) {
		return &Hooks{Session: func(_ context.Context, conn net.Conn) error {
			_, err := fmt.Fprintf(conn, "%s\n", conn.LocalAddr())
			return err
		}}, nil
	}}
	socket, status := alone(t, d, "-t", "pass")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	front, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	f, err := front.(*net.TCPConn).File()
	if err != nil {
		t.Fatal(err)
	}
	if err := ipc.SendFile(dial(t, socket).(*net.UnixConn), f); err != nil {
		t.Fatal(err)
	}
	f.Close()
	front.Close()
	line, err := bufio.NewReader(client).ReadString('\n')
	if err != nil || strings.TrimSpace(line) != l.Addr().String() {
		t.Errorf("%q %v", line, err)
	}
	wait(t, status, 0)
}

func TestPeerOfPrivateEndpoint(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dial(t, socket)
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := &server{process: &process{env: &Env{Private: true}, owners: []int{os.Getuid() + 1}}}
	if err := s.checkPeer(conn.(*net.UnixConn)); err == nil {
		t.Error("a stranger may use a private endpoint")
	}
	s.owners = append(s.owners, os.Getuid())
	if err := s.checkPeer(conn.(*net.UnixConn)); err != nil {
		t.Error(err)
	}
}
