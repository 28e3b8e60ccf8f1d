package printable

import "strings"

// Wrap breaks text at spaces into lines of at most width bytes, where its words
// let it. The lines after the first begin with indent.
func Wrap(text string, width int, indent string) (lines []string) {
	lead := ""
	for {
		limit := width - len(lead)
		if len(text) <= limit {
			return append(lines, lead+text)
		}
		cut := strings.LastIndexByte(text[:limit+1], ' ')
		if cut <= 0 {
			cut = strings.IndexByte(text, ' ')
		}
		if cut <= 0 {
			return append(lines, lead+text)
		}
		lines = append(lines, lead+text[:cut])
		text, lead = strings.TrimLeft(text[cut:], " "), indent
	}
}
