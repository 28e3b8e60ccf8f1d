package check

import (
	"fmt"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/access"
	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/table"
)

// restrictionLists are the parameters that smtpd reads as restrictions.
var restrictionLists = []struct {
	name  string
	stage access.Stage
}{
	{"smtpd_client_restrictions", access.Client},
	{"smtpd_helo_restrictions", access.Helo},
	{"smtpd_sender_restrictions", access.Sender},
	{"smtpd_relay_restrictions", access.Relay},
	{"smtpd_recipient_restrictions", access.Recipient},
	{"smtpd_data_restrictions", access.Data},
	{"smtpd_end_of_data_restrictions", access.EndOfData},
	{"smtpd_etrn_restrictions", access.Etrn},
}

// restrictions reads the restriction lists as smtpd does. With a service, only
// what its own settings change is reported there.
func (k *checker) restrictions(c *config.Config, from config.Pos, service string) {
	var guarded, broken bool
	for _, l := range restrictionLists {
		value, err := c.Value(l.name)
		if err != nil {
			broken = true
			continue
		}
		s := &setting{c: c, name: l.name, value: value, from: from}
		s.entry, _ = c.Entry(l.name)
		list, err := k.parse(s, l.stage)
		if err != nil {
			broken = true
			k.add(s.at(""), config.Error, service+err.Error())
			continue
		}
		if l.stage == access.Relay || l.stage == access.Recipient {
			guarded = guarded || list.Guards()
		}
	}
	if !guarded && !broken {
		s := &setting{c: c, from: from}
		s.entry, _ = c.Entry("smtpd_relay_restrictions")
		k.add(s.at(""), config.Error, service+"smtpd_relay_restrictions and smtpd_recipient_restrictions have nothing that stops strangers from "+
			"relaying, such as reject_unauth_destination; smtpd will not start")
	}
}

// parse reads one list, and reports the restrictions that smtpd lacks.
func (k *checker) parse(s *setting, stage access.Stage) (*access.List, error) {
	p := &access.Parser{
		Classes: k.classes(s.c),
		Open:    func(string) (*table.Maps, error) { return table.NewMaps(), nil },
	}
	words, err := table.SplitList(s.value)
	if err != nil {
		return nil, err
	}
	p.Warn = func(format string, args ...any) {
		word := ""
		for _, a := range args {
			if text, ok := a.(string); ok && text != s.name {
				word = text
			}
		}
		k.add(s.at(strings.TrimSpace(word)), config.Error, fmt.Sprintf(format, args...))
	}
	return p.Parse(s.name, stage, words)
}

// classes returns the values of the restriction classes.
func (k *checker) classes(c *config.Config) map[string][]string {
	classes := map[string][]string{}
	names, err := c.Value("smtpd_restriction_classes")
	if err != nil {
		return classes
	}
	for _, name := range config.SplitList(names) {
		value, err := c.Value(name)
		if err != nil {
			continue
		}
		classes[name], _ = table.SplitList(value)
	}
	return classes
}

// affects tells whether a -o setting may change a restriction list.
func affects(overrides []config.Override) bool {
	return slices.ContainsFunc(overrides, func(o config.Override) bool {
		return strings.Contains(o.Name, "restriction") || !config.IsBuiltin(o.Name)
	})
}
