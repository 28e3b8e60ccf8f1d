package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/posthouse-mail/posthouse/pkg/inject"
)

// TestSlots: lines whose text comes behind the content end up in its place.
func TestSlots(t *testing.T) {
	head := []rec{{'T', "1 1"}, {'S', "a@b.test"}, {'R', "c@d.test"}, {'M', ""}}
	body := []rec{{'N', "Received: x"}, {'N', "From: a@b.test"}, {'N', ""}, {'N', strings.Repeat("x", 2000)}, {'X', ""}}
	slot := func(s string) rec { return rec{inject.RecSlot, s} }
	for _, tc := range []struct {
		name         string
		before, then []rec
		status       string
	}{
		{"two", []rec{slot("A: 000"), slot("B: 00000")}, []rec{slot("A: xyz"), slot("B: 12345")}, "0"},
		{"many bytes between", []rec{slot("A: 000")}, []rec{slot("A: xyz")}, "0"},
		{"left empty", []rec{slot("A: 000"), slot("B: 0")}, []rec{slot("A: xyz")}, "1"},
		{"another length", []rec{slot("A: 000")}, []rec{slot("A: wxyz")}, "1"},
		{"one too many", []rec{slot("A: 000")}, []rec{slot("A: xyz"), slot("A: xyz")}, "1"},
		{"line end", []rec{slot("A: 000")}, []rec{slot("A: x\ny")}, "1"},
		{"not first", []rec{{'N', "C: d"}, slot("A: 000")}, []rec{slot("A: xyz")}, "1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, _, dir := testServer(t, "")
			recs := append(append([]rec{}, head...), tc.before...)
			recs = append(recs, body...)
			if tc.name == "many bytes between" {
				for range 200 {
					recs = append(recs[:len(recs)-1], rec{'N', strings.Repeat("y", 2000)}, rec{'X', ""})
				}
			}
			recs = append(append(recs, tc.then...), rec{'E', ""})
			id, reply := submit(t, dial(t, s), false, inject.FlagsExternal, recs)
			if reply.Value("status") != tc.status {
				t.Fatalf("status %s, want %s", reply.Value("status"), tc.status)
			}
			if tc.status != "0" {
				return
			}
			text := dump(id, readRecords(t, filepath.Join(dir, "incoming", id)))
			for _, want := range tc.then {
				if !strings.Contains(text, "N "+want.data+"\n") {
					t.Errorf("no %q in\n%.500s", want.data, text)
				}
			}
		})
	}
}
