package mailstore

import (
	"io"
	"strings"
	"testing"
)

// BenchmarkDeliverQuota is a delivery into a mailbox with a quota and one
// without. `strace -f -c` of it with two numbers of rounds tells the system
// calls of one.
func BenchmarkDeliverQuota(b *testing.B) {
	text := "From: a@example.com\nSubject: x\n\n" + strings.Repeat("line of text\n", 20)
	fill := func(w io.Writer) error { _, err := io.WriteString(w, text); return err }
	for name, quota := range map[string]string{"none": "", "some": "1000000000S"} {
		b.Run(name, func(b *testing.B) {
			s := openWith(b, newRoot(b), Options{Quota: quota, WarnLevels: []int{80, 95}, Full: func(bool) {}})
			for b.Loop() {
				if _, err := s.Deliver(b.Context(), Delivery{Fill: fill}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
