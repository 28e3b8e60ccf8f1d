package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/posthouse-mail/posthouse/pkg/config"
	"github.com/posthouse-mail/posthouse/pkg/imapserver"
	"github.com/posthouse-mail/posthouse/pkg/mailstore"
)

// indexSettings are those of full-text indexes.
type indexSettings struct {
	On      bool  `param:"fts_index"`
	MaxText int64 `param:"fts_message_max_size"`
}

// indexSettings reads them. A Maildir can be looked after without an instance,
// and then has no index.
func (a *app) indexSettings() (s indexSettings, err error) {
	cfg, err := config.Load(a.configDir)
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err == nil {
		err = cfg.Fill(&s)
	}
	return s, err
}

// names returns the folder that was named, or all.
func (f *mailboxFlags) names(s *mailstore.Store) ([]string, error) {
	if f.folder != "" {
		return []string{f.folder}, nil
	}
	return s.Folders()
}

// mailboxRebuild makes all again that can be made again. A full-text index is
// among it where there is to be one.
func (a *app) mailboxRebuild(f *mailboxFlags, s *mailstore.Store) error {
	names, err := f.names(s)
	if err != nil {
		return err
	}
	set, err := a.indexSettings()
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := s.Rebuild(name); err != nil {
			return fmt.Errorf("folder %s: %w", name, err)
		}
		fmt.Fprintf(a.out, "%s: rebuilt\n", name)
		if set.On {
			if err := a.indexFolder(s, name, set); err != nil {
				return err
			}
		}
	}
	return nil
}

// mailboxIndex brings the full-text indexes up to date.
func (a *app) mailboxIndex(f *mailboxFlags, s *mailstore.Store) error {
	names, err := f.names(s)
	if err != nil {
		return err
	}
	set, err := a.indexSettings()
	if err != nil {
		return err
	}
	if !set.On {
		return errors.New("fts_index is not set: nobody would use an index")
	}
	for _, name := range names {
		if err := a.indexFolder(s, name, set); err != nil {
			return err
		}
	}
	return nil
}

func (a *app) indexFolder(s *mailstore.Store, name string, set indexSettings) error {
	n, err := imapserver.Index(context.Background(), s, name, imapserver.IndexOptions{MaxText: set.MaxText})
	if err != nil {
		return fmt.Errorf("folder %s: full-text index: %w", name, err)
	}
	fmt.Fprintf(a.out, "%s: %d messages added to the full-text index\n", name, n)
	return nil
}
