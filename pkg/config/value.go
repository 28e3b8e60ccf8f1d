package config

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"
	"time"
)

// maxIndirect limits the file that myorigin may name.
const maxIndirect = 4096

// ErrTime is a time value that is not digits and a unit.
var errTime = errors.New("bad time value: want digits and one of s, m, h, d, w")

// ParseTime parses a time value: digits and an optional unit, one of s, m, h,
// d, w. The unit counts if there is none.
func ParseTime(s string, unit byte) (time.Duration, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, errTime
	}
	digits := s
	if last := s[len(s)-1]; last < '0' || last > '9' {
		digits, unit = s[:len(s)-1], last
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0, errTime
	}
	factor, ok := unitSeconds(unit)
	if !ok || n > math.MaxInt32/factor || n < -math.MaxInt32/factor {
		return 0, errTime
	}
	return time.Duration(n*factor) * time.Second, nil
}

// unitSeconds returns the length of a time unit.
func unitSeconds(unit byte) (int64, bool) {
	switch unit {
	case 's', 'S':
		return 1, true
	case 'm', 'M':
		return 60, true
	case 'h', 'H':
		return 3600, true
	case 'd', 'D':
		return 86400, true
	case 'w', 'W':
		return 7 * 86400, true
	}
	return 0, false
}

// parseBool parses the boolean form of main.cf.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "yes":
		return true, nil
	case "no":
		return false, nil
	}
	return false, errors.New("bad boolean value: want yes or no")
}

// parseInt parses a number.
func parseInt(s string) (int64, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
	if err != nil {
		return 0, errors.New("bad numerical value")
	}
	return n, nil
}

// checkRange compares a number with the limits of a parameter.
func checkRange(p *Param, n int64) error {
	if lo, err := strconv.ParseInt(p.Min, 10, 64); err == nil && n < lo {
		return fmt.Errorf("%d is less than the minimum of %d", n, lo)
	}
	if hi, err := strconv.ParseInt(p.Max, 10, 64); err == nil && hi > 0 && n > hi {
		return fmt.Errorf("%d is more than the maximum of %d", n, hi)
	}
	return nil
}

// checkLength compares the length of a string with the limits of a parameter.
func checkLength(p *Param, s string) error {
	if lo, err := strconv.Atoi(p.Min); err == nil && len(s) < lo {
		if lo == 1 {
			return errors.New("the value must not be empty")
		}
		return fmt.Errorf("%d characters are less than the minimum of %d", len(s), lo)
	}
	if hi, err := strconv.Atoi(p.Max); err == nil && hi > 0 && len(s) > hi {
		return fmt.Errorf("%d characters are more than the maximum of %d", len(s), hi)
	}
	return nil
}

// SplitList splits a list at commas and white space. An item that starts with
// { extends to the matching }, without these two: "{a b}, c" is "a b" and "c".
func SplitList(s string) []string {
	var list []string
	for {
		s = strings.TrimLeft(s, listSeparators)
		if s == "" {
			return list
		}
		var item string
		if s[0] == '{' {
			if n := matchBrace(s); n > 0 {
				item, s = strings.TrimSpace(s[1:n-1]), s[n:]
				list = append(list, item)
				continue
			}
		}
		n := listItemEnd(s)
		item, s = s[:n], s[n:]
		list = append(list, item)
	}
}

const listSeparators = ", \t\r\n"

// listItemEnd returns the length of the first item. Braces inside an item, as
// in inline:{a=b, c=d}, protect separators.
func listItemEnd(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '{':
			depth++
		case s[i] == '}':
			depth--
		case depth <= 0 && strings.IndexByte(listSeparators, s[i]) >= 0:
			return i
		}
	}
	return len(s)
}

// matchBrace returns the length of the text in braces that s starts with, the
// braces included, or 0 if it does not end.
func matchBrace(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// firstLine returns the first line of a small file.
func firstLine(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	r := bufio.NewReader(io.LimitReader(f, maxIndirect))
	line, err := r.ReadString('\n')
	if err != nil && err != io.EOF {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	line = strings.TrimSpace(line)
	if line == "" {
		return "", fmt.Errorf("read %s: the first line is empty", path)
	}
	return line, nil
}
