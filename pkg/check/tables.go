package check

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/alias"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/printable"
	"github.com/posthouse-mail/posthouse/pkg/table"
	"github.com/posthouse-mail/posthouse/pkg/table/dbfile"
	"github.com/posthouse-mail/posthouse/pkg/table/text"
)

// maxDepth bounds lists within lists.
const maxDepth = 5

// spec is the form of "type:name". A transport has it too, which is why the
// type decides.
var spec = regexp.MustCompile(`^[a-z][a-z0-9_]*:.`)

// tablesIn looks at the tables in a list, and in the lists within braces.
func (k *checker) tablesIn(s *setting, list string, depth int) {
	items, err := table.SplitList(list)
	if err != nil || depth > maxDepth {
		return
	}
	for _, item := range items {
		if inner, ok := strings.CutPrefix(item, "{"); ok {
			k.tablesIn(s, strings.TrimSuffix(inner, "}"), depth+1)
			continue
		}
		item = strings.TrimLeft(item, "!")
		if spec.MatchString(item) && !isCache(s.name) {
			k.table(s, item)
		} else if strings.HasPrefix(item, "/") && isMatchList(s.name) {
			k.listFile(s, item)
		}
	}
}

// isCache tells whether a parameter names a table that a daemon makes itself.
func isCache(name string) bool {
	return strings.HasSuffix(name, "_cache_database") || strings.HasSuffix(name, "_cache_map") || name == "address_verify_map"
}

// isMatchList tells whether /file in a parameter is a file of patterns.
func isMatchList(name string) bool {
	return slices.Contains([]string{"mynetworks", "mydestination", "relay_domains", "virtual_alias_domains",
		"virtual_mailbox_domains", "inet_interfaces", "proxy_interfaces", "masquerade_exceptions"}, name)
}

// isAliases tells whether the tables of a parameter have the form of
// aliases(5).
func isAliases(name string) bool { return name == "alias_maps" || name == "alias_database" }

// table checks one table that a setting names.
func (k *checker) table(s *setting, full string) {
	proxied := strings.HasPrefix(full, "proxy:")
	bare := full
	for strings.HasPrefix(bare, "proxy:") {
		bare = strings.TrimPrefix(bare, "proxy:")
	}
	kind, name, _ := table.SplitSpec(bare)
	switch {
	case kind == "unix" && !strings.HasSuffix(name, ".byname"):
		return // a socket
	case !slices.Contains(table.Types(), kind):
		k.unsupported(s, full, kind)
		return
	case kind == "tcp" && !isMaps(s.name):
		return
	}
	key := isoKey(s.name, bare)
	// A default that repeats a setting, as that of local_recipient_maps does, adds nothing.
	if k.tables[key] || !s.c.IsSet(s.name) && k.tables[isoKey("alias_maps", bare)] {
		return
	}
	k.tables[key] = true
	k.names[name] = true
	if proxied {
		k.tables["proxy"] = true
	}
	if table.IsDatabase(kind) {
		k.database(s, full, name)
		return
	}
	k.open(s, full, bare)
	switch kind {
	case "hash", "btree", "lmdb", "dbm", "sdbm", "cdb":
		k.text(name, isAliases(s.name))
		k.stale(s, full, kind, name)
		for _, suffix := range []string{"", ".cdb", ".db"} {
			k.mode(name+suffix, config.Caution)
		}
	case "texthash", "regexp", "pcre", "cidr":
		if kind == "texthash" && !strings.HasPrefix(name, "{") {
			k.text(name, false)
		}
		if kind != "texthash" && !strings.HasPrefix(name, "{") {
			k.rules(name)
		}
		k.mode(name, config.Caution)
	case "unionmap", "pipemap":
		k.tablesIn(s, strings.NewReplacer("{", " ", "}", " ").Replace(name), maxDepth)
	}
}

// database checks the file of a table in a database. It is not opened: that is
// for proxymap, which has the drivers.
func (k *checker) database(s *setting, full, name string) {
	k.tables["proxy"] = true
	if _, err := dbfile.Read(name); err != nil {
		k.add(s.at(full), config.Error, fmt.Sprintf("%s: %v", s.name, err))
		return
	}
	k.mode(name, config.Caution)
}

// isoKey keeps one table that has two meanings apart.
func isoKey(param, bare string) string {
	if isAliases(param) {
		return "aliases " + bare
	}
	return bare
}

// isMaps tells whether each value of a parameter is a table.
func isMaps(name string) bool {
	return strings.HasSuffix(name, "_maps") || strings.HasSuffix(name, "_checks") || name == "alias_database"
}

// unsupported reports a table type that does not exist here. In a parameter
// that may also hold other things it only counts if it is one of Postfix's.
func (k *checker) unsupported(s *setting, full, kind string) {
	switch kind {
	case "memcache", "mongodb", "nis", "netinfo", "nisplus":
		k.add(s.at(full), config.Error, fmt.Sprintf("%s: %s: %s tables are not supported", s.name, full, kind))
	default:
		if isMaps(s.name) {
			k.add(s.at(full), config.Error, fmt.Sprintf("%s: %s: there is no table type %q", s.name, full, kind))
		}
	}
}

// open opens the table as a daemon would.
func (k *checker) open(s *setting, full, bare string) {
	t, err := table.Open(bare, table.Options{ConfigDir: s.c.Dir(), Log: (*tableWarnings)(k), Aliases: isAliases(s.name)})
	if err != nil {
		k.add(s.at(full), config.Error, fmt.Sprintf("%s: %v", s.name, err))
		return
	}
	t.Close()
}

// tableWarnings takes what a table says when it is opened.
type tableWarnings checker

var ruleWarning = regexp.MustCompile(`^(?:(?:regexp|pcre|cidr) map )(.+), line (\d+): (.*)$`)

// Warn keeps the warnings about rules. Those about text and indexes are made
// with more detail by the checker itself.
func (w *tableWarnings) Warn(_, format string, args ...any) {
	m := ruleWarning.FindStringSubmatch(fmt.Sprintf(format, args...))
	if m == nil {
		return
	}
	line, _ := strconv.Atoi(m[2])
	(*checker)(w).add(config.Pos{File: m[1], Line: line}, config.Caution, m[3])
}

// text checks the lines of a table's source.
func (k *checker) text(name string, aliases bool) {
	f, err := os.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	if !aliases {
		if aliases, err = text.LooksLikeAliases(f); err != nil {
			return
		}
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			return
		}
	}
	seen := map[string]int{}
	add := func(e text.Entry) error {
		at := config.Pos{File: name, Line: e.Line}
		key := table.Fold(e.Key)
		if first, ok := seen[key]; ok {
			k.add(at, config.Caution, fmt.Sprintf("duplicate entry %q, first on line %d", e.Key, first))
			return nil
		}
		seen[key] = e.Line
		if aliases {
			if _, err := alias.Parse(e.Value); err != nil {
				k.add(at, config.Error, fmt.Sprintf("alias %s: %v", e.Key, err))
			}
		}
		return nil
	}
	utf8, _ := k.c.Value("smtputf8_enable")
	source := text.Source{Add: add, Report: k.reporter(name), UTF8: utf8 == "yes"}
	read := source.ReadMap
	if aliases {
		read = source.ReadAliases
	}
	if err := read(f); err != nil {
		k.add(config.Pos{File: name}, config.Error, err.Error())
	}
}

// reporter adds the problems of a table's source.
func (k *checker) reporter(name string) func(text.Problem) {
	return func(p text.Problem) {
		severity := config.Caution
		if p.Skip {
			severity = config.Error
		}
		k.add(config.Pos{File: name, Line: p.Line}, severity, printable.Text(p.Text))
	}
}

// rules looks for rules that begin with white space and belong to none before.
// What is wrong in a rule is told when the table is opened.
func (k *checker) rules(name string) {
	f, err := os.Open(name)
	if err != nil {
		return
	}
	defer f.Close()
	lines := text.NewReader(f, k.reporter(name))
	for err == nil {
		_, err = lines.Next()
	}
}

// stale reports an index that is older than its text. Daemons then read the
// text into memory, which works, but costs memory in each of them.
func (k *checker) stale(s *setting, full, kind, name string) {
	source, err := os.Stat(name)
	if err != nil {
		return
	}
	newest, index := os.FileInfo(nil), ""
	for _, suffix := range []string{table.IndexSuffix, ".db"} {
		info, err := os.Stat(name + suffix)
		if err == nil && (newest == nil || info.ModTime().After(newest.ModTime())) {
			newest, index = info, name+suffix
		}
	}
	if newest != nil && source.ModTime().After(newest.ModTime()) {
		command := "postmap"
		if isAliases(s.name) {
			command = "postalias"
		}
		k.add(s.at(full), config.Caution, fmt.Sprintf("%s: %s is older than %s, and is not used; run `%s %s:%s`",
			s.name, index, name, command, kind, name))
	}
}

// listFile checks that a file of patterns is there.
func (k *checker) listFile(s *setting, path string) {
	f, err := os.Open(path)
	if err != nil {
		k.add(s.at(path), config.Error, fmt.Sprintf("%s: %v", s.name, err))
		return
	}
	f.Close()
	k.names[path] = true
	k.mode(path, config.Caution)
}

// indexes reports tables in the configuration directory that nothing names. A
// text alone could be anything; beside an index it is a table.
func (k *checker) indexes(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), table.IndexSuffix)
		if !ok {
			name, ok = strings.CutSuffix(e.Name(), ".db")
		}
		path := filepath.Join(dir, name)
		if !ok || k.names[path] {
			continue
		}
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			continue
		}
		k.add(config.Pos{File: path}, config.Note, "no parameter uses this table")
		k.names[path] = true
	}
}
