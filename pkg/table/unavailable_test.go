package table

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

type said []string

func (w *said) Warn(_, format string, args ...any) { *w = append(*w, format) }

// TestMissingFile: a table whose file is missing fails each lookup, which is
// not the same as "not found", and its process retires after a while.
func TestMissingFile(t *testing.T) {
	var heard said
	missing := filepath.Join(t.TempDir(), "none")
	for _, kind := range []string{"hash:", "texthash:", "regexp:", "cidr:"} {
		m, err := OpenMaps([]string{"inline:{a=b}", kind + missing}, Options{Log: &heard})
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if v, ok, err := m.Lookup(context.Background(), "a"); v != "b" || !ok || err != nil {
			t.Errorf("%s: earlier table: %q, %v, %v", kind, v, ok, err)
		}
		_, ok, err := m.Lookup(context.Background(), "c")
		if ok || err == nil || !strings.Contains(err.Error(), "is unavailable") {
			t.Errorf("%s: %v, %v", kind, ok, err)
		}
		if m.Changed() {
			t.Errorf("%s: changed at once", kind)
		}
		m.tables[1].table.(*unavailable).since = time.Now().Add(-time.Hour)
		if !m.Changed() {
			t.Errorf("%s: not tried again", kind)
		}
	}
	if len(heard) != 4 {
		t.Errorf("%d warnings", len(heard))
	}
	if _, err := OpenMaps([]string{"nonsense:x"}, Options{}); err == nil {
		t.Error("an unknown type was accepted")
	}
}
