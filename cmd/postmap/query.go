package main

import (
	"bufio"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/posthouse-mail/posthouse/pkg/table"
)

// maxKey bounds a key that is read from standard input.
const maxKey = 1 << 20

// doQuery answers -q. The tables are opened as far as they are needed.
func (c *command) doQuery(dir string) (int, error) {
	specs := c.tables
	if len(specs) == 0 {
		specs = nil
	}
	if c.query == "-" {
		return c.queryInput(specs, dir)
	}
	for _, spec := range specs {
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
	if c.utf8() && !utf8.ValidString(key) {
		c.log.Warn("", "%s:%s: non-UTF-8 key \"%s\": malformed UTF-8 or invalid codepoint", kind, name, key)
		return "", false, nil
	}
	v, found, err := t.Lookup(c.ctx, key)
	if err != nil {
		return "", false, fmt.Errorf("table %s:%s: query error: %w", kind, name, err)
	}
	if !found {
		return "", false, nil
	}
	if v == "" {
		c.log.Warn("", "table %s:%s: key %s: empty string result is not allowed", kind, name, key)
		c.log.Warn("", "table %s:%s should return NO RESULT in case of NOT FOUND", kind, name)
	}
	v, err = c.decode(kind, name, key, v)
	return v, err == nil, err
}

// decode undoes what -F did.
func (c *command) decode(kind, name, key, v string) (string, error) {
	if !c.fromFiles {
		return v, nil
	}
	b, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		return "", fmt.Errorf("table %s:%s: key %s: malformed BASE64 value: %.30s", kind, name, key, v)
	}
	return string(b), nil
}

// queryInput answers "-q -" for each key of standard input.
func (c *command) queryInput(specs []string, dir string) (int, error) {
	var tables []table.Table
	defer func() {
		for _, t := range tables {
			t.Close()
		}
	}()
	for _, spec := range specs {
		t, err := c.open(spec, dir)
		if err != nil {
			return 1, err
		}
		tables = append(tables, t)
	}
	out := bufio.NewWriter(c.out)
	status := 1
	ask := func(key string) error {
		for i, t := range tables {
			v, found, err := c.lookup(t, specs[i], key)
			if err != nil {
				return err
			}
			if found {
				status = 0
				_, err := fmt.Fprintf(out, "%s\t%s\n", key, v)
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

// keys calls ask with each line of standard input, or with the parts of the
// message that it is.
func (c *command) keys(ask func(key string) error) error {
	if c.header || c.body {
		return messageKeys(c.in, c.options, ask)
	}
	in := bufio.NewScanner(c.in)
	in.Buffer(nil, maxKey)
	for in.Scan() {
		if err := ask(in.Text()); err != nil {
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
		l, ok := t.(table.Lister)
		if !ok {
			t.Close()
			return fmt.Errorf("table %s:%s: sequence operation is not supported", kind, name)
		}
		var bad error
		err = l.All(func(k, v string) bool {
			if v, bad = c.decode(kind, name, k, v); bad != nil {
				return false
			}
			if c.name == "postalias" {
				k += ":"
			} else if strings.ContainsAny(k, " \t") {
				k = quoteKey(k)
			}
			fmt.Fprintf(out, "%s\t%s\n", k, v)
			return true
		})
		t.Close()
		if err == nil {
			err = bad
		}
		if err != nil {
			return err
		}
	}
	return out.Flush()
}

func quoteKey(k string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(k) + `"`
}
