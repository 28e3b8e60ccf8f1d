package worker

import (
	"cmp"
	"fmt"
	"os"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/status"
)

// exitTexts are the meanings of exit statuses, as sysexits.h has them.
var exitTexts = map[int64]status.Status{
	64: status.New(0, "5.3.0", "command line usage error"),
	65: status.New(0, "5.6.0", "data format error"),
	66: status.New(0, "5.3.0", "cannot open input"),
	67: status.New(0, "5.1.1", "user unknown"),
	68: status.New(0, "5.1.2", "host name unknown"),
	69: status.New(0, "5.3.0", "service unavailable"),
	70: status.New(0, "5.3.0", "internal software error"),
	71: status.New(0, "4.3.0", "system resource problem"),
	72: status.New(0, "5.3.0", "critical OS file missing"),
	73: status.New(0, "5.2.0", "can't create user output file"),
	74: status.New(0, "5.3.0", "input/output error"),
	75: status.New(0, "4.3.0", "temporary failure"),
	76: status.New(0, "5.5.0", "remote error in protocol"),
	77: status.New(0, "5.7.0", "permission denied"),
	78: status.New(0, "5.3.5", "local configuration error"),
}

// CommandOutcome turns the end of a command into a status, and for a failure
// the Diagnostic-Code of type x-unix: what the command said, or what its end
// means. A status code at the beginning of its output counts before its exit
// status.
func CommandOutcome(command string, reply ipc.List, sent string) (s status.Status, diagnostic string) {
	if s := Outcome(reply); !s.Success() {
		return s, ""
	}
	output := Output(reply)
	if on, err := reply.GetBool("timeout"); err == nil && on {
		text := fmt.Sprintf("Command time limit exceeded: \"%s\"", command)
		return status.New(0, "5.3.0", text), cmp.Or(output, text)
	}
	var died status.Status
	if n, err := reply.GetInt("signal"); err == nil {
		died = status.New(0, "4.3.0", fmt.Sprintf("Command died with signal %d: \"%s\"", n, command))
	} else {
		exit, err := reply.GetInt("exit")
		if err != nil {
			return status.New(0, "4.3.0", "malformed reply of a delivery process"), ""
		}
		if exit == 0 {
			return status.New(0, "2.0.0", sent), ""
		}
		if s := status.Parse(output, ""); s.Permanent() || s.Temporary() {
			return status.New(0, s.Code, s.Text), s.Text
		}
		died = exitStatus(exit, command)
	}
	return status.New(0, died.Code, died.Text+outputText(output)), cmp.Or(output, died.Text)
}

// exitStatus is what an exit status other than 0 means.
func exitStatus(exit int64, command string) status.Status {
	if s, ok := exitTexts[exit]; ok {
		return s
	}
	text := fmt.Sprintf("Command died with status %d: \"%s\"", exit, command)
	if exit == 126 || exit == 127 {
		// The program is missing or not executable: the site's mistake,
		// which the next try may find mended.
		return status.New(0, "4.3.5", text)
	}
	return status.New(0, "5.3.0", text)
}

func outputText(output string) string {
	if output == "" {
		return ""
	}
	return ". Command output: " + output
}

// Output is what the command said, fit for a log.
func Output(reply ipc.List) string {
	return strings.TrimSpace(printable.Text(strings.ReplaceAll(reply.Value("output"), "\n", " ")))
}

// FromLine is a sender as it stands in the line that begins a message of a
// mailbox file.
func FromLine(sender string) string {
	if sender == "" {
		return "MAILER-DAEMON"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return '-'
		}
		return r
	}, sender)
}

// Exported returns the variables of export_environment: name=value, or a name
// whose value is this process's.
func Exported(names []string) []string {
	var env []string
	for _, v := range names {
		if strings.Contains(v, "=") {
			env = append(env, v)
		} else if value, ok := os.LookupEnv(v); ok && v != "PATH" {
			env = append(env, v+"="+value)
		}
	}
	return env
}
