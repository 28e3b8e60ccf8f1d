package attack

import (
	"fmt"
	"net"
	"os"
	"time"
)

// playRole runs one of the programs that the tests start under other users.
func playRole(role string, args []string) int {
	switch role {
	case "ask":
		return askPrivate(args[0])
	case "forge":
		return forgeTicket(args[0])
	case "lie":
		return lie(args[0])
	case "replay":
		return replayTicket(args[0])
	case "signer":
		return askSigner(args[0], args[1], args[2])
	case "worker":
		return capturedWorker(args[0], args[1], args[2], args[3:])
	case "depositor":
		return depositor(args[0], args[1])
	case "misuse":
		return misuseTicket(args[0], args[1])
	}
	fmt.Fprintln(os.Stderr, "unknown role", role)
	return 2
}

// askPrivate succeeds if a private socket does not answer.
func askPrivate(path string) int {
	conn, err := net.Dial("unix", path)
	if err != nil {
		return 0
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	conn.Write([]byte("request\x00rewrite\x00rule\x00local\x00address\x00a\x00\x00"))
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	if n > 0 {
		fmt.Printf("answer %q\n", buf[:n])
		return 1
	}
	if e, ok := err.(net.Error); ok && e.Timeout() {
		fmt.Println("the connection stays open")
		return 1
	}
	return 0
}
