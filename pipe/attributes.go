package main

import (
	"fmt"
	"strconv"
	"strings"
)

// attributes are the words of the service's line in master.cf.
type attributes struct {
	user, group string
	dir         string
	eol         string
	flags       string
	nullSender  string
	size        int64
	argv        []template
}

// knownFlags are the letters of flags=.
const knownFlags = "BDFORXhqu.>"

// parseAttributes reads the line.
func parseAttributes(args []string) (*attributes, error) {
	a := &attributes{eol: "\n", nullSender: "MAILER-DAEMON"}
	for i, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, fmt.Errorf("argument %q is not attribute=value", arg)
		}
		if name == "argv" {
			return a, a.command(append([]string{value}, args[i+1:]...))
		}
		if err := a.set(name, value); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no argv= in the service's line")
}

func (a *attributes) set(name, value string) (err error) {
	switch name {
	case "user":
		a.user, a.group, _ = strings.Cut(value, ":")
	case "directory":
		if a.dir = value; !strings.HasPrefix(value, "/") {
			return fmt.Errorf("directory=%s: not an absolute path", value)
		}
	case "eol":
		a.eol, err = unescape(value)
	case "flags":
		if i := strings.IndexFunc(value, func(r rune) bool { return !strings.ContainsRune(knownFlags, r) }); i >= 0 {
			return fmt.Errorf("flags=%s: unknown flag %q", value, value[i])
		}
		a.flags = value
	case "null_sender":
		a.nullSender = value
	case "size":
		if a.size, err = strconv.ParseInt(value, 10, 64); err == nil && a.size < 0 {
			err = fmt.Errorf("size=%s: less than 0", value)
		}
	case "chroot":
		return fmt.Errorf("chroot=%s: this attribute is not available", value)
	default:
		return fmt.Errorf("unknown attribute %q", name)
	}
	return err
}

func (a *attributes) command(words []string) error {
	if words[0] == "" {
		return fmt.Errorf("argv= has no command")
	}
	if a.user == "" {
		return fmt.Errorf("no user= before argv=")
	}
	for _, w := range words {
		t, err := parseTemplate(w)
		if err != nil {
			return fmt.Errorf("argv: %w", err)
		}
		a.argv = append(a.argv, t)
	}
	return nil
}

func (a *attributes) has(flag byte) bool { return strings.IndexByte(a.flags, flag) >= 0 }

// unescape reads the C escapes of eol=.
func unescape(s string) (string, error) {
	simple := map[byte]byte{'a': '\a', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t', 'v': '\v', '\\': '\\'}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if c, ok := simple[s[i]]; ok {
			b.WriteByte(c)
			continue
		}
		n := 0
		for n < 3 && i+n < len(s) && s[i+n] >= '0' && s[i+n] <= '7' {
			n++
		}
		v, err := strconv.ParseUint(s[i:i+n], 8, 8)
		if err != nil || v == 0 {
			return "", fmt.Errorf("eol=%s: bad escape", s)
		}
		b.WriteByte(byte(v))
		i += n - 1
	}
	if b.Len() == 0 {
		return "", fmt.Errorf("eol= is empty")
	}
	return b.String(), nil
}
