package mailstore

import (
	"errors"
	"io"
	"slices"
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

// TestQuotaMeanwhile: what came while a message was being written counts for
// it, whoever put it there, and a level is told of once.
func TestQuotaMeanwhile(t *testing.T) {
	root := newRoot(t)
	var warned []int
	var full []bool
	s := openWith(t, root, Options{Quota: "1000S", WarnLevels: []int{50}, Warn: func(w QuotaWarning) { warned = append(warned, w.Percent) },
		Full: func(f bool) { full = append(full, f) }})
	other := openWith(t, root, Options{Quota: "1000S"}) // as of another process
	deliver := func(s *Store, size int, during func()) error {
		_, err := s.Deliver(t.Context(), Delivery{Fill: func(w io.Writer) error {
			_, err := io.WriteString(w, strings.Repeat("x", size-1)+"\n")
			during()
			return err
		}})
		return err
	}
	nothing := func() {}
	if err := deliver(s, 100, nothing); err != nil {
		t.Fatal(err)
	}
	err := deliver(s, 300, func() {
		if err := deliver(other, 700, nothing); err != nil {
			t.Error(err)
		}
	})
	if u, _, _ := s.QuotaUsage(); !errors.Is(err, ErrOverQuota) || u.Bytes != 800 || u.Messages != 2 {
		t.Errorf("%v; %d bytes of %d messages are counted", err, u.Bytes, u.Messages)
	}
	if err := deliver(s, 200, nothing); err != nil {
		t.Error(err)
	}
	if !slices.Equal(full, []bool{true, true}) || len(warned) > 0 {
		t.Errorf("told %v, warned of %v", full, warned)
	}
	m := selectBox(t, s, "INBOX")
	if _, err := m.Expunge([]uint32{1, 2, 3}, true); err != nil {
		t.Fatal(err)
	}
	m.Close()
	for range 3 {
		if err := deliver(s, 300, nothing); err != nil {
			t.Error(err)
		}
	}
	if !slices.Equal(full, []bool{true, true, false}) || !slices.Equal(warned, []int{50}) {
		t.Errorf("then told %v, warned of %v", full, warned)
	}
}
