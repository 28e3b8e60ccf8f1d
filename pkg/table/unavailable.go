package table

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"
)

// retryAfter is how long a process works with a table that it could not open
// before it makes room for one that tries again.
const retryAfter = time.Minute

// unavailable stands for a table whose file is missing or not readable. Each
// lookup fails, so that mail that depends on it is put off, and mail that does
// not is served: a missing file must stop neither the SMTP server nor the
// queue.
type unavailable struct {
	spec  string
	why   error
	since time.Time
}

// openOrDefer opens a table. One that only lacks its file is replaced by one
// that fails, with a warning; any other mistake is an error of configuration.
func openOrDefer(spec string, o Options) (Table, error) {
	t, err := Open(spec, o)
	if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		return t, err
	}
	o.warn("%s is unavailable. %v", spec, err)
	return &unavailable{spec: spec, why: err, since: time.Now()}, nil
}

// Lookup fails.
func (t *unavailable) Lookup(context.Context, string) (string, bool, error) {
	return "", false, fmt.Errorf("%s is unavailable. %w", t.spec, t.why)
}

// Close does nothing.
func (t *unavailable) Close() error { return nil }

// Changed has the process retire after a while. The file cannot be seen from
// inside of a jail, so only a new process can find out whether it is there.
func (t *unavailable) Changed() bool { return time.Since(t.since) > retryAfter }
