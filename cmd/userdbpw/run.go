package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/password"
	"github.com/posthouse-mail/posthouse/pkg/usertool"
)

var errUsage = errors.New("usage: userdbpw [-md5 | -hmac-md5 | -hmac-sha1 | -hmac-sha256 | -scheme NAME] [-c config_dir]")

func run(args []string, in *os.File, out, prompts io.Writer) error {
	scheme, hmac, dir := "", "", ""
	for len(args) > 0 {
		option := args[0]
		args = args[1:]
		switch option {
		case "-md5":
			scheme = "MD5-CRYPT"
		case "-hmac-md5", "-hmac-sha1", "-hmac-sha256":
			hmac = option[1:]
		case "-scheme", "-c":
			if len(args) == 0 {
				return errUsage
			}
			if option == "-c" {
				dir = args[0]
			} else {
				scheme = args[0]
			}
			args = args[1:]
		default:
			return errUsage
		}
	}
	if scheme == "help" {
		_, err := fmt.Fprintln(out, strings.Join(password.Schemes(), "\n"))
		return err
	}
	if scheme == "" && hmac == "" {
		var err error
		if scheme, err = siteScheme(dir); err != nil {
			return err
		}
	}
	plaintext, err := usertool.NewPassword(in, prompts)
	if err != nil {
		return err
	}
	if err := password.CheckPlaintext(plaintext); err != nil {
		return err
	}
	stored, err := store(scheme, hmac, plaintext)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(out, stored)
	return err
}

func store(scheme, hmac, plaintext string) (string, error) {
	if hmac == "" {
		return password.Hash(scheme, plaintext)
	}
	state, err := password.NewHMACState(hmac, plaintext)
	if err != nil {
		return "", err
	}
	return state.String(), nil
}

// siteScheme is password_scheme, and the default where there is no main.cf:
// the command is also of use without an installation.
func siteScheme(dir string) (string, error) {
	site, err := usertool.Open(dir)
	if errors.Is(err, fs.ErrNotExist) && dir == "" {
		return password.Default, nil
	}
	if err != nil {
		return "", err
	}
	return site.Scheme, nil
}
