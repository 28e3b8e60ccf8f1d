package maillog

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Line returns an entry as it stands in a log file, without newline.
func Line(e Entry, host string) string {
	return e.Time.Format(time.Stamp) + " " + host + " " + e.Tag + "[" + strconv.Itoa(e.PID) + "]: " + e.Text
}

// syslogLine returns an entry as the local syslog socket wants it: RFC 3164
// without the host, which the receiver adds.
func syslogLine(e Entry, facility int) string {
	return fmt.Sprintf("<%d>%s %s[%d]: %s", facility<<3|int(e.Severity),
		e.Time.Format(time.Stamp), e.Tag, e.PID, e.Text)
}

// facilityCode returns the number of a syslog facility; mail if unknown.
func facilityCode(name string) int {
	names := map[string]int{
		"kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5,
		"lpr": 6, "news": 7, "uucp": 8, "cron": 9, "authpriv": 10, "ftp": 11,
		"local0": 16, "local1": 17, "local2": 18, "local3": 19,
		"local4": 20, "local5": 21, "local6": 22, "local7": 23,
	}
	if n, ok := names[strings.ToLower(name)]; ok {
		return n
	}
	return names["mail"]
}

// appendFile adds a line to a log file with one write, so that lines of
// several processes do not mix.
func appendFile(path, line string) error {
	if path == "/dev/stdout" {
		_, err := os.Stdout.WriteString(line)
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	defer f.Close()
	_, err = f.WriteString(line)
	return err
}
