package main

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// messageKeys calls ask with each header of a message (-h), with embedded
// newlines if it is folded, and with each line of its body (-b).
func messageKeys(r io.Reader, o *options, ask func(key string) error) error {
	if o.mime {
		return mimeKeys(r, o, ask)
	}
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxKey)
	header, inHeader := "", true
	flush := func() error {
		if header == "" || !o.header {
			header = ""
			return nil
		}
		key := header
		header = ""
		return ask(key)
	}
	for in.Scan() {
		line := strings.TrimSuffix(in.Text(), "\r")
		switch {
		case inHeader && header != "" && line != "" && (line[0] == ' ' || line[0] == '\t'):
			header += "\n" + line
			continue
		case inHeader && isHeader(line):
			if err := flush(); err != nil {
				return err
			}
			header = line
			continue
		}
		if inHeader {
			inHeader = false
			if err := flush(); err != nil {
				return err
			}
			if !o.body {
				return nil
			}
			// The line between header and body is one of the body.
			if err := ask(""); err != nil {
				return err
			}
			if line == "" {
				continue
			}
		}
		if err := ask(line); err != nil {
			return err
		}
	}
	if err := in.Err(); err != nil {
		return err
	}
	return flush()
}

// isHeader reports whether a line starts with a header name and a colon (RFC
// 5322 3.6.8). White space before the colon is tolerated.
func isHeader(line string) bool {
	name, _, ok := strings.Cut(line, ":")
	name = strings.TrimRight(name, " \t")
	if !ok || name == "" {
		return false
	}
	for i := 0; i < len(name); i++ {
		if name[i] <= ' ' || name[i] >= 0x7f {
			return false
		}
	}
	return true
}

func mimeKeys(io.Reader, *options, func(string) error) error {
	return errors.New("-m is not yet supported")
}
