package authclient

import (
	"encoding/base64"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
)

// User is one user as other processes may know it: the record of the user
// database without its hashes.
type User struct {
	Login    string   // "you@example.com", or a plain account name
	Aliases  []string // other logins of the same user
	UID, GID int
	Home     string // absolute
	MailDir  string // absolute path of the Maildir
	Name     string // display name
	Quota    string // Maildir++ form "1000000S,1000C"; "" = none
	Disabled []string
	Networks []netip.Prefix
	SendAs   []string // addresses, or "@domain", beyond the login itself
	Limits   Limits
	Held     bool // the account may not send
	Options  map[string]string
}

// Limits are how much a user may send. Zero is the site's default.
type Limits struct {
	MessagesHour, MessagesDay     int
	RecipientsHour, RecipientsDay int
	Connections                   int
}

// MayUse reports whether a service is on for the user.
func (u *User) MayUse(service string) bool { return !slices.Contains(u.Disabled, service) }

// prefix marks the attributes of a user in a list.
const prefix = "user_"

// Attributes appends the user to a list.
func (u *User) Attributes(l ipc.List) ipc.List {
	l = l.Str(prefix+"login", u.Login).Int(prefix+"uid", int64(u.UID)).Int(prefix+"gid", int64(u.GID))
	for _, f := range []struct{ name, value string }{
		{"home", u.Home}, {"maildir", u.MailDir}, {"name", u.Name}, {"quota", u.Quota},
	} {
		if f.value != "" {
			l = l.Str(prefix+f.name, f.value)
		}
	}
	for _, f := range []struct {
		name   string
		values []string
	}{{"alias", u.Aliases}, {"disabled", u.Disabled}, {"sendas", u.SendAs}} {
		for _, v := range f.values {
			l = l.Str(prefix+f.name, v)
		}
	}
	for _, p := range u.Networks {
		l = l.Str(prefix+"network", p.String())
	}
	for _, f := range u.Limits.fields() {
		if *f.value != 0 {
			l = l.Int(prefix+f.name, int64(*f.value))
		}
	}
	if u.Held {
		l = l.Bool(prefix+"held", true)
	}
	for _, name := range sortedKeys(u.Options) {
		l = l.Str(prefix+"option", name+"="+u.Options[name])
	}
	return l
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

type limitField struct {
	name  string
	value *int
}

func (l *Limits) fields() []limitField {
	return []limitField{
		{"messages_hour", &l.MessagesHour}, {"messages_day", &l.MessagesDay},
		{"recipients_hour", &l.RecipientsHour}, {"recipients_day", &l.RecipientsDay},
		{"connections", &l.Connections},
	}
}

// ReadUser returns the user in a list, nil if there is none.
func ReadUser(l ipc.List) (*User, error) {
	if _, ok := l.Get(prefix + "login"); !ok {
		return nil, nil
	}
	u := &User{}
	for _, a := range l {
		name, ok := strings.CutPrefix(a.Name, prefix)
		if !ok {
			continue
		}
		if err := u.set(name, a.Value); err != nil {
			return nil, err
		}
	}
	if err := u.numbers(l); err != nil {
		return nil, err
	}
	return u, nil
}

// set takes one attribute that is no number.
func (u *User) set(name, value string) error {
	switch name {
	case "login":
		u.Login = value
	case "home":
		u.Home = value
	case "maildir":
		u.MailDir = value
	case "name":
		u.Name = value
	case "quota":
		u.Quota = value
	case "alias":
		u.Aliases = append(u.Aliases, value)
	case "disabled":
		u.Disabled = append(u.Disabled, value)
	case "sendas":
		u.SendAs = append(u.SendAs, value)
	case "network":
		p, err := netip.ParsePrefix(value)
		if err != nil {
			return fmt.Errorf("%w: network %q", ipc.ErrMalformed, value)
		}
		u.Networks = append(u.Networks, p)
	case "held":
		u.Held = value == "1"
	case "option":
		if u.Options == nil {
			u.Options = map[string]string{}
		}
		k, v, _ := strings.Cut(value, "=")
		u.Options[k] = v
	}
	return nil
}

// numbers takes the attributes that are numbers. The ids must be there: a user
// without them must never become one with uid 0.
func (u *User) numbers(l ipc.List) error {
	for _, f := range []limitField{{"uid", &u.UID}, {"gid", &u.GID}} {
		n, err := l.GetInt(prefix + f.name)
		if err != nil {
			return err
		}
		*f.value = int(n)
	}
	for _, f := range u.Limits.fields() {
		if _, ok := l.Get(prefix + f.name); !ok {
			continue
		}
		n, err := l.GetInt(prefix + f.name)
		if err != nil {
			return err
		}
		*f.value = int(n)
	}
	return nil
}

// attributes appends the peer to a request.
func (p Peer) attributes(l ipc.List) ipc.List {
	l = l.Str("service", p.Service).Str("rip", p.RemoteIP).Int("rport", int64(p.RemotePort)).
		Str("lip", p.LocalIP).Int("lport", int64(p.LocalPort)).Bool("tls", p.TLS)
	if p.SessionID != "" {
		l = l.Str("session", p.SessionID)
	}
	if p.TLSExporter != nil {
		l = l.Str("tls_exporter", encode(p.TLSExporter))
	}
	if p.TLSEndpoint != nil {
		l = l.Str("tls_endpoint", encode(p.TLSEndpoint))
	}
	if p.CertName != "" {
		l = l.Str("cert_name", p.CertName)
	}
	if p.Realm != "" {
		l = l.Str("realm", p.Realm)
	}
	return l
}

// ReadPeer returns the peer in a request.
func ReadPeer(l ipc.List) (Peer, error) {
	p := Peer{Service: l.Value("service"), RemoteIP: l.Value("rip"), LocalIP: l.Value("lip"),
		SessionID: l.Value("session"), CertName: l.Value("cert_name"), Realm: l.Value("realm"), TLS: l.Value("tls") == "1"}
	for _, f := range []limitField{{"rport", &p.RemotePort}, {"lport", &p.LocalPort}} {
		if _, ok := l.Get(f.name); !ok {
			continue
		}
		n, err := l.GetInt(f.name)
		if err != nil || n < 0 || n > 65535 {
			return Peer{}, fmt.Errorf("%w: %s", ipc.ErrMalformed, f.name)
		}
		*f.value = int(n)
	}
	for _, f := range []struct {
		name  string
		value *[]byte
	}{{"tls_exporter", &p.TLSExporter}, {"tls_endpoint", &p.TLSEndpoint}} {
		v, ok := l.Get(f.name)
		if !ok {
			continue
		}
		b, err := base64.StdEncoding.DecodeString(v)
		if err != nil || len(b) > 128 {
			return Peer{}, fmt.Errorf("%w: %s", ipc.ErrMalformed, f.name)
		}
		*f.value = b
	}
	return p, nil
}
