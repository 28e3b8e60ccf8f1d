package mailstore

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"slices"
	"sort"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// The cache keeps what was found in messages, in a form that the store does
// not know, by number. Two files belong together: one with the entries, one
// with where they are. Both are only added to, and dropped when anything is
// wrong with them.

// Field is one thing that is known of a message.
type Field struct {
	ID   uint16
	Data []byte
}

// Entry is what the cache has of one message.
type Entry struct{ b []byte }

// Get returns a field; ok is false if it is not there. The bytes must not be
// changed.
func (e Entry) Get(id uint16) (data []byte, ok bool) {
	for b := e.b; len(b) >= 6; {
		n := int(binary.LittleEndian.Uint32(b[2:]))
		if n > len(b)-6 {
			return nil, false
		}
		if binary.LittleEndian.Uint16(b) == id {
			return b[6 : 6+n : 6+n], true
		}
		b = b[6+n:]
	}
	return nil, false
}

const (
	fileCacheMap  = "posthouse.cachemap"
	cacheMagic    = "phcache\x01"
	cacheHead     = 32
	cacheRef      = 20
	maxCacheEntry = 64 << 10
	cacheWindow   = 256 << 10
	maxCacheMap   = 1 << 30
)

// cacheFile is the cache of one folder as a process has it open.
type cacheFile struct {
	data, refs *os.File
	mapIno     uint64
	id         uint64 // both files have it
	end        int64  // of data
	read       int64  // how far refs was read
	base       []cacheAt
	over       map[uint32]cacheAt // newer than base
	window     []byte
	windowOff  int64
	// pending are entries that are not in the file, in its form. The bytes
	// are never changed, so that entries stay good.
	pending   []byte
	pendingAt []cacheAt // off is that in pending
	pendingBy map[uint32]int
	room      int // for pending, by what it took last time
}

type cacheAt struct {
	uid  uint32
	size uint32
	off  int64
}

func cacheHeader(id uint64, validity, version uint32) []byte {
	b := append(make([]byte, 0, cacheHead), cacheMagic...)
	b = binary.LittleEndian.AppendUint64(b, id)
	b = binary.LittleEndian.AppendUint32(b, validity)
	b = binary.LittleEndian.AppendUint32(b, version)
	b = append(b, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint32(b, crc32.ChecksumIEEE(b))
}

// Cached returns what the cache has of a message of the view.
func (m *Mailbox) Cached(uid uint32) Entry {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	return m.f.openCache(m.st.validity, m.store.o.CacheVersion).get(uid)
}

func (c *cacheFile) get(uid uint32) Entry {
	if i, ok := c.pendingBy[uid]; ok {
		at := c.pendingAt[i]
		return Entry{c.pending[at.off+entryHead : at.off+int64(at.size)]}
	}
	at, ok := c.find(uid)
	if !ok {
		return Entry{}
	}
	return Entry{c.entry(at)}
}

// openCache returns the cache, which is empty if there is none.
func (f *folder) openCache(validity, version uint32) *cacheFile {
	if f.cache != nil {
		return f.cache
	}
	c := &cacheFile{over: make(map[uint32]cacheAt)}
	f.cache = c
	c.open(f, validity, version)
	return c
}

// open opens the files if they are good.
func (c *cacheFile) open(f *folder, validity, version uint32) {
	check := safefile.Check{Owner: safefile.AnyOwner}
	data, _, err := f.sh.fs.Open(f.path(fileCache), os.O_RDWR, check)
	if err != nil {
		return
	}
	refs, st, err := f.sh.fs.Open(f.path(fileCacheMap), os.O_RDWR, check)
	if err != nil {
		data.Close()
		return
	}
	head := make([]byte, cacheHead)
	head2 := make([]byte, cacheHead)
	_, err = data.ReadAt(head, 0)
	if _, err2 := refs.ReadAt(head2, 0); err == nil {
		err = err2
	}
	id := binary.LittleEndian.Uint64(head[8:])
	want := string(cacheHeader(id, validity, version))
	if err != nil || string(head) != want || string(head2) != want {
		data.Close()
		refs.Close()
		return
	}
	c.data, c.refs, c.id, c.mapIno, c.read = data, refs, id, st.Ino, cacheHead
	c.follow()
}

// follow reads references that were added.
func (c *cacheFile) follow() {
	info, err := c.refs.Stat()
	if err != nil || info.Size() <= c.read || info.Size() > maxCacheMap {
		return
	}
	b := make([]byte, (info.Size()-c.read)/cacheRef*cacheRef)
	n, _ := c.refs.ReadAt(b, c.read)
	b = b[:n/cacheRef*cacheRef]
	first := len(c.base) == 0 && len(c.over) == 0
	for i := 0; i < len(b); i += cacheRef {
		e := b[i : i+cacheRef]
		if crc32.ChecksumIEEE(e[:16]) != binary.LittleEndian.Uint32(e[16:]) {
			continue
		}
		at := cacheAt{uid: binary.LittleEndian.Uint32(e), size: binary.LittleEndian.Uint32(e[4:]), off: int64(binary.LittleEndian.Uint64(e[8:]))}
		if n := len(c.base); first || n > 0 && at.uid > c.base[n-1].uid {
			c.base = append(c.base, at)
		} else {
			c.over[at.uid] = at
		}
		c.end = max(c.end, at.off+int64(at.size))
	}
	c.read += int64(len(b))
	if first {
		// The last of several is the one that counts.
		slices.Reverse(c.base)
		slices.SortStableFunc(c.base, func(a, b cacheAt) int { return int(int64(a.uid) - int64(b.uid)) })
		c.base = slices.CompactFunc(c.base, func(a, b cacheAt) bool { return a.uid == b.uid })
	} else if len(c.over) > max(4096, len(c.base)/4) {
		c.fold()
	}
}

// fold merges over into base.
func (c *cacheFile) fold() {
	out := make([]cacheAt, 0, len(c.base)+len(c.over))
	for _, at := range c.base {
		if _, newer := c.over[at.uid]; !newer {
			out = append(out, at)
		}
	}
	for _, at := range c.over {
		out = append(out, at)
	}
	slices.SortFunc(out, func(a, b cacheAt) int { return int(int64(a.uid) - int64(b.uid)) })
	c.base, c.over = out, make(map[uint32]cacheAt)
}

func (c *cacheFile) find(uid uint32) (cacheAt, bool) {
	if at, ok := c.over[uid]; ok {
		return at, true
	}
	i := sort.Search(len(c.base), func(i int) bool { return c.base[i].uid >= uid })
	if i < len(c.base) && c.base[i].uid == uid {
		return c.base[i], true
	}
	return cacheAt{}, false
}

// An entry in the file: checksum, UID, fields.
const entryHead = 8

// entry reads an entry, with what is behind it, as the next is often wanted
// next. The window is never changed, so that entries stay good.
func (c *cacheFile) entry(at cacheAt) []byte {
	if at.size < entryHead || at.size > maxCacheEntry+entryHead || c.data == nil {
		return nil
	}
	from := at.off - c.windowOff
	if from < 0 || from+int64(at.size) > int64(len(c.window)) {
		w := make([]byte, cacheWindow)
		n, err := c.data.ReadAt(w, at.off)
		if err != nil && err != io.EOF {
			return nil
		}
		c.window, c.windowOff, from = w[:n], at.off, 0
	}
	if from+int64(at.size) > int64(len(c.window)) {
		return nil
	}
	b := c.window[from : from+int64(at.size)]
	if binary.LittleEndian.Uint32(b) != crc32.Checksum(b[4:], castagnoli) || binary.LittleEndian.Uint32(b[4:]) != at.uid {
		return nil
	}
	return b[entryHead:]
}

// maxPending is how many bytes of entries wait to be written.
const maxPending = 512 << 10

// PutCache keeps fields of a message, beside those that the cache has. They
// reach the disk in bunches, the last with Close or FlushCache.
func (m *Mailbox) PutCache(uid uint32, fields []Field) {
	m.f.mu.Lock()
	c := m.f.openCache(m.st.validity, m.store.o.CacheVersion)
	c.put(uid, fields, c.get(uid))
	full := len(c.pending) > maxPending
	m.f.mu.Unlock()
	if full {
		m.FlushCache()
	}
}

func (c *cacheFile) put(uid uint32, fields []Field, old Entry) {
	if c.pending == nil {
		c.pending = make([]byte, 0, max(c.room, 4<<10))
		c.pendingBy = make(map[uint32]int)
	}
	start := len(c.pending)
	b := append(c.pending, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uid)
	for _, f := range fields {
		b = appendField(b, f.ID, f.Data)
	}
	for rest := old.b; len(rest) >= 6; {
		id, n := binary.LittleEndian.Uint16(rest), int(binary.LittleEndian.Uint32(rest[2:]))
		if n > len(rest)-6 {
			break
		}
		if !slices.ContainsFunc(fields, func(f Field) bool { return f.ID == id }) {
			b = appendField(b, id, rest[6:6+n])
		}
		rest = rest[6+n:]
	}
	size := len(b) - start
	if size > maxCacheEntry+entryHead {
		return
	}
	binary.LittleEndian.PutUint32(b[start:], crc32.Checksum(b[start+4:], castagnoli))
	c.pending = b
	c.pendingBy[uid] = len(c.pendingAt)
	c.pendingAt = append(c.pendingAt, cacheAt{uid: uid, size: uint32(size), off: int64(start)})
}

func appendField(b []byte, id uint16, data []byte) []byte {
	b = binary.LittleEndian.AppendUint16(b, id)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// FlushCache writes what PutCache has gathered. A failure costs time only, so
// it is not told.
func (m *Mailbox) FlushCache() {
	m.f.mu.Lock()
	defer m.f.mu.Unlock()
	c := m.f.cache
	if c == nil || len(c.pending) == 0 {
		return
	}
	data, list := c.pending, c.pendingAt
	c.room = min(len(data)+len(data)/8, maxPending+maxPending/8)
	c.pending, c.pendingAt, c.pendingBy = nil, nil, nil
	if m.readOnly && m.rights&RightsAll != RightsAll {
		return // somebody else's folder
	}
	err := m.f.locked(func() error { return c.write(m.f, m.st.validity, m.store.o.CacheVersion, data, list) })
	if err != nil {
		if !isFull(err) {
			m.f.sh.log.Warn("cache is not written", "folder", m.f.dir, "reason", err)
		}
		m.f.closeCache()
	}
}

func (f *folder) closeCache() {
	if f.cache == nil {
		return
	}
	for _, file := range []*os.File{f.cache.data, f.cache.refs} {
		if file != nil {
			file.Close()
		}
	}
	f.cache = nil
}

// write adds entries, with the folder's lock held.
func (c *cacheFile) write(f *folder, validity, version uint32, data []byte, list []cacheAt) error {
	if c.data == nil || !sameInode(f.path(fileCacheMap), c.mapIno) {
		c.reset()
		c.open(f, validity, version)
	}
	if c.data == nil || c.wasteful(f) {
		if err := c.create(f, validity, version); err != nil {
			return err
		}
	}
	c.follow()
	info, err := c.data.Stat()
	if err != nil {
		return err
	}
	off := max(info.Size(), cacheHead)
	refs := make([]byte, 0, len(list)*cacheRef)
	for _, at := range list {
		start := len(refs)
		refs = binary.LittleEndian.AppendUint32(refs, at.uid)
		refs = binary.LittleEndian.AppendUint32(refs, at.size)
		refs = binary.LittleEndian.AppendUint64(refs, uint64(off+at.off))
		refs = binary.LittleEndian.AppendUint32(refs, crc32.ChecksumIEEE(refs[start:]))
	}
	if err := f.sh.fs.Write(c.data, data, off); err != nil {
		return err
	}
	if err := f.sh.fs.Write(c.refs, refs, c.read); err != nil {
		return err
	}
	c.follow()
	return nil
}

func sameInode(path string, ino uint64) bool {
	f, err := os.Stat(path)
	if err != nil {
		return false
	}
	st, ok := inodeOf(f)
	return ok && st == ino
}

func (c *cacheFile) reset() {
	if c.data != nil {
		c.data.Close()
		c.refs.Close()
	}
	*c = cacheFile{over: make(map[uint32]cacheAt)}
}

// wasteful reports a cache most of which is of no use any more.
func (c *cacheFile) wasteful(f *folder) bool {
	live := int64(f.st.table.Len())
	return (c.read-cacheHead)/cacheRef > 3*live+1000 || c.end > (4<<20)+live*maxCacheEntry/8
}

// create begins a new cache, empty: what was in the old one is found again
// when somebody asks.
func (c *cacheFile) create(f *folder, validity, version uint32) error {
	c.reset()
	head := cacheHeader(uint64(f.now().UnixNano()), validity, version)
	fill := func(w io.Writer) error {
		_, err := w.Write(head)
		return err
	}
	data, err := f.sh.fs.Replace(f.path(fileCache), 0o600, fill)
	if err != nil {
		return err
	}
	refs, err := f.sh.fs.Replace(f.path(fileCacheMap), 0o600, fill)
	if err != nil {
		data.Close()
		return err
	}
	_, ino, err := safefile.Inode(refs)
	c.data, c.refs, c.mapIno, c.read = data, refs, ino, cacheHead
	return err
}
