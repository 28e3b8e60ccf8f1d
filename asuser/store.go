package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/posthouse-mail/posthouse/pkg/ipc"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// store delivers into a user's store. Attributes: those of [worker.Store].
func (w *worker) store(req ipc.List, file *os.File) ipc.List {
	fill, err := w.storeContent(req, file)
	if err != nil {
		return refusal(err)
	}
	o := mailstore.Options{Shared: w.shared, Root: filepath.Clean(req.Value("path")), Host: req.Value("host"), User: req.Value("user")}
	err = o.SetQuota(mailstore.QuotaOptions{Quota: req.Value("quota"), Rules: strings.Fields(req.Value("quota_rules")),
		Levels: strings.Fields(req.Value("quota_warning_levels")), Hostname: o.Host})
	if err != nil {
		return failure("4.3.5", err)
	}
	said := ipc.List{} // about the room in the mailbox, if there is anything to say
	o.Full = func(full bool) { said = ipc.List{}.Bool("full", full) }
	s, err := mailstore.Open(o)
	if err != nil {
		return failure(mailboxCode(err), fmt.Errorf("mail delivery failed: %w", err))
	}
	defer s.Close()
	create, err := req.GetBool("create")
	if err != nil {
		return failure("4.3.0", err)
	}
	subscribe, err := req.GetBool("subscribe")
	if err != nil {
		return failure("4.3.0", err)
	}
	done, err := s.Deliver(context.Background(), mailstore.Delivery{Fill: fill, Folder: req.Value("folder"), Create: create, Subscribe: subscribe})
	if err != nil {
		return append(failure(mailboxCode(err), fmt.Errorf("mail delivery failed: %w", err)), said...)
	}
	return append(success(), said...).Str("name", done.Path).Str("folder", done.Folder)
}

// storeContent returns a function that writes the message of a job, which is a
// queue file or a bare message.
func (w *worker) storeContent(req ipc.List, file *os.File) (func(io.Writer) error, error) {
	plain, err := req.GetBool("plain")
	if err != nil {
		return nil, err
	}
	if !plain {
		return w.message(req, file)
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
