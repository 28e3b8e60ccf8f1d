package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/deliver"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
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
	if j.d.ProbeOnly() {
		j.report(ctx, p, j.result("2.0.0", "delivers to command: "+command))
		return
	}
	dir, err := j.expand(j.ExecDirectory, j.macros(u, p, name, ext), j.CommandFilter)
	if err != nil {
		j.log.Warn(string(j.d.QueueID), "command_execution_directory: %v", err)
	}
	req := ipc.List{}.Str("op", "command").Str("queue_id", string(j.d.QueueID)).
		Str("prefix", fmt.Sprintf("From %s  %s\n", worker.FromLine(p.sender), time.Now().Format(time.ANSIC))+j.prefix(p, "command")).
		Str("command", command).Str("shell", j.CommandShell).Str("dir", dir).Str("home", j.QueueDir).
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
	s, diagnostic := worker.CommandOutcome(command, reply, "delivered to command: "+command)
	j.report(ctx, p, deliver.Result{Relay: "local", Status: s, DiagType: "x-unix", DiagText: diagnostic})
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
	return append(env, worker.Exported(j.ExportEnvironment)...)
}
