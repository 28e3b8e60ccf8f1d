package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// operation is what an option does to one message.
type operation struct {
	defaults []string // the queues, if none are named
	do       func(queueName string, id queue.ID, mode os.FileMode) (bool, error)
	count    *int
}

// operations lists the operations by their letters.
func (s *super) operations() map[byte]operation {
	every := []string{queue.Maildrop, queue.Incoming, queue.Active, queue.Deferred, queue.Hold}
	toHold := []string{queue.Incoming, queue.Active, queue.Deferred}
	return map[byte]operation{
		'd': {defaults: every, do: s.removeOne, count: &s.deleted},
		'r': {defaults: every[1:], do: s.requeueOne, count: &s.requeued},
		'h': {defaults: toHold, do: s.holdOne, count: &s.held},
		'H': {defaults: []string{queue.Hold}, do: s.releaseOne, count: &s.released},
		'e': {defaults: every[1:], do: s.expireOne, count: &s.expired},
		'f': {defaults: every[1:], do: s.expireReleaseOne, count: &s.expired},
	}
}

// maxID is where a line of standard input ends that is no id anyway.
const maxID = 4096

// byID does an operation for an id of the command line, or for those that
// standard input has.
func (s *super) byID(op operation, id string) error {
	if id != "-" {
		return s.one(op, id)
	}
	if s.lines == nil {
		s.lines = bufio.NewReaderSize(s.stdin, maxID)
	}
	for {
		line, more, err := s.lines.ReadLine()
		name := string(line)
		for more && err == nil {
			_, more, err = s.lines.ReadLine()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		if err := s.one(op, strings.TrimRight(name, "\r")); err != nil {
			return err
		}
	}
}

// one does an operation for one message, wherever it is. A message may move
// while it is looked for, so there are two rounds.
func (s *super) one(op operation, name string) error {
	if !queue.ValidID(name) {
		s.t.Warn("invalid mail queue id: %s", name)
		return nil
	}
	queues := s.queues
	if len(queues) == 0 {
		queues = op.defaults
	}
	id := queue.ID(name)
	for range 2 {
		for _, queueName := range queues {
			if !slices.Contains(op.defaults, queueName) {
				continue
			}
			fi, err := s.q.Stat(queueName, id)
			if err != nil || !readyFile(fi) {
				continue
			}
			done, err := op.do(queueName, id, fi.Mode().Perm())
			if errors.Is(err, os.ErrNotExist) {
				continue // lost a race
			}
			if err != nil {
				return err
			}
			if done {
				*op.count++
			}
			return nil
		}
	}
	return nil
}

func readyFile(fi os.FileInfo) bool {
	return fi.Mode().IsRegular() && fi.Mode().Perm()&0o700 == queue.ModeReady
}

// removeOne deletes the logs before the message, and only if there is a
// message, to keep small the risk of hitting a new message with the same id.
func (s *super) removeOne(queueName string, id queue.ID, _ os.FileMode) (bool, error) {
	for _, log := range []string{queue.Bounce, queue.Defer, queue.Trace} {
		if err := s.q.Remove(log, id); err != nil && !errors.Is(err, os.ErrNotExist) {
			return false, err
		}
	}
	if err := s.q.Remove(queueName, id); err != nil {
		return false, err
	}
	s.t.Info(string(id), "removed")
	return true, nil
}

// requeueOne moves a message to the maildrop. Its logs stay: qmgr may be about
// to send a notice from them.
func (s *super) requeueOne(queueName string, id queue.ID, _ os.FileMode) (bool, error) {
	if err := s.q.Move(id, queueName, queue.Maildrop); err != nil {
		return false, err
	}
	if err := s.q.SetTime(queue.Maildrop, id, time.Now()); err != nil {
		s.t.Warn("%s: reset time stamps: %v", s.q.Path(queue.Maildrop, id), err)
	}
	s.t.Info(string(id), "requeued")
	return true, nil
}

// holdOne never takes a message out of the maildrop: what is there was not
// checked yet.
func (s *super) holdOne(queueName string, id queue.ID, _ os.FileMode) (bool, error) {
	if err := s.q.Move(id, queueName, queue.Hold); err != nil {
		return false, err
	}
	s.t.Info(string(id), "placed on hold")
	return true, nil
}

func (s *super) releaseOne(queueName string, id queue.ID, _ os.FileMode) (bool, error) {
	if err := s.q.Move(id, queueName, queue.Deferred); err != nil {
		return false, err
	}
	s.t.Info(string(id), "released from hold")
	return true, nil
}

func (s *super) expireOne(queueName string, id queue.ID, mode os.FileMode) (bool, error) {
	if mode&queue.ModeExpire != 0 {
		return false, nil
	}
	if err := s.q.Chmod(queueName, id, mode|queue.ModeExpire); err != nil {
		return false, err
	}
	s.t.Info(string(id), "expired")
	return true, nil
}

func (s *super) expireReleaseOne(queueName string, id queue.ID, mode os.FileMode) (bool, error) {
	done, err := s.expireOne(queueName, id, mode)
	if err != nil || queueName != queue.Hold {
		return done, err
	}
	ok, err := s.releaseOne(queueName, id, mode)
	if ok {
		s.released++
	}
	return done, err
}
