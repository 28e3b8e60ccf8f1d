package walls

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/testkit"
)

// hostile are the parsers of what strangers, users or other programs wrote that
// the mail core stands on, and their fuzz targets.
var hostile = map[string][]string{
	"lines of SMTP":     {"pkg/smtpwire FuzzReadLine", "pkg/smtpwire FuzzReadReply", "pkg/smtpserver FuzzSession", "pkg/smtpserver FuzzParsePath"},
	"DATA and BDAT":     {"pkg/smtpwire FuzzReadData", "pkg/smtpwire FuzzReadChunk"},
	"addresses":         {"pkg/address FuzzParse", "pkg/address FuzzList"},
	"headers":           {"pkg/mime FuzzScanner", "pkg/mime/structure FuzzParse", "cmd/sendmail FuzzHeaders", "cleanup FuzzSession"},
	"records of queues": {"pkg/queue FuzzRecords", "pkg/queue FuzzMessage"},
	"the maildrop":      {"pickup FuzzMaildrop", "cmd/postdrop FuzzCopy"},
	"attribute lists":   {"pkg/ipc FuzzReadList"},
	"main.cf":           {"pkg/config FuzzMainCf"},
	"master.cf":         {"pkg/config FuzzMasterCf"},
	"aliases":           {"pkg/alias FuzzParse", "pkg/table/text FuzzReadAliases"},
	"CDB files":         {"pkg/cdb FuzzReader"},
	"Berkeley DB files": {"pkg/bdb FuzzReader"},
	"answers of DNS":    {"pkg/dns FuzzReply"},
}

// TestHostileInput: each of these parsers has its targets, with inputs that are
// kept: those that failed once, and those that get further than the seeds.
func TestHostileInput(t *testing.T) {
	root, err := testkit.Root()
	if err != nil {
		t.Fatal(err)
	}
	for what, targets := range hostile {
		for _, target := range targets {
			dir, name, _ := strings.Cut(target, " ")
			tests, err := filepath.Glob(filepath.Join(root, dir, "*_test.go"))
			if err != nil {
				t.Fatal(err)
			}
			found := false
			for _, path := range tests {
				text, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				found = found || strings.Contains(string(text), "\nfunc "+name+"(f *testing.F)")
			}
			kept, err := os.ReadDir(filepath.Join(root, dir, "testdata/fuzz", name))
			if !found || err != nil || len(kept) == 0 {
				t.Errorf("%s: %s in %s, found: %v; %d kept inputs, %v", what, name, dir, found, len(kept), err)
			}
		}
	}
}
