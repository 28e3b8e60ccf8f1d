package userdb

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Field is one field of a record in text form.
type Field struct{ Name, Value string }

// fields returns the record in text form, in a fixed order: that of pw2userdb
// first.
func (r *Record) fields() []Field {
	var list []Field
	add := func(name, value string) {
		if value != "" {
			list = append(list, Field{name, value})
		}
	}
	if r.UID >= 0 {
		add("uid", strconv.Itoa(r.UID))
	}
	if r.GID >= 0 {
		add("gid", strconv.Itoa(r.GID))
	}
	add("home", r.Home)
	if shell, ok := r.Fields["shell"]; ok {
		list = append(list, Field{"shell", shell})
	}
	add("mail", r.MailDir)
	add("quota", r.Quota)
	for _, name := range slices.Sorted(maps.Keys(r.Hashes)) {
		list = append(list, Field{name, r.Hashes[name]})
	}
	add("gecos", r.Name)
	add("aliases", strings.Join(r.Aliases, ","))
	add("disabled", strings.Join(r.Disabled, ","))
	var networks []string
	for _, n := range r.Networks {
		networks = append(networks, n.String())
	}
	add("networks", strings.Join(networks, ","))
	add("sendas", strings.Join(r.SendAs, ","))
	add("limits", r.Limits.String())
	if r.Held {
		add("held", "1")
	}
	var options []string
	for _, name := range slices.Sorted(maps.Keys(r.Options)) {
		options = append(options, name+"="+r.Options[name])
	}
	add("options", strings.Join(options, ","))
	for _, name := range slices.Sorted(maps.Keys(r.Fields)) {
		if name != "shell" {
			list = append(list, Field{name, r.Fields[name]})
		}
	}
	return list
}

// String is the text form of the limits.
func (l Limits) String() string {
	var items []string
	for _, f := range limitFields(&l) {
		if *f.p != 0 {
			items = append(items, f.name+"="+strconv.Itoa(*f.p))
		}
	}
	return strings.Join(items, ",")
}

// Format returns the record as a line without its end. It fails for values
// that would come back as something else.
func (r *Record) Format() (string, error) {
	if err := checkLogin(r.Login); err != nil {
		return "", err
	}
	list := r.fields()
	for _, f := range list {
		if err := f.check(); err != nil {
			return "", err
		}
	}
	line := r.Login + "\t" + joinFields(list)
	if _, err := Parse(r.Login, joinFields(list)); err != nil {
		return "", err
	}
	return line, nil
}

// check refuses what would end the field or the line.
func (f Field) check() error {
	if f.Name == "" || strings.ContainsAny(f.Name, "|=\t\n\r\x00") {
		return syntaxErrorf("not a field name: %q", head(f.Name))
	}
	if strings.ContainsAny(f.Value, "|\n\r\x00") {
		return syntaxErrorf("the value of %s has a '|' or a control character", f.Name)
	}
	return nil
}

func joinFields(list []Field) string {
	var b strings.Builder
	for i, f := range list {
		if i > 0 {
			b.WriteByte('|')
		}
		b.WriteString(f.Name)
		b.WriteByte('=')
		b.WriteString(f.Value)
	}
	return b.String()
}
