// Package access evaluates the restriction lists of the SMTP server,
// smtpd_client_restrictions to smtpd_end_of_data_restrictions.
//
// A list is data: [Parse] makes it from the words of a parameter, opens its
// tables and refuses nonsense before the first client comes; [Eval.Run] goes
// through it and keeps a trace of what each restriction said. So the server,
// "posthouse check" and tests look at the same thing.
//
// A restriction that this package knows by name, but cannot do yet, does not
// count as absent: it answers 451 4.3.5, as an unknown one does. Silence
// would let in what the site wanted to keep out.
package access

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/table"
)

// Stage is the kind of a list: what a bare table and "reject" are about.
type Stage int

// The stages.
const (
	Client Stage = iota
	Helo
	Sender
	Recipient
	Relay
	Etrn
	Data
	EndOfData
)

// ErrSyntax reports a list that cannot be read.
var ErrSyntax = errors.New("restriction list")

// kind says what a restriction is, apart from its name.
type kind int

const (
	kindPlain   kind = iota
	kindTable        // takes type:table
	kindNumber       // takes a number of seconds
	kindList         // takes a DNS list's domain
	kindDomain       // takes a word, and is not done yet
	kindPolicy       // takes the address of a policy server
	kindClass        // a list of its own (smtpd_restriction_classes)
	kindMissing      // known, but not done yet; takes nothing
	kindUnknown      // no such restriction
)

// Item is one restriction.
type Item struct {
	Name string
	Arg  string // table, number, domain
	Warn bool   // warn_if_reject stands before it

	kind  kind
	maps  *table.Maps
	class *List
	list  *dnsList
	sleep time.Duration
}

// String returns the restriction as it is written.
func (i *Item) String() string {
	s := i.Name
	if i.Arg != "" {
		s += " " + i.Arg
	}
	if i.Warn {
		s = "warn_if_reject " + s
	}
	return s
}

// List is one parsed list.
type List struct {
	Param string // the parameter it came from
	Stage Stage
	Items []Item
}

// Parser holds what all lists of a service share.
type Parser struct {
	// Open opens one table.
	Open func(spec string) (*table.Maps, error)
	// Classes are the values of the parameters named in
	// smtpd_restriction_classes.
	Classes map[string][]string
	// Warn is told about restrictions that will answer 451.
	Warn func(format string, args ...any)

	lists map[string]*List
	maps  map[string]*table.Maps
	depth int
}

// Parse reads the words of a parameter as a list.
func (p *Parser) Parse(param string, stage Stage, words []string) (*List, error) {
	l := &List{Param: param, Stage: stage}
	warn := false
	for i := 0; i < len(words); i++ {
		item := Item{Name: canonicalName(words[i]), Warn: warn}
		warn = false
		if item.Name == "warn_if_reject" {
			warn = true
			continue
		}
		item.kind = p.kindOf(item.Name)
		if item.kind == kindTable && isTable(item.Name) {
			item.Arg, item.Name = item.Name, bareName(stage)
		} else if item.kind == kindTable || item.kind == kindNumber || item.kind == kindList || item.kind == kindDomain || item.kind == kindPolicy {
			if i++; i == len(words) {
				return nil, fmt.Errorf("%w: %s: restriction %q needs an argument", ErrSyntax, param, item.Name)
			}
			item.Arg = words[i]
		}
		if err := p.prepare(l, &item); err != nil {
			return nil, err
		}
		l.Items = append(l.Items, item)
	}
	if warn {
		return nil, fmt.Errorf("%w: %s: warn_if_reject at the end", ErrSyntax, param)
	}
	return l, nil
}

// prepare opens what a restriction needs.
func (p *Parser) prepare(l *List, item *Item) (err error) {
	switch item.kind {
	case kindTable:
		item.maps, err = p.open(item.Arg)
	case kindNumber:
		n, convErr := strconv.Atoi(item.Arg)
		if convErr != nil || n < 0 || n > 3600 {
			return fmt.Errorf("%w: %s: bad number %q for %s", ErrSyntax, l.Param, item.Arg, item.Name)
		}
		item.sleep = time.Duration(n) * time.Second
	case kindClass:
		item.class, err = p.classList(item.Name, l.Stage)
	case kindList:
		if item.list, err = parseDNSList(item.Arg); err != nil {
			return fmt.Errorf("%w: %s: %s: %w", ErrSyntax, l.Param, item.Name, err)
		}
	case kindUnknown:
		p.warn("%s: unknown smtpd restriction: %q", l.Param, item.Name)
	case kindMissing, kindDomain, kindPolicy:
		p.warn("%s: restriction %q is not available: mail that reaches it is deferred", l.Param, item.Name)
	}
	if err != nil {
		return fmt.Errorf("%s: %s: %w", l.Param, item, err)
	}
	return nil
}

func (p *Parser) warn(format string, args ...any) {
	if p.Warn != nil {
		p.Warn(format, args...)
	}
}

// open opens a table once for all lists. "{ type:table, ... }" takes options
// in Postfix; there are none here.
func (p *Parser) open(spec string) (*table.Maps, error) {
	if inner, ok := strings.CutPrefix(spec, "{"); ok {
		fields := strings.FieldsFunc(strings.TrimSuffix(inner, "}"), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' })
		if len(fields) != 1 {
			return nil, fmt.Errorf("%w: options in %q are not available", ErrSyntax, spec)
		}
		spec = fields[0]
	}
	if !isTable(spec) {
		return nil, fmt.Errorf("%w: %q is not type:table", ErrSyntax, spec)
	}
	if m := p.maps[spec]; m != nil {
		return m, nil
	}
	m, err := p.Open(spec)
	if err != nil {
		return nil, err
	}
	if p.maps == nil {
		p.maps = make(map[string]*table.Maps)
	}
	p.maps[spec] = m
	return m, nil
}

// classList parses a restriction class. Its stage is that of the list that
// names it. Classes may name each other to a bounded depth.
func (p *Parser) classList(name string, stage Stage) (*List, error) {
	key := name + "/" + strconv.Itoa(int(stage))
	if l := p.lists[key]; l != nil {
		return l, nil
	}
	if p.depth++; p.depth > 100 {
		return nil, fmt.Errorf("%w: class %q: recursion", ErrSyntax, name)
	}
	defer func() { p.depth-- }()
	l, err := p.Parse(name, stage, p.Classes[name])
	if err != nil {
		return nil, err
	}
	if p.lists == nil {
		p.lists = make(map[string]*List)
	}
	p.lists[key] = l
	return l, nil
}

// Changed reports whether a table of any list changed.
func (p *Parser) Changed() bool {
	for _, m := range p.maps {
		if m.Changed() {
			return true
		}
	}
	return false
}

// Guards reports whether a list has one of the restrictions without which
// anybody could relay: Postfix, and we, do not start without one in
// smtpd_relay_restrictions or smtpd_recipient_restrictions.
func (l *List) Guards() bool {
	for _, item := range l.Items {
		switch item.Name {
		case "reject_unauth_destination", "defer_unauth_destination", "reject", "defer", "defer_if_permit", "check_relay_domains":
			return true
		}
		if item.class != nil && item.class.Guards() {
			return true
		}
	}
	return false
}

func isTable(word string) bool {
	kind, _, ok := strings.Cut(word, ":")
	return ok && kind != "" && strings.Trim(kind, "abcdefghijklmnopqrstuvwxyz0123456789_-") == ""
}

func bareName(s Stage) string {
	return [...]string{"check_client_access", "check_helo_access", "check_sender_access", "check_recipient_access",
		"check_recipient_access", "check_etrn_access", "check_recipient_access", "check_recipient_access"}[s]
}
