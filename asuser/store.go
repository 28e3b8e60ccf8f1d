package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/maildir"
)

// store delivers into a user's store. Attributes: those of [worker.Store].
func (w *worker) store(req ipc.List, file *os.File) ipc.List {
	fill, err := storeContent(req, file)
	if err != nil {
		return refusal(err)
	}
	d := maildir.Deliverer{FS: w.fs, Host: req.Value("host")}
	name, err := d.Deliver(req.Value("path"), fill)
	if err != nil {
		return failure(mailboxCode(err), fmt.Errorf("maildir delivery failed: %w", err))
	}
	return success().Str("name", name)
}

// storeContent returns a function that writes the message of a job, which is a
// queue file or a bare message.
func storeContent(req ipc.List, file *os.File) (func(io.Writer) error, error) {
	plain, err := req.GetBool("plain")
	if err != nil {
		return nil, err
	}
	if !plain {
		return message(req, file)
	}
	if file == nil {
		return nil, errors.New("no message came with the job")
	}
	return func(out io.Writer) error {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return err
		}
		if _, err := io.WriteString(out, req.Value("prefix")); err != nil {
			return err
		}
		_, err := io.Copy(out, file)
		return err
	}, nil
}
