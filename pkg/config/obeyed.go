package config

import (
	_ "embed"
	"strings"
)

//go:embed obeyed.txt
var obeyedText string

// obeyedNames lists the parameters that some program of this suite acts on.
// They are a text with one name to a line, so that changes made side by side do
// not meet; `go test ./pkg/config -run Obeyed -update` writes it.
func obeyedNames() []string { return strings.Fields(obeyedText) }
