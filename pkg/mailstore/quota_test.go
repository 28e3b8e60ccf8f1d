package mailstore

import (
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// TestQuotaAtOnce: of messages that come at the same time, those are taken that
// there is room for together, by delivery and by APPEND.
func TestQuotaAtOnce(t *testing.T) {
	text := "Subject: usual\n\n" + strings.Repeat(strings.Repeat("x", 70)+"\n", 1200)
	deliver := func(s *Store) error {
		_, err := s.Deliver(t.Context(), Delivery{Fill: func(w io.Writer) error { _, err := io.WriteString(w, text); return err }})
		return err
	}
	store := func(s *Store) error {
		_, err := s.Append("INBOX", []Incoming{{Content: strings.NewReader(text)}})
		return err
	}
	for name, add := range map[string]func(*Store) error{"deliveries": deliver, "appends": store} {
		t.Run(name, func(t *testing.T) {
			root := newRoot(t)
			s := openWith(t, root, Options{Quota: "200000S"})
			var taken, refused atomic.Int64
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() {
					switch err := add(s); {
					case err == nil:
						taken.Add(1)
					case errors.Is(err, ErrOverQuota):
						refused.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			u, _, err := s.QuotaUsage()
			if err != nil || taken.Load() != 2 || refused.Load() != 6 || u.Messages != 2 {
				t.Errorf("%d were taken, %d refused; %d are counted, %v", taken.Load(), refused.Load(), u.Messages, err)
			}
		})
	}
}
