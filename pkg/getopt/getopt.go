// Package getopt reads command lines in the manner of getopt(3), for programs
// whose options are letters since before there were long names: letters joined in
// one word, values joined or apart, options before everything else.
package getopt

import "strings"

// Error is an option that is unknown or misses its value. Its text is what getopt
// prints behind the program's name, where the program goes on with its synopsis.
type Error struct{ text string }

// Error implements error.
func (e *Error) Error() string { return e.text }

// Each hands the options to take, in their order, and returns what follows them.
// In spec, the letters followed by a colon take a value; others get "".
func Each(args []string, spec string, take func(c byte, value string) error) ([]string, error) {
	for len(args) > 0 && len(args[0]) > 1 && args[0][0] == '-' {
		word := args[0]
		args = args[1:]
		if word == "--" {
			break
		}
		var err error
		if args, err = Word(word[1:], args, spec, take); err != nil {
			return nil, err
		}
	}
	return args, nil
}

// Word takes the options in one word, which comes without its dash. The next
// word goes too if it is the value of the last one.
func Word(word string, rest []string, spec string, take func(c byte, value string) error) ([]string, error) {
	for i := 0; i < len(word); i++ {
		c, value := word[i], ""
		switch known, valued := find(spec, c); {
		case !known:
			return nil, &Error{"invalid option -- '" + string(rune(c)) + "'"}
		case !valued:
		case i+1 < len(word):
			value, i = word[i+1:], len(word)
		case len(rest) == 0:
			return nil, &Error{"option requires an argument -- '" + string(rune(c)) + "'"}
		default:
			value, rest = rest[0], rest[1:]
		}
		if err := take(c, value); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

func find(spec string, c byte) (known, valued bool) {
	i := strings.IndexByte(spec, c)
	if i < 0 || c == ':' {
		return false, false
	}
	return true, i+1 < len(spec) && spec[i+1] == ':'
}
