package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// lastGoodDir is where the last pairs that fitted are kept, in the queue
// directory. It belongs to root, like everything above it, and no other
// process can look into it.
const lastGoodDir = "tls"

// lastGood keeps the last fitting form of each pair. A process that starts, as
// after a boot, while the files are half renewed, serves with that: there is no
// process any more that has the old pair.
type lastGood struct {
	fs  *safefile.FS
	dir string
}

// openLastGood makes the directory and drops what belongs to no pair: a key
// that is no longer in use shall not lie about.
func openLastGood(dir string, pairs []pair) (*lastGood, error) {
	g := &lastGood{fs: new(safefile.FS), dir: dir}
	if err := g.fs.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() || info.Mode().Perm() != 0o700 {
		return nil, fmt.Errorf("%s: %w: not a directory with mode 0700", dir, safefile.ErrUnsafe)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]bool)
	for _, p := range pairs {
		wanted[filepath.Base(g.path(p))] = true
	}
	for _, e := range entries {
		if !wanted[e.Name()] {
			err = errors.Join(err, g.fs.Remove(filepath.Join(dir, e.Name())))
		}
	}
	return g, err
}

func (g *lastGood) path(p pair) string {
	sum := sha256.Sum256([]byte(p.cert + "\x00" + p.key))
	return filepath.Join(g.dir, hex.EncodeToString(sum[:8])+".pem")
}

// keep remembers a pair that fits, unless it is there already.
func (g *lastGood) keep(p pair, cert tls.Certificate, keyPEM []byte) error {
	text := []byte(chainPEM(cert))
	for block, rest := pem.Decode(keyPEM); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" { // the file may have both
			text = append(text, pem.EncodeToMemory(block)...)
		}
	}
	if old, _, err := g.read(p); err == nil && bytes.Equal(old, text) {
		return nil
	}
	return g.fs.WriteAtomic(g.path(p), 0o600, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// load returns the last fitting form of a pair, and since when it was that.
func (g *lastGood) load(p pair) (cert tls.Certificate, since time.Time, err error) {
	text, since, err := g.read(p)
	if err != nil {
		return cert, since, err
	}
	if cert, err = tls.X509KeyPair(text, text); err != nil {
		return cert, since, err
	}
	if cert.Leaf != nil && time.Now().After(cert.Leaf.NotAfter) {
		return cert, since, errors.New("it has expired")
	}
	return cert, since, nil
}

func (g *lastGood) read(p pair) ([]byte, time.Time, error) {
	f, st, err := g.fs.Open(g.path(p), os.O_RDONLY, safefile.Check{Owner: os.Geteuid(), Forbidden: 0o077})
	if err != nil {
		return nil, time.Time{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, 2*maxPEM))
	return text, time.Unix(st.Mtim.Unix()), err
}

// chainPEM is the certificates of a pair, leaf first.
func chainPEM(cert tls.Certificate) string {
	var chain bytes.Buffer
	for _, der := range cert.Certificate {
		pem.Encode(&chain, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	return chain.String()
}
