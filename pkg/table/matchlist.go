package table

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
)

// ListOptions say how a match list is read.
type ListOptions struct {
	Options
	// Name is the parameter that the list is the value of, for messages.
	Name string
	// MatchParent makes "example.com" match its subdomains too, which
	// otherwise takes ".example.com" (parent_domain_matches_subdomains).
	MatchParent bool
}

// MatchList is an ordered list of patterns such as mydestination or
// mynetworks. The first pattern that matches decides, and one that starts
// with "!" decides for no. It is safe for concurrent use.
type MatchList struct {
	patterns []listItem
	matchers []matcher
	o        ListOptions
	files    sources
}

// listItem is one item of a list.
type listItem struct {
	text   string // folded, without "!"
	negate bool
	table  Table // for type:name
	spec   string
	prefix netip.Prefix // for an address or network
	bad    error        // a network that is malformed, reported when used
}

// matcher compares one string with one pattern.
type matcher func(ctx context.Context, l *MatchList, s string, p *listItem) (bool, error)

// NewDomainList opens a list of domains: "example.com", ".example.com",
// "/file/name", "type:name", each with "!" in front to exclude. Match takes
// the domain.
func NewDomainList(specs []string, o ListOptions) (*MatchList, error) {
	return newList(specs, o, matchHostname)
}

// NewHostList opens a list of host names and addresses: as for domains, and
// "192.0.2.0/24", "[2001:db8::]/32". Match takes the host name and the
// address.
func NewHostList(specs []string, o ListOptions) (*MatchList, error) {
	return newList(specs, o, matchHostname, matchAddress)
}

// NewAddressList opens a list of addresses and networks. Match takes the
// address.
func NewAddressList(specs []string, o ListOptions) (*MatchList, error) {
	return newList(specs, o, matchAddress)
}

// NewStringList opens a list of strings that are compared as a whole. Match
// takes the string.
func NewStringList(specs []string, o ListOptions) (*MatchList, error) {
	return newList(specs, o, matchString)
}

func newList(specs []string, o ListOptions, m ...matcher) (*MatchList, error) {
	l := &MatchList{matchers: m, o: o}
	for _, s := range specs {
		if err := l.parse(s, false, 0); err != nil {
			l.Close()
			if o.Position != "" {
				err = fmt.Errorf("%s: %w", o.Position, err)
			}
			return nil, err
		}
	}
	return l, nil
}

// maxListFiles bounds files that name files.
const maxListFiles = 20

func (l *MatchList) parse(s string, negate bool, depth int) error {
	items, err := SplitList(s)
	if err != nil {
		return fmt.Errorf("%s: %w", l.o.Name, err)
	}
	for _, item := range items {
		not := negate
		for strings.HasPrefix(item, "!") {
			not = !not
			item = item[1:]
		}
		switch {
		case item == "":
			return fmt.Errorf("%s: no pattern after '!'", l.o.Name)
		case item[0] == '/':
			err = l.parseFile(item, not, depth+1)
		case item[0] != '[' && strings.Contains(item, ":") && !isIPv6(item):
			err = l.addTable(item, not)
		default:
			l.addText(item, not)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isIPv6 recognises a bare IPv6 address or network. Postfix reads it as a
// table of unknown type and fails; there is no doubt about what was meant.
func isIPv6(item string) bool {
	host, _, _ := strings.Cut(item, "/")
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Is6()
}

func (l *MatchList) addTable(spec string, not bool) error {
	o := l.o.Options
	o.Position = ""
	t, err := openOrDefer(spec, o)
	if err != nil {
		return fmt.Errorf("%s: %w", l.o.Name, err)
	}
	l.patterns = append(l.patterns, listItem{spec: spec, table: t, negate: not})
	return nil
}

func (l *MatchList) addText(item string, not bool) {
	p := listItem{text: Fold(item), negate: not}
	p.prefix, p.bad = parseNetwork(item)
	l.patterns = append(l.patterns, p)
}

// parseFile reads patterns from a file, whose lines are lists in turn.
func (l *MatchList) parseFile(path string, negate bool, depth int) error {
	if depth > maxListFiles {
		return fmt.Errorf("%s: files nested more than %d deep", l.o.Name, maxListFiles)
	}
	f, _, err := openSource(path)
	if err != nil {
		return fmt.Errorf("%s: %w", l.o.Name, err)
	}
	if err := l.files.watch(f); err != nil {
		f.Close()
		return fmt.Errorf("%s: %w", l.o.Name, err)
	}
	return l.parseLines(f, negate, depth)
}

func (l *MatchList) parseLines(f *os.File, negate bool, depth int) error {
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if strings.HasPrefix(line, "#") {
			continue
		}
		if err := l.parse(line, negate, depth); err != nil {
			return fmt.Errorf("%s, line %d: %w", f.Name(), n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", f.Name(), err)
	}
	return nil
}

// Match reports whether the list contains what the strings name; which ones
// to give is said with each constructor. An error means that it is not known.
func (l *MatchList) Match(ctx context.Context, values ...string) (bool, error) {
	if l == nil {
		return false, nil
	}
	folded := make([]string, len(values))
	for i, v := range values {
		folded[i] = Fold(v)
	}
	for i := range l.patterns {
		p := &l.patterns[i]
		for j, m := range l.matchers {
			if j >= len(folded) {
				break
			}
			hit, err := m(ctx, l, folded[j], p)
			if err != nil {
				return false, fmt.Errorf("%s: %w", l.o.Name, err)
			}
			if hit {
				return !p.negate, nil
			}
		}
	}
	return false, nil
}

// Empty reports whether the list has no patterns.
func (l *MatchList) Empty() bool { return l == nil || len(l.patterns) == 0 }

// Changed reports whether a file or table of the list changed since it was
// opened.
func (l *MatchList) Changed() bool {
	if l == nil {
		return false
	}
	for i := range l.patterns {
		if t := l.patterns[i].table; t != nil && Changed(t) {
			return true
		}
	}
	return l.files.Changed()
}

// Close closes the tables of the list.
func (l *MatchList) Close() error {
	if l == nil {
		return nil
	}
	errs := []error{l.files.close()}
	for i := range l.patterns {
		if t := l.patterns[i].table; t != nil {
			errs = append(errs, t.Close())
		}
	}
	l.patterns = nil
	return errors.Join(errs...)
}
