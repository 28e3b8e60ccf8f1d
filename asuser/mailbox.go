package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/address"
	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
	"github.com/posthouse-mail/posthouse/pkg/mbox"
	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// maildir delivers to a Maildir. Attributes: path, prefix.
func (w *worker) maildir(req ipc.List, file *os.File) ipc.List {
	fill, err := w.message(req, file)
	if err != nil {
		return refusal(err)
	}
	host := req.Value("host")
	if host == "" {
		host = w.host
	}
	name, err := mailstore.DeliverTo(w.fs, req.Value("path"), host, fill)
	if err != nil {
		return failure(mailboxCode(err), fmt.Errorf("maildir delivery failed: %w", err))
	}
	return success().Str("name", name)
}

// mbox appends to a mailbox file. Attributes: path, prefix, sender, fcntl,
// flock, dotlock, attempts, delay and stale in milliseconds, limit, strict.
func (w *worker) mbox(req ipc.List, file *os.File) ipc.List {
	fill, err := w.message(req, file)
	if err != nil {
		return refusal(err)
	}
	o, err := mboxOptions(req)
	if err != nil {
		return failure("4.3.0", err)
	}
	o.Identity = w.identity
	path := req.Value("path")
	if path == "/dev/null" {
		return success()
	}
	err = mbox.Append(context.Background(), w.fs, path, req.Value("sender"), o, fill)
	if err != nil {
		return failure(mailboxCode(err), fmt.Errorf("cannot update mailbox %s: %w", path, err))
	}
	return success()
}

func mboxOptions(req ipc.List) (o mbox.Options, err error) {
	num := func(name string) int64 {
		n, e := req.GetInt(name)
		if err == nil {
			err = e
		}
		return n
	}
	o = mbox.Options{
		Fcntl: num("fcntl") != 0, Flock: num("flock") != 0, Dotlock: num("dotlock") != 0, DotlockMayFail: true,
		Attempts: int(num("attempts")), Delay: time.Duration(num("delay")) * time.Millisecond,
		Stale: time.Duration(num("stale")) * time.Millisecond, SizeLimit: num("limit"),
		StrictOwner: safefile.AnyOwner,
	}
	if num("strict") != 0 {
		o.StrictOwner = os.Geteuid()
	}
	return o, err
}

// errLoop reports a message that was delivered to the recipient before.
var errLoop = errors.New("mail forwarding loop")

// refusal is the reply of a job whose message cannot be delivered as it is.
func refusal(err error) ipc.List {
	if errors.Is(err, errLoop) {
		return failure("5.4.6", err)
	}
	return failure("4.3.0", err)
}

// message returns a function that writes the prefix and the queued message
// with LF line ends. Attributes: prefix; content, where it begins in the file, if the
// agent knows; loop, an address that must not be in a
// Delivered-To field of the message.
func (w *worker) message(req ipc.List, file *os.File) (func(io.Writer) error, error) {
	if file == nil {
		return nil, errors.New("no message came with the job")
	}
	start, err := contentOffset(req)
	if err != nil {
		return nil, err
	}
	body, err := w.buffers.Body(file, start)
	if err != nil {
		return nil, err
	}
	if addr := req.Value("loop"); addr != "" {
		found, err := deliveredTo(body.Content())
		if err != nil {
			return nil, err
		}
		for _, d := range found {
			if strings.EqualFold(d, addr) || strings.EqualFold(d, address.Quote(addr)) {
				return nil, fmt.Errorf("%w for %s", errLoop, addr)
			}
		}
	}
	return func(out io.Writer) error { return body.WriteTo(out, req.Value("prefix"), "\n") }, nil
}

// contentOffset is where the message begins in its file, as the agent says; 0 if it does not.
func contentOffset(req ipc.List) (int64, error) {
	if _, ok := req.Get("content"); !ok {
		return 0, nil
	}
	return req.GetInt("content")
}

// mailboxCode is the status of a mailbox that could not be written. Only what
// no later try can mend is permanent: a file over its size limit.
func mailboxCode(err error) string {
	switch {
	case errors.Is(err, mbox.ErrTooBig), errors.Is(err, syscall.EFBIG):
		return "5.2.2"
	case errors.Is(err, syscall.EDQUOT):
		return "4.2.2"
	case errors.Is(err, syscall.ENOSPC):
		return "4.3.1"
	case errors.Is(err, mailstore.ErrOverQuota):
		return "5.2.2"
	default:
		return "4.2.0"
	}
}
