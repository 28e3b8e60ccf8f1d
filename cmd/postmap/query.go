package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/posthouse-mail/posthouse/pkg/table"
)

// maxKey bounds a key that is read from standard input.
const maxKey = 1 << 20

// doQuery answers -q. The tables are opened as far as they are needed.
func (c *command) doQuery(dir string) (int, error) {
	if c.query == "-" {
		return c.queryInput(dir)
	}
	for _, spec := range c.tables {
		t, err := c.open(spec, dir)
		if err != nil {
			return 1, err
		}
		v, found, err := c.lookup(t, spec, c.query)
		t.Close()
		if err != nil {
			return 1, err
		}
		if found {
			_, err := fmt.Fprintln(c.out, v)
			return 0, err
		}
	}
	return 1, nil
}

func (c *command) lookup(t table.Table, spec, key string) (string, bool, error) {
	kind, name := c.split(spec)
	if !c.validKey(kind, name, key) {
		return "", false, nil
	}
	v, found, err := t.Lookup(c.ctx, key)
	if err != nil {
		return "", false, fmt.Errorf("table %s:%s: query error: %w", kind, name, err)
	}
	if !found {
		return "", false, nil
	}
	if c.utf8() && !utf8.ValidString(v) {
		c.log.Warn("", "%s:%s: key \"%s\": non-UTF-8 value \"%s\": malformed UTF-8 or invalid codepoint", kind, name, key, v)
		return "", false, queryError(kind, name)
	}
	if v == "" {
		c.log.Warn("", "table %s:%s: key %s: empty string result is not allowed", kind, name, key)
		c.log.Warn("", "table %s:%s should return NO RESULT in case of NOT FOUND", kind, name)
	}
	if v, err = c.decode(v); err != nil {
		c.log.Warn("", "table %s:%s: key %s: %v", kind, name, key, err)
		return "", false, queryError(kind, name)
	}
	return v, true, nil
}

// queryError ends a run after a warning that says more.
func queryError(kind, name string) error { return fmt.Errorf("table %s:%s: query error", kind, name) }

// validKey warns about a key that cannot be in the table.
func (c *command) validKey(kind, name, key string) bool {
	if !c.utf8() || utf8.ValidString(key) {
		return true
	}
	c.log.Warn("", "%s:%s: non-UTF-8 key \"%s\": malformed UTF-8 or invalid codepoint", kind, name, key)
	return false
}

// decode undoes what -F did.
func (c *command) decode(v string) (string, error) {
	if !c.fromFiles {
		return v, nil
	}
	b, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		return "", fmt.Errorf("malformed BASE64 value: %.30s", v)
	}
	return string(b), nil
}

// queryInput answers "-q -" for each key of standard input. A table is opened
// by the first key that those before it do not have.
func (c *command) queryInput(dir string) (int, error) {
	var tables []table.Table
	defer func() {
		for _, t := range tables {
			t.Close()
		}
	}()
	out := bufio.NewWriter(c.out)
	status := 1
	ask := func(key string) error {
		for i, spec := range c.tables {
			if i == len(tables) {
				t, err := c.open(spec, dir)
				if err != nil {
					return err
				}
				tables = append(tables, t)
			}
			v, found, err := c.lookup(tables[i], spec, key)
			if err != nil {
				return err
			}
			if found {
				status = 0
				_, err := fmt.Fprintf(out, "%s\t%s\n", c.named(key), v)
				return err
			}
		}
		return nil
	}
	err := c.keys(ask)
	if e := out.Flush(); err == nil {
		err = e
	}
	return status, err
}

// keys calls ask with each line of standard input, which ends at a NUL as in
// Postfix, or with the parts of the message that it is.
func (c *command) keys(ask func(key string) error) error {
	if c.header || c.body {
		return messageKeys(c.in, c.options, ask)
	}
	in := bufio.NewScanner(c.in)
	in.Buffer(nil, maxKey)
	for in.Scan() {
		key, _, _ := strings.Cut(in.Text(), "\x00")
		if err := ask(key); err != nil {
			return err
		}
	}
	return in.Err()
}

// doList answers -s.
func (c *command) doList(dir string) error {
	out := bufio.NewWriter(c.out)
	for _, spec := range c.tables {
		kind, name := c.split(spec)
		t, err := c.open(spec, dir)
		if err != nil {
			return err
		}
		err = c.list(t, kind, name, out)
		t.Close()
		if err != nil {
			return err
		}
	}
	return out.Flush()
}

// named writes a key as in the text of a table.
func (c *command) named(key string) string {
	if c.name == "postalias" {
		return key + ":"
	}
	return key
}

// list writes the entries of one table.
func (c *command) list(t table.Table, kind, name string, out io.Writer) error {
	l, ok := t.(table.Lister)
	switch {
	case ok:
	case kind == "fail":
		return fmt.Errorf("table %s:%s: sequence error: Application error", kind, name)
	default:
		return fmt.Errorf("table %s:%s: sequence operation is not supported", kind, name)
	}
	return l.All(func(k, v string) bool {
		if k == "" {
			c.log.Warn("", "table %s:%s: empty lookup key value is not allowed", kind, name)
		}
		if v == "" {
			c.log.Warn("", "table %s:%s: key %s: empty string result is not allowed", kind, name, k)
			c.log.Warn("", "table %s:%s should return NO RESULT in case of NOT FOUND", kind, name)
		}
		v, err := c.decode(v)
		if err != nil {
			c.log.Warn("", "table %s:%s: key %s: %v", kind, name, k, err)
			return true
		}
		fmt.Fprintf(out, "%s\t%s\n", c.named(k), v)
		return true
	})
}
