// Package config reads master.cf, the table of the services of the mail system.
//
// Each line is a service: an endpoint, and the program that master(8) starts for
// those who come to it. A line that begins with white space goes on with the one
// before; an empty one, and one that begins with '#', is a comment. The form is
// Postfix's. A line that makes no sense is an error with file and line, and
// nothing changes.
//
// # Columns
//
//	service   for inet: port, host:port or [host]:port, with numbers or names;
//	          else the name of the socket or FIFO below $queue_directory/private
//	          or public
//	type      inet        a TCP socket
//	          unix        a socket for connections
//	          fifo        a named pipe, for hints that there is something to do
//	          pass        a socket that takes connections from another service
//	          unix-dgram  a socket for single messages
//	private   y (the default): for the processes of the mail system only
//	unpriv    y (the default): without privileges, as mail_owner or the
//	          service's own user
//	chroot    y: with the queue directory as root directory; - is n, but y when
//	          compatibility_level is below 1
//	wakeup    seconds after which the service gets a hint all by itself; with a
//	          '?' behind, only when it was used; 0 or -, the default: never
//	maxproc   how many processes there may be at once; 0 is no limit, and - the
//	          value of default_process_limit. One process serves many clients, up
//	          to client_limit
//	command   the program, in daemon_directory, and its arguments
//
// # Arguments
//
//	-o name=value        sets a parameter for this service alone; no white space
//	-o { name = value }  the same, with white space in the value
//	-v                   log more; may be repeated
//	-D                   accepted, without effect
//	{ an argument }      an argument with white space in it
//
// What stands behind the first word that is no option belongs to the program: see
// pipe(8). PROGRAM --help lists the services that start a program.
//
// # See also
//
// master(8), postconf(1), postconf(5), posthouse(8)
package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

// Master is a parsed master.cf.
type Master struct {
	File     string
	Services []Service
	// All has every entry, those too that a later one with the same name and
	// type overrides.
	All      []Service
	Warnings []Warning
}

// Service is one entry of master.cf.
type Service struct {
	Name, Type string
	Private    bool
	Unpriv     bool
	Chroot     bool
	// ChrootDefault says that the column is "-", so that Chroot is no from
	// compatibility level 1 on and yes below.
	ChrootDefault bool
	Wakeup        time.Duration // 0 = never
	WakeupIfUsed  bool          // wake only after somebody used the service
	MaxProc       int           // 0 = no limit, MaxProcDefault = default_process_limit
	Program       string
	Args          []string // words after the program, without -o settings, braces removed
	Overrides     []Override
	File          string
	Line          int
	Fields        [8]string // the columns as written
	RawArgs       []string  // all words after the program, braces removed
}

// MaxProcDefault is the MaxProc of an entry that leaves it to
// default_process_limit.
const MaxProcDefault = -1

// LoadMaster parses the master.cf at path.
func LoadMaster(path string) (*Master, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, errors.Unwrap(err))
	}
	defer f.Close()
	return ParseMaster(f, path)
}

// ParseMaster parses master.cf. The name of the file is for messages. The
// first entry that makes no sense is an error with file and line. Of several
// entries with the same name and type the last is in force.
func ParseMaster(r io.Reader, name string) (*Master, error) {
	m := &Master{File: name}
	lines := newLogicalReader(r, name)
	seen := map[string]int{}
	for {
		line, err := lines.next()
		if err == io.EOF {
			m.Warnings = append(lines.warnings, m.Warnings...)
			return m, nil
		}
		if err != nil {
			return nil, err
		}
		s, err := parseService(line)
		if err != nil {
			pos := line.at(0)
			return nil, fmt.Errorf("%s:%d: %w", pos.File, pos.Line, err)
		}
		m.All = append(m.All, *s)
		key := s.Type + " " + s.Name
		if at, ok := seen[key]; ok {
			m.Warnings = append(m.Warnings, Warning{Pos: line.at(0),
				Text: fmt.Sprintf("duplicate master.cf entry for service %q (%s) -- using the last entry", s.Name, s.Type)})
			m.Services[at] = *s
			continue
		}
		seen[key] = len(m.Services)
		m.Services = append(m.Services, *s)
	}
}

// Find returns the entry of a service, or nil.
func (m *Master) Find(name, typ string) *Service {
	for i := range m.Services {
		if m.Services[i].Name == name && m.Services[i].Type == typ {
			return &m.Services[i]
		}
	}
	return nil
}

// parseService parses one logical line of master.cf.
func parseService(line *logicalLine) (*Service, error) {
	words, err := splitWords(line.text)
	if err != nil {
		return nil, err
	}
	if len(words) < 8 {
		return nil, fmt.Errorf("%d columns, want 8: %q", len(words), abridge(line.text))
	}
	s := &Service{File: line.file, Line: line.at(0).Line, RawArgs: words[8:]}
	copy(s.Fields[:], words)
	s.Name, s.Type, s.Program = words[0], words[1], words[7]
	if err := s.columns(); err != nil {
		return nil, err
	}
	return s, s.arguments()
}

// columns checks the eight columns and sets the fields from them.
func (s *Service) columns() error {
	if err := s.endpoint(); err != nil {
		return err
	}
	var err error
	if s.Private, err = flagColumn(s.Fields[2], "private", true); err != nil {
		return err
	}
	if s.Unpriv, err = flagColumn(s.Fields[3], "unprivileged", true); err != nil {
		return err
	}
	s.ChrootDefault = s.Fields[4] == "-"
	if s.Chroot, err = flagColumn(s.Fields[4], "chroot", false); err != nil {
		return err
	}
	if err := s.wakeup(); err != nil {
		return err
	}
	s.MaxProc = MaxProcDefault
	if s.Fields[6] != "-" {
		if s.MaxProc, err = strconv.Atoi(s.Fields[6]); err != nil || s.MaxProc < 0 {
			return fmt.Errorf("field \"max_proc\": bad value: %q", s.Fields[6])
		}
	}
	if s.Program == "" || strings.HasPrefix(s.Program, "-") || strings.Contains(s.Program, "=") {
		return fmt.Errorf("field \"command\": bad value: %q", s.Program)
	}
	return nil
}

// endpoint checks name and type.
func (s *Service) endpoint() error {
	switch s.Type {
	case "inet":
		if s.Fields[2] == "y" {
			return errors.New("inet service cannot be private")
		}
		return checkInetName(s.Name)
	case "unix", "fifo", "pass", "unix-dgram":
		if s.Name == "" || strings.HasPrefix(s.Name, "/") || hasDotDot(s.Name) {
			return fmt.Errorf("field \"service\": bad value: %q", s.Name)
		}
		return nil
	}
	return fmt.Errorf("field \"type\": bad value: %q", s.Type)
}

// hasDotDot tells whether a path would leave its directory.
func hasDotDot(path string) bool {
	for _, part := range strings.Split(path, "/") {
		if part == ".." {
			return true
		}
	}
	return false
}

// checkInetName checks the form of port, host:port and [host]:port.
func checkInetName(name string) error {
	port := name
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		port = name[i+1:]
	}
	if port == "" || strings.ContainsAny(port, "[]/ ") {
		return fmt.Errorf("field \"service\": bad value: %q", name)
	}
	if n, err := strconv.Atoi(port); err == nil && (n < 1 || n > 65535) {
		return fmt.Errorf("field \"service\": bad port: %q", name)
	}
	return nil
}

// wakeup parses the wakeup column.
func (s *Service) wakeup() error {
	text := s.Fields[5]
	if text == "-" {
		return nil
	}
	text, s.WakeupIfUsed = strings.CutSuffix(text, "?")
	d, err := ParseTime(text, 's')
	if err != nil || d < 0 {
		return fmt.Errorf("field \"wakeup_time\": bad value: %q", s.Fields[5])
	}
	s.Wakeup = d
	return nil
}

// flagColumn parses y, n and -.
func flagColumn(text, name string, def bool) (bool, error) {
	switch text {
	case "y":
		return true, nil
	case "n":
		return false, nil
	case "-":
		return def, nil
	}
	return false, fmt.Errorf("field %q: bad value: %q", name, text)
}

// arguments takes the -o settings out of the arguments.
func (s *Service) arguments() error {
	words := s.RawArgs
	for i := 0; i < len(words); i++ {
		flags, setting, ok := splitOption(words[i])
		if flags != "" {
			s.Args = append(s.Args, flags)
		}
		if !ok {
			// The program's own arguments follow: -o of the command that
			// pipe runs is not ours.
			if !strings.HasPrefix(words[i], "-") || words[i] == "--" {
				s.Args = append(s.Args, words[i:]...)
				return nil
			}
			s.Args = append(s.Args, words[i])
			continue
		}
		if setting == "" {
			if i++; i == len(words) {
				return errors.New("option -o needs name=value")
			}
			setting = words[i]
		}
		name, value, _, _, err := splitNameValue(setting)
		if err != nil {
			return fmt.Errorf("option -o: %w: %q", err, setting)
		}
		s.Overrides = append(s.Overrides, Override{Name: name, Value: value})
	}
	return nil
}

// splitOption cuts a word such as -oname=value; flags without value may stand
// before the o, as in -vo.
func splitOption(word string) (flags, setting string, ok bool) {
	rest, ok := strings.CutPrefix(word, "-")
	if !ok {
		return "", "", false
	}
	setting, ok = strings.CutPrefix(strings.TrimLeft(rest, "vD"), "o")
	if !ok {
		return "", "", false
	}
	if n := len(rest) - len(setting) - 1; n > 0 {
		flags = word[:1+n]
	}
	return flags, setting, true
}

// splitWords splits at white space; a word in braces may contain any.
func splitWords(text string) ([]string, error) {
	var words []string
	for i := skipSpace(text, 0); i < len(text); i = skipSpace(text, i) {
		if text[i] == '{' {
			n := matchBrace(text[i:])
			if n == 0 {
				return nil, fmt.Errorf("missing '}' in %q", abridge(text[i:]))
			}
			if end := i + n; end < len(text) && !isSpace(text[end]) {
				return nil, fmt.Errorf("syntax error after '}' in %q", abridge(text[i:]))
			}
			words = append(words, strings.Trim(text[i+1:i+n-1], spaces))
			i += n
			continue
		}
		end := wordEnd(text, i)
		words = append(words, text[i:end])
		i = end
	}
	return words, nil
}

// wordEnd returns where a word ends: at white space that is not within braces,
// so that name=${x?{a b}} is one word.
func wordEnd(text string, i int) int {
	for level := 0; i < len(text); i++ {
		switch {
		case text[i] == '{':
			level++
		case text[i] == '}' && level > 0:
			level--
		case level == 0 && isSpace(text[i]):
			return i
		}
	}
	return len(text)
}
