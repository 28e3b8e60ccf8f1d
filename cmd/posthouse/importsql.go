package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// importDovecotSQL translates the settings of Dovecot's SQL driver
// (dovecot-sql.conf.ext) into a file for authd, and prints it. Users stay in
// the database.
func importDovecotSQL(w io.Writer, path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	m, err := config.ParseMain(bytes.NewReader(joinBackslashes(b)), path)
	if err != nil {
		return err
	}
	set := map[string]string{}
	for name, e := range m.Entries {
		set[name] = unquote(e.Value)
	}
	kind := set["driver"]
	var b2 strings.Builder
	switch kind {
	case "pgsql", "mysql":
		err = connectLines(&b2, set["connect"])
	case "sqlite":
		fmt.Fprintf(&b2, "dbpath = %s\n", strings.TrimSpace(set["connect"]))
	default:
		err = fmt.Errorf("driver = %s is not supported", kind)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if set["password_query"] == "" {
		return fmt.Errorf("%s: no password_query", path)
	}
	for _, q := range []struct{ theirs, ours string }{{"password_query", "query"}, {"user_query", "user_query"}} {
		text := set[q.theirs]
		// With userdb_ fields the first query says it all (prefetch).
		if text == "" || q.ours == "user_query" && strings.Contains(set["password_query"], "userdb_") {
			continue
		}
		if text, err = translateVars(text); err != nil {
			return fmt.Errorf("%s: %s: %w", path, q.theirs, err)
		}
		fmt.Fprintf(&b2, "%s = %s\n", q.ours, text)
	}
	if s := set["default_pass_scheme"]; s != "" {
		fmt.Fprintf(&b2, "default_pass_scheme = %s\n", s)
	}
	fmt.Fprintf(w, "# Put this into a file FILE that auth_owner can read, mode 0600, and\n# auth_sources = %s:FILE into main.cf.\n%s", kind, b2.String())
	return nil
}

// joinBackslashes joins lines as Dovecot does, with a backslash at the end.
func joinBackslashes(b []byte) []byte {
	return regexp.MustCompile(`[ \t]*\\\n[ \t]*`).ReplaceAll(b, []byte(" "))
}

func unquote(s string) string {
	if len(s) > 1 && s[0] == '"' && s[len(s)-1] == '"' {
		return strings.ReplaceAll(s[1:len(s)-1], `\"`, `"`)
	}
	return s
}

// connectLines translates "host=a dbname=b user=c password=d".
func connectLines(b *strings.Builder, connect string) error {
	var hosts []string
	port := ""
	for _, word := range strings.Fields(connect) {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			return errors.New("connect: words are not name=value")
		}
		switch name {
		case "host":
			if strings.HasPrefix(value, "/") {
				value = "unix:" + value
			}
			hosts = append(hosts, value)
		case "port":
			port = value
		case "dbname", "user", "password":
			fmt.Fprintf(b, "%s = %s\n", name, value)
		case "maxconns", "sslmode", "client_flags", "connect_timeout", "application_name":
		default:
			return fmt.Errorf("connect: %s is not supported", name)
		}
	}
	for i, h := range hosts {
		if port != "" && !strings.HasPrefix(h, "unix:") {
			hosts[i] = h + ":" + port
		}
	}
	fmt.Fprintf(b, "hosts = %s\n", strings.Join(hosts, " "))
	return nil
}

// variable is a variable of Dovecot 2.3 or 2.4.
var variable = regexp.MustCompile(`%%|%\{([^}]*)\}|%[A-Z]*([a-z])`)

// translateVars translates %u, %n and %d. Logins are lower case already, so
// modifiers for that are dropped.
func translateVars(query string) (string, error) {
	var bad error
	out := variable.ReplaceAllStringFunc(query, func(v string) string {
		m := variable.FindStringSubmatch(v)
		switch name := m[1] + m[2]; {
		case v == "%%":
			return v
		case name == "u", name == "user", name == "user | lower":
			return "%s"
		case name == "n", name == "username", name == "user | username", name == "user | username | lower":
			return "%u"
		case name == "d", name == "domain", name == "user | domain", name == "user | domain | lower":
			return "%d"
		}
		bad = fmt.Errorf("the variable %s has no counterpart", v)
		return v
	})
	return out, bad
}
