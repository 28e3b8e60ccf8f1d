package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/config"
)

// writeParameters writes postconf(5).
func writeParameters(file string) error {
	var b bytes.Buffer
	b.WriteString(".TH POSTCONF 5 \"\" \"Posthouse\"\n.SH NAME\npostconf \\- parameters of main.cf\n.SH DESCRIPTION\n" +
		"The parameters of Posthouse have the names and the meaning of Postfix's.\n" +
		"Each is listed with its default. A parameter marked \"no effect yet\" is\n" +
		"read and may be set, but no program acts on it; posthouse check says so.\n.SH PARAMETERS\n")
	for _, p := range config.Params() {
		fmt.Fprintf(&b, ".TP\n\\fB%s\\fP (%s; default: %s)\n", escape(p.Name), kindText(p), defaultText(p.Default))
		if p.Doc != "" {
			fmt.Fprintln(&b, escape(p.Doc))
		}
		if !p.Obeyed {
			fmt.Fprintln(&b, "(no effect yet)")
		}
	}
	b.WriteString(".SH SEE ALSO\npostconf(1), posthouse(8), master(8)\n")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o644)
}

func kindText(p config.Param) string {
	text := p.Type.String()
	if p.Min != "" || p.Max != "" {
		text += fmt.Sprintf(" %s..%s", p.Min, p.Max)
	}
	return escape(text)
}

func defaultText(s string) string {
	if s == "" {
		return "empty"
	}
	return escape(strings.ReplaceAll(s, "\n", " "))
}
