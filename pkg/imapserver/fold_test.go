package imapserver

import "testing"

// TestFold is RFC 5051 2: case does not count, of letters with accents either,
// nor how they are composed.
func TestFold(t *testing.T) {
	for _, same := range [][]string{
		{"Grün", "GRÜN", "gru\u0308n", "GRU\u0308N"}, {"ÅNGSTRÖM", "ångström", "\u212bngström"}, {"Éa", "éA"},
		{"ΣΑΣ", "σας", "σασ"}, {"ﬁ", "FI"}, {"Abc", "aBC"},
	} {
		for _, s := range same[1:] {
			if foldString(s) != foldString(same[0]) {
				t.Errorf("%q folds to %q, %q to %q", s, foldString(s), same[0], foldString(same[0]))
			}
		}
	}
	if foldString("grün") == foldString("grun") {
		t.Error("an accent does not count")
	}
}
