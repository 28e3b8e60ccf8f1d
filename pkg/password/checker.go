package password

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"strings"
)

// Checker checks passwords for a server: a bounded number at the same time,
// and at the same cost whether there is such a user or not. It is safe for
// concurrent use.
type Checker struct {
	slots chan struct{}
	dummy string
	key   []byte
}

// NewChecker returns a checker that computes at most parallel hashes at a
// time; each may take a few dozen megabytes. scheme is the site's scheme for
// new passwords, which unknown users cost, too. key, when it is not empty, is
// a secret of the site by which made-up salts stay the same over restarts.
func NewChecker(parallel int, scheme string, key []byte) (*Checker, error) {
	dummy, err := Hash(scheme, Random())
	if err != nil {
		return nil, err
	}
	if len(key) == 0 {
		key = salt(32)
	}
	return &Checker{slots: make(chan struct{}, max(parallel, 1)), dummy: dummy, key: key}, nil
}

// Verify is the function Verify, after waiting for its turn. It gives up when
// ctx ends.
func (c *Checker) Verify(ctx context.Context, stored, plaintext string) (bool, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return false, err
	}
	defer leave()
	return Verify(stored, plaintext)
}

// Dummy takes as long as Verify does for a user with a password of the site's
// scheme. It is for users that do not exist.
func (c *Checker) Dummy(ctx context.Context, plaintext string) error {
	_, err := c.Verify(ctx, c.dummy, plaintext)
	return err
}

// SCRAM returns the keys of a user, after waiting for its turn: the stored ones, or ones that are made of
// a password that is stored as it is. Its salt is the one that FakeSCRAM would
// return, so that nothing about the user shows.
//
// A password costs a derivation, so that keys and made-up keys take that time,
// too: else the time of the first answer would tell which of them it is.
func (c *Checker) SCRAM(ctx context.Context, stored, login, mechanism string) (SCRAMKeys, error) {
	plaintext, plain := Plain(stored)
	if !plain {
		plaintext = "none"
	}
	k, err := c.derive(ctx, plaintext, login, mechanism)
	if err != nil || plain {
		return k, err
	}
	return SCRAM(stored, mechanism)
}

// derive makes keys of a password, after waiting for its turn.
func (c *Checker) derive(ctx context.Context, plaintext, login, mechanism string) (SCRAMKeys, error) {
	leave, err := c.enter(ctx)
	if err != nil {
		return SCRAMKeys{}, err
	}
	defer leave()
	return NewSCRAM(mechanism, plaintext, c.fakeSalt(login), scramIterations)
}

// enter waits for a turn to compute.
func (c *Checker) enter(ctx context.Context) (leave func(), err error) {
	select {
	case c.slots <- struct{}{}:
		return func() { <-c.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for other password checks: %w", ctx.Err())
	}
}

// FakeSCRAM returns keys for a user that does not exist: always the same for
// one login, and none that any password has. It takes as long as SCRAM.
func (c *Checker) FakeSCRAM(ctx context.Context, login, mechanism string) (SCRAMKeys, error) {
	k, err := c.derive(ctx, "none", login, mechanism)
	if err != nil {
		return SCRAMKeys{}, err
	}
	size := len(k.StoredKey)
	return SCRAMKeys{
		Iterations: scramIterations,
		Salt:       c.fakeSalt(login),
		StoredKey:  c.mac("stored", login)[:size],
		ServerKey:  c.mac("server", login)[:size],
	}, nil
}

func (c *Checker) fakeSalt(login string) []byte { return c.mac("salt", login)[:16] }

func (c *Checker) mac(use, login string) []byte {
	h := hmac.New(sha256.New, c.key)
	h.Write([]byte(use + "\x00" + strings.ToLower(login)))
	return h.Sum(nil)
}
