package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/status"
	"github.com/posthouse-mail/posthouse/pkg/worker"
)

// toCommandTarget runs a command that an alias or .forward names.
func (j *job) toCommandTarget(ctx context.Context, p place, command string) {
	if !contains(j.AllowCommands, p.source) {
		j.fail(ctx, p, "5.7.1", "mail to command is restricted")
		return
	}
	if !j.once("command", command) {
		return
	}
	name := strings.ToLower(first(address.Split(p.addr)))
	base, ext, _ := j.split.Split(name)
	u := account{}
	if p.account != nil {
		u = *p.account
	}
	j.run1(ctx, p, command, u, base, ext)
}

// run1 runs a command. Text from the message is in it nowhere: the shell takes
// "$EXTENSION" and the like from the environment, whose values have passed
// command_expansion_filter.
func (j *job) run1(ctx context.Context, p place, command string, u account, name, ext string) {
	dir, err := j.expand(j.ExecDirectory, j.macros(u, p, name, ext), j.CommandFilter)
	if err != nil {
		j.log.Warn(string(j.d.QueueID), "command_execution_directory: %v", err)
	}
	if dir == "" {
		dir = "/"
	}
	req := ipc.List{}.Str("op", "command").Str("queue_id", string(j.d.QueueID)).
		Str("prefix", fmt.Sprintf("From %s  %s\n", fromLine(p.sender), time.Now().Format(time.ANSIC))+j.prefix(p, "command")).
		Str("command", command).Str("shell", j.CommandShell).Str("dir", dir).
		Int("seconds", int64(j.CommandTimeLimit/time.Second))
	for _, v := range j.environment(u, p, name, ext) {
		req = req.Str("env", v)
	}
	reply, err := j.workers.Do(ctx, j.rights(p), worker.Job{Request: req, File: j.file, Timeout: j.CommandTimeLimit + time.Minute})
	if err != nil {
		j.log.Warn(string(j.d.QueueID), "%v", err)
		j.fail(ctx, p, "4.3.0", "delivery process failed")
		return
	}
	j.report(ctx, p, deliver.Result{Relay: "local", Status: commandStatus(command, reply, "delivered to command: "+command)})
}

func fromLine(sender string) string {
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

// commandStatus turns the end of a command into a status. A status code at
// the beginning of its output counts before its exit status.
func commandStatus(command string, reply ipc.List, sent string) status.Status {
	if s := worker.Outcome(reply); !s.Success() {
		return s
	}
	output := strings.TrimSpace(printable.Text(strings.ReplaceAll(reply.Value("output"), "\n", " ")))
	if on, err := reply.GetBool("timeout"); err == nil && on {
		return status.New(0, "5.3.0", fmt.Sprintf("Command time limit exceeded: \"%s\"", command))
	}
	if n, err := reply.GetInt("signal"); err == nil {
		return status.New(0, "4.3.0", fmt.Sprintf("Command died with signal %d: \"%s\"", n, command)+outputText(output))
	}
	exit, err := reply.GetInt("exit")
	if err != nil {
		return status.New(0, "4.3.0", "malformed reply of a delivery process")
	}
	if exit == 0 {
		return status.New(0, "2.0.0", sent)
	}
	if s := status.Parse(output, ""); s.Permanent() || s.Temporary() {
		return status.New(0, s.Code, s.Text)
	}
	if s, ok := exitTexts[exit]; ok {
		return status.New(0, s.Code, s.Text+outputText(output))
	}
	if exit == 126 || exit == 127 {
		// The program is missing or not executable: the site's mistake,
		// which the next try may find mended.
		return status.New(0, "4.3.5", fmt.Sprintf("Command died with status %d: \"%s\"", exit, command)+outputText(output))
	}
	return status.New(0, "5.3.0", fmt.Sprintf("Command died with status %d: \"%s\"", exit, command)+outputText(output))
}

func outputText(output string) string {
	if output == "" {
		return ""
	}
	return ". Command output: " + output
}

// macros are the values that parameters with $name forms may use.
func (j *job) macros(u account, p place, name, ext string) map[string]string {
	localpart, domain := address.Split(p.addr)
	m := map[string]string{
		"user": name, "home": u.home, "shell": u.shell, "local": localpart, "extension": ext,
		"domain": domain, "recipient": p.addr, "sender": p.sender, "mailbox": name,
		"recipient_delimiter": "", "original_recipient": j.rcpt.Original,
		"client_address": j.d.Client.Addr, "client_hostname": j.d.Client.Name,
		"client_helo": j.d.Client.Helo, "client_protocol": j.d.Client.Proto,
		"sasl_method": j.d.Client.SASLMethod, "sasl_sender": j.d.Client.SASLSender, "sasl_username": j.d.Client.SASLUser,
	}
	if u.name != "" {
		m["user"] = u.name
	}
	if ext != "" && len(localpart) > len(name) {
		m["recipient_delimiter"] = localpart[len(name) : len(name)+1]
	}
	return m
}

// expand expands a parameter with macros. Their values, which strangers
// choose, keep only the characters of the filter, which has no '$': they are
// not expanded again.
func (j *job) expand(raw string, macros map[string]string, filter string) (string, error) {
	return config.ExpandMacros(raw, func(name string) (string, bool) {
		if v, ok := macros[name]; ok {
			return filtered(v, filter), true
		}
		return j.cfg.Raw(name)
	})
}

// filtered replaces each byte that is not in the filter by '_'.
func filtered(s, filter string) string {
	b := []byte(s)
	for i, c := range b {
		if c == '$' || strings.IndexByte(filter, c) < 0 {
			b[i] = '_'
		}
	}
	return string(b)
}

// environment is what a command finds in its environment.
func (j *job) environment(u account, p place, name, ext string) []string {
	m := j.macros(u, p, name, ext)
	env := []string{"PATH=/usr/bin:/bin"}
	for _, v := range []struct{ variable, macro string }{
		{"SHELL", "shell"}, {"HOME", "home"}, {"USER", "user"}, {"LOGNAME", "user"},
		{"LOCAL", "local"}, {"EXTENSION", "extension"}, {"DOMAIN", "domain"},
		{"RECIPIENT", "recipient"}, {"ORIGINAL_RECIPIENT", "original_recipient"}, {"SENDER", "sender"},
		{"CLIENT_ADDRESS", "client_address"}, {"CLIENT_HOSTNAME", "client_hostname"},
		{"CLIENT_HELO", "client_helo"}, {"CLIENT_PROTOCOL", "client_protocol"},
		{"SASL_METHOD", "sasl_method"}, {"SASL_SENDER", "sasl_sender"}, {"SASL_USERNAME", "sasl_username"},
	} {
		if m[v.macro] != "" {
			env = append(env, v.variable+"="+filtered(m[v.macro], j.CommandFilter))
		}
	}
	if id := j.d.Sender.EnvID; id != "" {
		env = append(env, "ENVID="+filtered(id, j.CommandFilter))
	}
	return append(env, j.exported()...)
}

// exported are the variables of export_environment: name=value, or a name
// whose value is this process's.
func (j *job) exported() []string {
	var env []string
	for _, v := range j.ExportEnvironment {
		if strings.Contains(v, "=") {
			env = append(env, v)
		} else if value, ok := os.LookupEnv(v); ok && v != "PATH" {
			env = append(env, v+"="+value)
		}
	}
	return env
}
