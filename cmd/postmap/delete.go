package main

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/table"
)

// doDelete answers -d: it removes keys from each table.
func (c *command) doDelete() (int, error) {
	var keys []string
	if c.remove == "-" {
		err := c.keys(func(key string) error {
			keys = append(keys, key)
			return nil
		})
		if err != nil {
			return 1, err
		}
	} else {
		keys = []string{c.remove}
	}
	status := 1
	for _, spec := range c.tables {
		kind, path := c.split(spec)
		if err := deletable(kind, spec); err != nil {
			return 1, err
		}
		found, err := c.deleteKeys(kind, path, keys)
		if err != nil {
			return 1, err
		}
		if found {
			status = 0
		}
	}
	return status, nil
}

// deletable refuses the types without an index, in Postfix's words.
func deletable(kind, spec string) error {
	if indexed(kind) == nil {
		return nil
	}
	switch {
	case !known(kind):
		return fmt.Errorf("%w: %s", table.ErrUnsupported, kind)
	case kind == "fail":
		return fmt.Errorf("table %s: delete error: Application error", spec)
	case slices.Contains([]string{"regexp", "pcre", "cidr", "texthash", "inline", "unix", "unionmap", "pipemap", "randmap"}, kind):
		return fmt.Errorf("%s map requires O_RDONLY access mode", spec)
	}
	return fmt.Errorf("table %s: delete operation is not supported", spec)
}

// deleteKeys rewrites an index without some keys.
func (c *command) deleteKeys(kind, path string, keys []string) (bool, error) {
	mode := os.FileMode(0o644)
	if info, err := os.Stat(path + table.IndexSuffix); err == nil {
		mode = info.Mode().Perm()
	}
	restore, err := c.becomeOwner(path)
	if err != nil {
		return false, err
	}
	defer restore()
	unlock, err := c.lock(path)
	if err != nil {
		return false, err
	}
	defer unlock()
	// Opening says whether there is such a table at all.
	t, err := c.open(kind+":"+path, "")
	if err != nil {
		return false, err
	}
	t.Close()
	n := &content{values: map[string]string{}}
	if err := c.loadIndex(n, kind, path); err != nil {
		return false, err
	}
	found := false
	for _, k := range keys {
		if !c.validKey(kind, path, k) {
			continue
		}
		k = c.fold(k)
		if _, ok := n.values[k]; ok {
			delete(n.values, k)
			found = true
		}
	}
	if !found {
		return false, nil
	}
	return true, c.write(n, path, mode, time.Now())
}
