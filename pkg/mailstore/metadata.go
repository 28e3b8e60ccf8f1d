package mailstore

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
)

// Files with annotations (RFC 5464): in a folder its own, in the root those of
// the server as the user sees it. A line has the owner of a private entry or
// nothing, the name, and the value in base64.
const (
	fileMetadata       = "posthouse-metadata"
	fileServerMetadata = "posthouse-metadata-server"
)

// Limits of annotations.
const (
	MaxMetadata     = 64 << 10 // of a value
	maxMetadataName = 255
	maxMetadataList = 1000
)

// What SetMetadata may say.
var (
	ErrMetadataSize  = errors.New("annotation is too large")
	ErrMetadataCount = errors.New("too many annotations")
	ErrMetadataName  = errors.New("invalid annotation name")
)

// Annotation is an entry of a folder or of the server.
type Annotation struct {
	Name  string // begins with /private/ or /shared/
	Value []byte // nil, when set, removes it
}

// metadataFile finds the file for a folder, or for the server if name is "".
func (s *Store) metadataFile(name string, need Rights) (dir, file string, err error) {
	if name == "" {
		return s.o.Root, fileServerMetadata, nil
	}
	p, err := s.place(name)
	if err != nil {
		return "", "", err
	}
	if !p.exists() {
		return "", "", p.missing()
	}
	// RFC 5464 3: who has lookup and one of r s w i p may see them.
	if !p.rights.Has(RightLookup) || p.rights&(RightRead|RightSeen|RightWrite|RightInsert|RightPost) == 0 {
		return "", "", p.denied()
	}
	if !p.rights.Has(need) {
		return "", "", p.denied()
	}
	return p.dir, fileMetadata, nil
}

// Metadata returns the annotations of a folder, or of the server if name is
// "": those that are shared, and the user's private ones.
func (s *Store) Metadata(name string) ([]Annotation, error) {
	dir, file, err := s.metadataFile(name, 0)
	if err != nil {
		return nil, err
	}
	lines, err := s.readLines(dir, file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, temporary(err)
	}
	var out []Annotation
	for _, line := range lines {
		f := strings.SplitN(line, "\t", 3)
		if len(f) != 3 || f[0] != s.privateOwner(f[1]) {
			continue
		}
		value, err := base64.StdEncoding.DecodeString(f[2])
		if err == nil {
			out = append(out, Annotation{f[1], value})
		}
	}
	return out, nil
}

// MetadataStamp is something that is another one when the annotations of a
// folder, or of the server if name is "", have changed.
func (s *Store) MetadataStamp(name string) (string, error) {
	dir, file, err := s.metadataFile(name, 0)
	if err != nil {
		return "", err
	}
	info, err := os.Lstat(filepath.Join(dir, file))
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", temporary(err)
	}
	ino, _ := inodeOf(info) // each change makes a new file
	return fmt.Sprint(ino, info.Size(), info.ModTime().UnixNano()), nil
}

// privateOwner is in the lines of private annotations.
func (s *Store) privateOwner(entry string) string {
	if strings.HasPrefix(entry, "/private/") {
		return s.o.User
	}
	return ""
}

// CheckAnnotation returns the name in lower case, or ErrMetadataName.
func CheckAnnotation(name string) (string, error) {
	name = strings.ToLower(name) // RFC 5464 3.1
	private, shared := strings.HasPrefix(name, "/private/"), strings.HasPrefix(name, "/shared/")
	if len(name) > maxMetadataName || !private && !shared || strings.HasSuffix(name, "/") || strings.Contains(name, "//") {
		return "", ErrMetadataName
	}
	for i := range len(name) {
		if c := name[i]; c <= ' ' || c >= 0x7f || c == '*' || c == '%' {
			return "", ErrMetadataName
		}
	}
	return name, nil
}

// SetMetadata sets and removes annotations, all or none.
func (s *Store) SetMetadata(name string, list []Annotation) error {
	need := Rights(0)
	for i := range list {
		entry, err := CheckAnnotation(list[i].Name)
		if err != nil {
			return err
		}
		if len(list[i].Value) > MaxMetadata {
			return ErrMetadataSize
		}
		if strings.HasPrefix(entry, "/shared/") {
			need = RightWrite
		}
		list[i].Name = entry
	}
	dir, file, err := s.metadataFile(name, need)
	if err != nil {
		return err
	}
	root := dir
	if file == fileMetadata && isSubfolder(dir) {
		root = filepath.Dir(dir)
	}
	return s.rootLocked(root, func() error {
		lines, err := s.readLines(dir, file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for _, a := range list {
			key := s.privateOwner(a.Name) + "\t" + a.Name + "\t"
			lines = slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, key) })
			if a.Value != nil {
				lines = append(lines, key+base64.StdEncoding.EncodeToString(a.Value))
			}
		}
		if len(lines) > maxMetadataList || totalLen(lines) > maxTextFile {
			return ErrMetadataCount
		}
		sort.Strings(lines)
		return s.writeLines(dir, file, lines)
	})
}

func isSubfolder(dir string) bool { return strings.HasPrefix(filepath.Base(dir), ".") }

func totalLen(lines []string) (n int) {
	for _, l := range lines {
		n += len(l) + 1
	}
	return n
}
