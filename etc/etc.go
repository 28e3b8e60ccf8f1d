// Package etc holds the files that a new installation starts with, so that
// `posthouse init` and `posthouse check` need no copy of them on disk.
package etc

import _ "embed"

// The files of this folder.
var (
	//go:embed main.cf
	MainCf string
	//go:embed master.cf
	MasterCf string
	//go:embed aliases
	Aliases string
	// Files is the table of installed paths: lines of path, type, owner,
	// group and mode; "#" starts a comment.
	//go:embed files
	Files string
)
