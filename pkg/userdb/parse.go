package userdb

import (
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// splitLine takes a line without its end apart. isRecord is false for comments
// and empty lines.
func splitLine(line string) (login, fields string, isRecord bool, err error) {
	if line == "" || line[0] == '#' {
		return "", "", false, nil
	}
	login, fields, ok := strings.Cut(line, "\t")
	if !ok {
		if strings.TrimSpace(line) == "" {
			return "", "", false, nil
		}
		// A name alone is what stays when all its fields were unset.
		if strings.ContainsAny(line, " =") {
			return "", "", false, syntaxErrorf("no tab after the name %q", head(line))
		}
	}
	if err := checkLogin(login); err != nil {
		return "", "", false, err
	}
	return login, fields, true, nil
}

// head is the start of a text for a message. It never shows a value, which
// may be a password.
func head(s string) string {
	if i := strings.IndexAny(s, "=|\t"); i >= 0 {
		s = s[:i]
	}
	if len(s) > 80 {
		s = s[:80] + "..."
	}
	return s
}

// checkLogin refuses what cannot stand in front of the tab, or would not come
// back the same.
func checkLogin(login string) error {
	switch {
	case login == "":
		return syntaxErrorf("the name before the tab is empty")
	case len(login) > MaxLogin:
		return syntaxErrorf("the name is longer than %d bytes", MaxLogin)
	case login[0] == '#':
		return syntaxErrorf("a name cannot start with #")
	}
	for i := range len(login) {
		if c := login[i]; c < ' ' || c == 0x7f || c == '|' || c == '/' {
			return syntaxErrorf("bad character %q in the name %q", c, head(login))
		}
	}
	return nil
}

// isReverse tells a record "uid=<TAB>name" of Courier, which leads from a uid
// to an account name and has no fields.
func isReverse(login string) bool { return strings.HasSuffix(login, "=") }

// fold is the form of logins in comparisons.
func fold(login string) string { return strings.ToLower(login) }

// ParseLine reads a record from a line. It is nil for a comment.
func ParseLine(line string) (*Record, error) {
	login, fields, ok, err := splitLine(strings.TrimSuffix(line, "\n"))
	if err != nil || !ok || isReverse(login) {
		return nil, err
	}
	return Parse(login, fields)
}

// Parse reads the fields of a record: "uid=1000|gid=1000|...". Of a field that
// is there twice, the last counts, as in Courier's tools.
func Parse(login, fields string) (*Record, error) {
	if err := checkLogin(login); err != nil {
		return nil, err
	}
	if len(fields) > MaxLine {
		return nil, syntaxErrorf("a line is longer than %d bytes", MaxLine)
	}
	if strings.ContainsAny(fields, "\n\r\x00") {
		return nil, syntaxErrorf("a control character in the fields of %q", login)
	}
	if strings.Count(fields, "|") >= maxFields {
		return nil, syntaxErrorf("more than %d fields", maxFields)
	}
	r := &Record{Login: login, UID: -1, GID: -1}
	for item := range strings.SplitSeq(fields, "|") {
		name, value, _ := strings.Cut(item, "=")
		if name == "" {
			continue
		}
		if err := r.setField(name, value); err != nil {
			return nil, err
		}
	}
	return r, r.finish()
}

// finish resolves what fields say together: Courier takes a relative path of
// the Maildir from the home directory.
func (r *Record) finish() error {
	if r.MailDir == "" || r.MailDir[0] == '/' {
		return nil
	}
	if r.Home == "" {
		return syntaxErrorf("mail is a relative path, and there is no home")
	}
	r.MailDir = path.Join(r.Home, r.MailDir)
	return nil
}

// setField stores one field of the text.
func (r *Record) setField(name, value string) (err error) {
	switch name {
	case "uid":
		r.UID, err = parseID(name, value)
	case "gid":
		r.GID, err = parseID(name, value)
	case "home":
		r.Home, err = parsePath(name, value)
		if err == nil && value != "" && value[0] != '/' {
			err = syntaxErrorf("home is not an absolute path: %q", head(value))
		}
	case "mail":
		r.MailDir, err = parsePath(name, value)
	case "quota":
		r.Quota, err = ParseQuota(value)
	case "gecos":
		r.Name = value
	case "options":
		err = r.parseOptions(value)
	case "aliases":
		r.Aliases, err = parseList(name, value, checkAlias)
	case "disabled":
		var list []string
		list, err = parseList(name, value, checkWord)
		for _, s := range list {
			r.disable(s)
		}
	case "sendas":
		r.SendAs, err = parseList(name, value, checkAlias)
	case "networks":
		r.Networks, err = parseNetworks(value)
	case "limits":
		r.Limits, err = parseLimits(value)
	case "held":
		r.Held, err = parseBool(name, value)
	default:
		if strings.HasSuffix(name, "pw") {
			put(&r.Hashes, name, value)
		} else {
			put(&r.Fields, name, value)
		}
	}
	return err
}

func put(m *map[string]string, key, value string) {
	if *m == nil {
		*m = map[string]string{}
	}
	(*m)[key] = value
}

func (r *Record) disable(service string) {
	for _, s := range r.Disabled {
		if s == service {
			return
		}
	}
	r.Disabled = append(r.Disabled, service)
}

// parseOptions reads Courier's account options: disableimap=1,sharedgroup=x.
func (r *Record) parseOptions(value string) error {
	list, err := parseList("options", value, nil)
	if err != nil {
		return err
	}
	for _, item := range list {
		name, v, _ := strings.Cut(item, "=")
		service, ok := strings.CutPrefix(name, "disable")
		switch {
		case ok && service != "" && checkWord("options", service) == nil && isTrue(v):
			r.disable(service)
		case ok && v == "0":
		default:
			put(&r.Options, name, v)
		}
	}
	return nil
}

// isTrue is what Courier takes for yes: a number that is not zero, or a word
// that starts with t or y.
func isTrue(v string) bool {
	if n, err := strconv.Atoi(v); err == nil {
		return n != 0
	}
	return v != "" && strings.ContainsRune("tTyY", rune(v[0]))
}

func parseBool(name, value string) (bool, error) {
	switch value {
	case "1", "yes", "true":
		return true, nil
	case "", "0", "no", "false":
		return false, nil
	}
	return false, syntaxErrorf("%s is neither 0 nor 1", name)
}

func parseID(name, value string) (int, error) {
	n, err := strconv.ParseUint(value, 10, 32)
	// The last value means "no id" in system calls.
	if err != nil || n == 1<<32-1 {
		return -1, syntaxErrorf("%s is not a number: %q", name, head(value))
	}
	return int(n), nil
}

// parsePath wants a path without "..", since who owns the database need not
// own the directories beside the mailboxes.
func parsePath(name, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	for elem := range strings.SplitSeq(value, "/") {
		if elem == ".." {
			return "", syntaxErrorf("%s has .. in its path: %q", name, head(value))
		}
	}
	// "./Maildir" and a slash at the end are common.
	return path.Clean(value), nil
}

// parseList reads items separated by commas.
func parseList(name, value string, check func(name, item string) error) ([]string, error) {
	if strings.Count(value, ",") >= MaxAliases {
		return nil, syntaxErrorf("more than %d items in %s", MaxAliases, name)
	}
	var list []string
	for item := range strings.SplitSeq(value, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		if check != nil {
			if err := check(name, item); err != nil {
				return nil, err
			}
		}
		list = append(list, item)
	}
	return list, nil
}

func checkAlias(name, item string) error {
	if err := checkLogin(item); err != nil {
		return syntaxErrorf("%s: %s", name, err)
	}
	return nil
}

func checkWord(name, item string) error {
	for _, c := range item {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return syntaxErrorf("%s: not the name of a service: %q", name, head(item))
		}
	}
	return nil
}

func parseNetworks(value string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	_, err := parseList("networks", value, func(_, item string) error {
		p, err := netip.ParsePrefix(item)
		if err != nil {
			var ip netip.Addr
			if ip, err = netip.ParseAddr(item); err == nil && ip.Zone() == "" {
				ip = ip.Unmap()
				p = netip.PrefixFrom(ip, ip.BitLen())
			}
		}
		if err != nil || !p.IsValid() {
			return syntaxErrorf("networks: neither an address nor a network: %q", head(item))
		}
		networks = append(networks, p.Masked())
		return nil
	})
	return networks, err
}

// limitFields pairs the names in text with the fields.
func limitFields(l *Limits) []struct {
	name string
	p    *int
} {
	return []struct {
		name string
		p    *int
	}{
		{"messages_hour", &l.MessagesHour},
		{"messages_day", &l.MessagesDay},
		{"recipients_hour", &l.RecipientsHour},
		{"recipients_day", &l.RecipientsDay},
		{"connections", &l.Connections},
	}
}

func parseLimits(value string) (Limits, error) {
	var l Limits
	fields := limitFields(&l)
	_, err := parseList("limits", value, func(_, item string) error {
		name, v, _ := strings.Cut(item, "=")
		n, err := strconv.ParseUint(v, 10, 31)
		for _, f := range fields {
			if f.name == name && err == nil {
				*f.p = int(n)
				return nil
			}
		}
		return syntaxErrorf("limits: %q is no limit with a number", head(item))
	})
	return l, err
}

// ParseQuota reads a quota in the form of Maildir++: a comma-separated list of a
// number of bytes followed by S and a number of messages followed by C, each at
// most once. A number alone is bytes; the form that is returned says so.
func ParseQuota(q string) (string, error) {
	if q == "" {
		return "", nil
	}
	items := strings.Split(q, ",")
	seen := map[byte]bool{}
	for i, item := range items {
		digits := strings.TrimRight(item, "SC")
		if _, err := strconv.ParseUint(digits, 10, 63); err != nil || len(item)-len(digits) > 1 {
			return "", syntaxErrorf("quota is not of the form 1000000S,1000C: %q", head(q))
		}
		if item == digits {
			items[i] += "S"
		}
		kind := items[i][len(items[i])-1]
		if seen[kind] {
			return "", syntaxErrorf("quota has two limits of the kind %c: %q", kind, head(q))
		}
		seen[kind] = true
	}
	return strings.Join(items, ","), nil
}
