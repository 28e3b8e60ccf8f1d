//go:build cgo

// Authd-pam asks PAM one question.
//
// # Synopsis
//
//	authd-pam < question
//
// # Description
//
// Pamd(8) starts this helper for each password that PAM is to check. It reads the
// service, the login, the client's address and the password from its standard
// input, each with a NUL behind it, authenticates the login, asks whether the
// account may log in, and ends with an exit status that says so: 40 for yes, 41
// for a wrong password, 42 for an account that has expired or may not log in, 43
// when PAM cannot say.
//
// It is the only program that is linked with C, since the modules of PAM are C
// libraries. `make pam` builds it, where a C compiler and PAM's header files are
// (Debian: gcc, libpam0g-dev).
//
// # Security
//
// One process for one question: what a module leaks or leaves behind ends with it.
// It gets no file, no environment and no argument, writes no core file, and can get
// no further rights by starting a program. What a module started is ended with it,
// also where that has left its session. Pamd ends it when it takes too long.
//
// # See also
//
// pamd(8), authd(8), pam(7)
package main

/*
#cgo LDFLAGS: -lpam
#include <security/pam_appl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

// answer gives the password to each question for a secret, and nothing else.
static int answer(int n, const struct pam_message **msg, struct pam_response **resp, void *data) {
	if (n <= 0 || n > PAM_MAX_NUM_MSG)
		return PAM_CONV_ERR;
	struct pam_response *r = calloc(n, sizeof *r);
	if (r == NULL)
		return PAM_BUF_ERR;
	for (int i = 0; i < n; i++) {
		if (msg[i]->msg_style == PAM_TEXT_INFO || msg[i]->msg_style == PAM_ERROR_MSG)
			continue;
		if (msg[i]->msg_style != PAM_PROMPT_ECHO_OFF || (r[i].resp = strdup(data)) == NULL) {
			while (i-- > 0)
				free(r[i].resp);
			free(r);
			return PAM_CONV_ERR;
		}
	}
	*resp = r;
	return PAM_SUCCESS;
}

// nodelay is for pam_fail_delay(3): authd has delays of its own.
static void nodelay(int status, unsigned delay, void *data) { (void)status; (void)delay; (void)data; }

enum { ok = 40, failed = 41, expired = 42, temporary = 43 };

static int result(int status, int refused) {
	switch (status) {
	case PAM_SUCCESS:
		return ok;
	case PAM_AUTH_ERR: case PAM_USER_UNKNOWN: case PAM_MAXTRIES: case PAM_PERM_DENIED: case PAM_CRED_INSUFFICIENT:
	case PAM_ACCT_EXPIRED: case PAM_NEW_AUTHTOK_REQD: case PAM_AUTHTOK_EXPIRED: case PAM_CRED_EXPIRED:
		return refused;
	}
	return temporary;
}

static int check(const char *service, const char *login, const char *rhost, char *password) {
	struct rlimit none = {0, 0};
	struct pam_conv conv = {answer, password};
	pam_handle_t *h = NULL;
	const void *user = NULL;

	if (setrlimit(RLIMIT_CORE, &none) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0)
		return temporary;
	int status = pam_start(service, login, &conv, &h);
	if (status != PAM_SUCCESS)
		return temporary;
	pam_set_item(h, PAM_FAIL_DELAY, (void *)nodelay);
	if (*rhost != '\0')
		pam_set_item(h, PAM_RHOST, rhost);
	pam_set_item(h, PAM_TTY, "mail");
	status = pam_authenticate(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
	int r = result(status, failed);
	if (r == ok) {
		status = pam_acct_mgmt(h, PAM_SILENT | PAM_DISALLOW_NULL_AUTHTOK);
		r = result(status, expired);
	}
	// A module may have made somebody else of the login.
	if (r == ok && (pam_get_item(h, PAM_USER, &user) != PAM_SUCCESS || user == NULL || strcmp(user, login) != 0))
		r = failed;
	pam_end(h, status);
	return r;
}
*/
import "C"

import (
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/pam"
)

func main() { os.Exit(int(run(os.Stdin))) }

// run answers the question in r.
func run(r io.Reader) pam.Result {
	// What the thread gives up shall hold for what the modules start.
	runtime.LockOSThread()
	b, err := io.ReadAll(io.LimitReader(r, pam.MaxEncoded+1))
	if err != nil {
		return pam.Temporary
	}
	c, err := pam.Decode(b)
	if err != nil {
		return pam.Temporary
	}
	// What loses its parent becomes a child of this process.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return pam.Temporary
	}
	late := make(chan os.Signal, 1)
	signal.Notify(late, syscall.SIGTERM)
	go func() {
		<-late
		endChildren()
		os.Exit(int(pam.Temporary))
	}()
	defer endChildren()
	// The process ends before anybody would free them.
	return pam.Result(C.check(C.CString(c.Service), C.CString(c.Login), C.CString(c.RemoteIP), C.CString(c.Password)))
}

// Children get so many signals, with a pause after each, since those of one that
// ended come to this process.
const (
	endings  = 100
	endPause = 5 * time.Millisecond
)

// endChildren ends what modules have started and not ended.
func endChildren() {
	for range endings {
		reached := false
		for _, pid := range children() {
			reached = syscall.Kill(pid, syscall.SIGKILL) == nil || reached
		}
		if !reached {
			return // there are none, or they have rights that this process has not
		}
		time.Sleep(endPause)
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 && err != syscall.EINTR {
				break
			}
		}
	}
}

// children are the processes whose parent is this one.
func children() (pids []int) {
	lists, err := filepath.Glob("/proc/self/task/*/children")
	if err != nil {
		return nil
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for word := range strings.FieldsSeq(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return pids
}
