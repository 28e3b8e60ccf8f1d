package takeover

import (
	"errors"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/maildir"
	"github.com/posthouse-mail/posthouse/pkg/mailstore/uidlist"
)

// fromCourier reads courierimapuiddb and courierimapkeywords.
func fromCourier(dir string) (*uidlist.List, error) {
	list, err := readList(filepath.Join(dir, courierList))
	if err != nil || list == nil {
		return nil, err
	}
	words, err := courierWords(filepath.Join(dir, courierKeywords))
	if err != nil {
		return nil, err
	}
	numbers := make(map[string]int)
	for i := range list.Entries {
		e := &list.Entries[i]
		for _, word := range words[e.Base] {
			n, ok := numbers[word]
			if !ok {
				// File names stay as they are: the numbers are those
				// that have no letter.
				n = 26 + len(numbers)
				if n >= uidlist.MaxKeywords || !uidlist.CheckKeyword(word) {
					continue
				}
				numbers[word] = n
			}
			e.More |= 1 << n
		}
	}
	if len(numbers) > 0 {
		list.Keywords = make([]string, 26+len(numbers))
		for word, n := range numbers {
			list.Keywords[n] = word
		}
	}
	return list, nil
}

// courierWords returns the keywords of messages by base name: what :list says,
// and what newer files beside it do.
func courierWords(dir string) (map[string][]string, error) {
	words := make(map[string][]string)
	if err := courierKeywordList(filepath.Join(dir, ":list"), words); err != nil {
		return nil, err
	}
	f, err := os.Open(dir)
	if errors.Is(err, os.ErrNotExist) {
		return words, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	// ".<n>.<base>" are newer than "<base>", and a higher n newer than a
	// lower one.
	type update struct {
		file, base string
		n          uint64
	}
	var updates []update
	for _, name := range names {
		u := update{file: name, base: name}
		if rest, ok := strings.CutPrefix(name, "."); ok {
			num, base, ok := strings.Cut(rest, ".")
			n, err := strconv.ParseUint(num, 10, 63)
			if !ok || err != nil {
				continue
			}
			u.base, u.n = base, n+1
		}
		if maildir.CheckBase(u.base) {
			updates = append(updates, u)
		}
	}
	sort.Slice(updates, func(i, j int) bool { return updates[i].n < updates[j].n })
	for _, u := range updates {
		var list []string
		err := lines(filepath.Join(dir, u.file), func(line string) bool {
			if line != "" {
				list = append(list, line)
			}
			return len(list) < uidlist.MaxKeywords
		})
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		words[u.base] = list
	}
	return words, nil
}

// courierKeywordList reads :list: keywords, an empty line, and then names with
// the numbers of their keywords.
func courierKeywordList(path string, words map[string][]string) error {
	var all []string
	head := true
	err := lines(path, func(line string) bool {
		if head {
			if head = line != ""; head {
				all = append(all, line)
			}
			return len(all) < 10000
		}
		i := strings.LastIndexByte(line, ':')
		if i < 0 {
			return true
		}
		base := maildir.ParseName(line[:i]).Base
		for _, num := range strings.Fields(line[i+1:]) {
			if n, err := strconv.Atoi(num); err == nil && n >= 0 && n < len(all) {
				words[base] = append(words[base], all[n])
			}
		}
		return true
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// courierUIDLs adds the POP3 UIDLs of courierpop3dsizelist, which has numbers
// of its own. Messages that only POP3 has seen get UIDs after the others.
func courierUIDLs(dir string, list *uidlist.List) error {
	bases := make(map[string]int, len(list.Entries))
	for i := range list.Entries {
		bases[list.Entries[i].Base] = i
	}
	version, first := 0, true
	err := lines(filepath.Join(dir, courierPOP3), func(line string) bool {
		if first {
			first = false
			if f := strings.Fields(line); len(f) >= 3 && strings.HasPrefix(f[0], "/") {
				version, _ = strconv.Atoi(f[0][1:])
			}
			return version == 2 || version == 3
		}
		name, uidl := sizeLine(line)
		if i, ok := bases[maildir.ParseName(name).Base]; ok && uidl != "" && checkUIDL(uidl) {
			list.Entries[i].UIDL = uidl
			return true
		}
		a := adder{list: list, last: lastUID(list), bases: bases}
		if uidl != "" && list.Limit <= a.last+1 {
			a.add(uint64(a.last)+1, name, uidl)
			list.Limit = a.last + 1
		}
		return true
	})
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func lastUID(list *uidlist.List) uint32 {
	if n := len(list.Entries); n > 0 {
		return list.Entries[n-1].UID
	}
	return 0
}

// sizeLine takes a line apart: a name, a size, and "<n>:<uidvalidity>[:<k>]".
// Names may have spaces.
func sizeLine(line string) (name, uidl string) {
	i := strings.LastIndexByte(line, ' ')
	if i < 0 {
		return "", ""
	}
	id := strings.Split(line[i+1:], ":")
	j := strings.LastIndexByte(line[:i], ' ')
	if j < 0 || len(id) < 2 || number(id[0]) == 0 {
		return "", ""
	}
	if _, err := strconv.ParseUint(id[1], 10, 64); err != nil {
		return "", ""
	}
	return line[:j], "UID" + id[0] + "-" + id[1]
}
