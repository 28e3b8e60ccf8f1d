package config

import (
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
)

// hostFacts are the facts about this machine that defaults depend on. A test
// replaces them.
type hostFacts struct {
	hostname  func() (string, error)
	addresses func() ([]net.Addr, error)
}

// WithHost replaces the name and the network addresses of this machine.
func WithHost(name string, addresses []net.Addr) Option {
	return func(c *Config) {
		c.host.hostname = func() (string, error) { return name, nil }
		c.host.addresses = func() ([]net.Addr, error) { return addresses, nil }
	}
}

// computed returns the defaults that depend on the machine or the process.
func (c *Config) computed(name string) (string, bool) {
	if slices.Contains(c.hidden, name) {
		return "", false
	}
	switch name {
	case "myhostname":
		return c.without(name).myHostname(), true
	case "mydomain":
		return c.without(name).myDomain(), true
	case "mynetworks":
		return c.without(name).myNetworks(), true
	case "process_id":
		return strconv.Itoa(os.Getpid()), true
	}
	return "", false
}

// without returns a copy that does not compute the default of name, since that
// is what it is used for.
func (c *Config) without(name string) *Config {
	d := *c
	d.hidden = append(slices.Clone(c.hidden), name)
	return &d
}

// myHostname returns the name of this machine, completed as Postfix does if it
// is not fully qualified.
func (c *Config) myHostname() string {
	get := c.host.hostname
	if get == nil {
		get = os.Hostname
	}
	name, err := get()
	if err != nil || name == "" {
		name = "localhost"
	}
	name = strings.TrimSuffix(name, ".")
	if strings.Contains(name, ".") {
		return name
	}
	domain := "localdomain"
	if raw, ok := c.set("mydomain"); ok {
		if v, err := c.Expand(raw); err == nil && v != "" {
			domain = v
		}
	}
	return name + "." + domain
}

// myDomain returns myhostname without its first label.
func (c *Config) myDomain() string {
	host := ""
	if raw, ok := c.set("myhostname"); ok {
		v, err := c.Expand(raw)
		if err != nil {
			return "localdomain"
		}
		host = v
	} else if v, ok := c.computed("myhostname"); ok {
		host = v
	}
	if _, rest, ok := strings.Cut(host, "."); ok && rest != "" {
		return rest
	}
	return "localdomain"
}

// set returns the unexpanded value of a parameter that is set by -o or main.cf.
func (c *Config) set(name string) (string, bool) {
	if v, ok := c.overrides[name]; ok {
		return v, true
	}
	e, ok := c.entries[name]
	return e.Value, ok
}
