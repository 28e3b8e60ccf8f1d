package config

import (
	"maps"
	"slices"
	"strings"
)

// Usage says which parameters of main.cf and master.cf mean something.
type Usage struct {
	// Service holds the parameters that exist because of a transport in
	// master.cf, with their default expressions.
	Service map[string]string
	// ServiceBuiltin holds those that exist without the transport too.
	ServiceBuiltin []string
	// User holds the parameters that the site invented and refers to.
	User map[string]bool
	// UndefinedMain and UndefinedMaster are names that values refer to, but
	// nobody defines.
	UndefinedMain, UndefinedMaster []string
	// UnusedMain are names in main.cf that nothing refers to.
	UnusedMain []string
	// UnusedMaster are such -o settings in master.cf.
	UnusedMaster []UnusedOverride

	c *Config
	m *Master
	// tables are names of database tables whose settings are in main.cf, as
	// in ldap:name and name_server_host.
	tables map[string]bool
}

// UnusedOverride is a -o setting of a service that nothing refers to.
type UnusedOverride struct {
	Service *Service
	Override
}

// FindUsage looks at all values. m may be nil.
func FindUsage(c *Config, m *Master) *Usage {
	if m == nil {
		m = &Master{}
	}
	u := &Usage{Service: map[string]string{}, User: map[string]bool{}, c: c, m: m, tables: map[string]bool{}}
	u.findService()
	u.findClasses()
	undefined := map[string]bool{}
	for _, e := range c.entries {
		u.scan(e.Value, nil, undefined)
	}
	for _, v := range c.overrides {
		u.scan(v, nil, undefined)
	}
	for _, p := range c.params {
		u.scan(p.Default, nil, nil)
	}
	inMaster := u.scanMaster()
	for _, name := range c.order {
		if u.ofTable(name) && !IsBuiltin(name) {
			u.User[name] = true
		}
	}
	u.UndefinedMain = slices.Sorted(maps.Keys(undefined))
	u.UndefinedMaster = slices.Sorted(maps.Keys(inMaster))
	u.findUnused()
	return u
}

// IsBuiltin tells whether a parameter is in the table and not only there for
// a transport that master.cf may lack.
func IsBuiltin(name string) bool {
	p, ok := table()[name]
	return ok && p.Type != Legacy && !perTransport(name)
}

// perTransport tells whether a name of the table exists only together with a
// service in master.cf.
func perTransport(name string) bool {
	for _, t := range transportSuffixes() {
		switch strings.TrimSuffix(name, t.suffix) {
		case "transport", "smtp", "lmtp", "relay", "virtual":
			return true
		}
	}
	return false
}

// Known tells whether a name of main.cf has a meaning.
func (u *Usage) Known(name string) bool {
	if p, ok := u.c.params[name]; ok && (p.Type == Legacy || !perTransport(name)) {
		return true
	}
	_, ok := u.Service[name]
	return ok || u.User[name] || u.ofTable(name)
}

// ofTable tells whether a name belongs to a database table.
func (u *Usage) ofTable(name string) bool {
	for t := range u.tables {
		if strings.HasPrefix(name, t+"_") {
			return true
		}
	}
	return false
}

// findService collects the parameters of the transports.
func (u *Usage) findService() {
	for _, s := range u.m.Services {
		if s.Type != "unix" {
			continue
		}
		switch program := baseName(s.Program); program {
		case "pipe", "spawn":
			u.Service[s.Name+commandTimeSuffix] = "$command_time_limit"
			if program == "spawn" {
				continue
			}
		case "error", "lmtp", "local", "smtp", "virtual":
		default:
			continue
		}
		for _, t := range transportSuffixes() {
			name := s.Name + t.suffix
			switch {
			case t.suffix == commandTimeSuffix:
			case IsBuiltin(name):
				u.ServiceBuiltin = append(u.ServiceBuiltin, name)
			default:
				u.Service[name] = "$" + t.def
			}
		}
	}
}

// baseName returns the last part of a path.
func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// findClasses makes the restriction classes known.
func (u *Usage) findClasses() {
	value, err := u.c.Value("smtpd_restriction_classes")
	if err != nil {
		return
	}
	for _, name := range SplitList(value) {
		if !IsBuiltin(name) {
			u.User[name] = true
		}
	}
}

// scan makes the names known that a value refers to, and collects those that
// nobody defines. local holds the definitions of the same service.
func (u *Usage) scan(value string, local map[string]string, undefined map[string]bool) {
	for _, name := range references(value) {
		_, isBuiltin := u.c.params[name]
		_, isService := u.Service[name]
		_, isLocal := local[name]
		_, isComputed := u.c.defaults[name]
		switch {
		case isBuiltin || isService || isComputed:
		case isLocal || u.c.IsSet(name):
			u.User[name] = true
		case undefined != nil:
			undefined[name] = true
		}
	}
	for _, item := range SplitList(value) {
		u.scanTable(item)
	}
}

// scanTable notes database tables whose settings are in main.cf.
func (u *Usage) scanTable(item string) {
	item = strings.TrimPrefix(item, "proxy:")
	typ, name, ok := strings.Cut(item, ":")
	if !ok || name == "" || strings.HasPrefix(name, "/") {
		return
	}
	switch typ {
	case "ldap", "mysql", "pgsql", "sqlite", "memcache":
		u.tables[name] = true
	}
}

// scanMaster scans the -o settings and returns the undefined names.
func (u *Usage) scanMaster() map[string]bool {
	undefined := map[string]bool{}
	for _, s := range u.m.Services {
		local := map[string]string{}
		for _, o := range s.Overrides {
			local[o.Name] = o.Value
		}
		for _, o := range s.Overrides {
			u.scan(o.Value, local, undefined)
		}
	}
	return undefined
}

// findUnused collects the settings that mean nothing.
func (u *Usage) findUnused() {
	for _, name := range u.c.order {
		if !u.Known(name) {
			u.UnusedMain = append(u.UnusedMain, name)
		}
	}
	slices.Sort(u.UnusedMain)
	for i := range u.m.Services {
		s := &u.m.Services[i]
		for n, o := range s.Overrides {
			again := slices.ContainsFunc(s.Overrides[n+1:], func(later Override) bool { return later.Name == o.Name })
			if !again && !u.Known(o.Name) {
				u.UnusedMaster = append(u.UnusedMaster, UnusedOverride{Service: s, Override: o})
			}
		}
	}
}

// references returns the names that an expression refers to. Text that is no
// valid expression ends it.
func references(s string) []string {
	var names []string
	var walk func(s string, depth int)
	walk = func(s string, depth int) {
		for depth < maxNesting {
			dollar := strings.IndexByte(s, '$')
			if dollar < 0 || dollar+1 == len(s) {
				return
			}
			s = s[dollar+1:]
			switch {
			case s[0] == '$':
				s = s[1:]
			case s[0] == '{' || s[0] == '(':
				n := matchPair(s)
				if n == 0 {
					return
				}
				if x, err := parseExpression(s[1 : n-1]); err == nil {
					if x.relation != nil {
						walk(x.relation.left, depth+1)
						walk(x.relation.right, depth+1)
					} else {
						names = append(names, x.name)
					}
					walk(x.then, depth+1)
					walk(x.otherwise, depth+1)
				}
				s = s[n:]
			default:
				n := 0
				for n < len(s) && isNameByte(s[n]) {
					n++
				}
				if n > 0 {
					names = append(names, s[:n])
				}
				s = s[n:]
			}
		}
	}
	walk(s, 0)
	return names
}
