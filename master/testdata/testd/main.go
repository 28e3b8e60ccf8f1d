// Testd is a daemon for the tests of master: it does what its clients say.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/jail"
	"github.com/posthouse-mail/posthouse/pkg/service"
)

func main() {
	d := service.Daemon{Name: "testd", Jail: jail.QueueOnly, Prepare: prepare}
	for _, a := range os.Args {
		switch a {
		case "trigger":
			d.Kind = service.Trigger
			d.Solitary = true
		case "parent":
			d.Jail = jail.Parent
		case "keeps":
			d.Solitary, d.Keeps = true, true
		case "network":
			d.Jail = jail.Network
		}
	}
	service.Main(d)
}

func prepare(env *service.Env) (*service.Hooks, error) {
	for _, a := range env.Args {
		if a == "broken" {
			return nil, errors.New("broken as asked")
		}
	}
	kept, _, err := env.Keep.Take()
	if err != nil {
		return nil, err
	}
	note := string(kept)
	return &service.Hooks{
		Drain: func() {
			if err := env.Keep.Leave([]byte(note)); err != nil {
				env.Log.Warn("", "%v", err)
			}
		},
		Session: func(ctx context.Context, conn net.Conn) error { return session(ctx, env, conn, &note) },
		Trigger: func(_ context.Context, request []byte) { env.Log.Info("", "trigger %s", request) },
	}, nil
}

// session obeys one-line commands.
func session(ctx context.Context, env *service.Env, conn net.Conn, note *string) error {
	if len(env.Args) > 0 && env.Args[0] == "ipc" {
		return lists(ctx, conn)
	}
	conn.SetDeadline(time.Now().Add(time.Minute))
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-service.Stopping(ctx):
			fmt.Fprintln(conn, "bye")
			conn.SetReadDeadline(time.Now())
		case <-done:
		}
	}()
	lines := bufio.NewScanner(conn)
	for lines.Scan() {
		word, arg, _ := strings.Cut(lines.Text(), " ")
		switch word {
		case "pid":
			fmt.Fprintf(conn, "%d\n", os.Getpid())
		case "stress":
			fmt.Fprintf(conn, "%v\n", env.Stress)
		case "env":
			fmt.Fprintf(conn, "%s\n", strings.Join(os.Environ(), " "))
		case "args":
			fmt.Fprintf(conn, "%q\n", env.Args)
		case "note":
			fmt.Fprintf(conn, "%s.\n", *note)
			if arg != "" {
				*note = arg
			}
		case "panic":
			panic("as asked")
		case "exit":
			n, _ := strconv.Atoi(arg)
			os.Exit(n)
		case "open":
			f, err := os.Open(arg)
			fmt.Fprintf(conn, "%v\n", err)
			f.Close()
		}
	}
	return lines.Err()
}

// lists answers attribute lists until the client has enough.
func lists(_ context.Context, conn net.Conn) error {
	c := ipc.NewConn(conn)
	for {
		if _, err := c.Receive(); err != nil {
			return err
		}
		if err := c.Send(ipc.List{}.Int("pid", int64(os.Getpid()))); err != nil {
			return err
		}
	}
}
