package bdb

import (
	"fmt"
	"math/bits"
)

// Item types on hash pages.
const (
	itemKeyData   = 1
	itemDuplicate = 2
	itemOffPage   = 3
)

// hashMeta says where the buckets of a hash file are.
type hashMeta struct {
	maxBucket, highMask, lowMask uint32
	spares                       [32]uint32
	hash                         func(string) uint32
}

// charKey was hashed by the writer to tell which function it used.
const charKey = "%$sniglet^&\x00"

func (r *Reader) readHashMeta(meta []byte) (*hashMeta, error) {
	m := &hashMeta{
		maxBucket: r.order.Uint32(meta[72:]),
		highMask:  r.order.Uint32(meta[76:]),
		lowMask:   r.order.Uint32(meta[80:]),
		hash:      fnv,
	}
	for i := range m.spares {
		m.spares[i] = r.order.Uint32(meta[96+4*i:])
	}
	if want := r.order.Uint32(meta[92:]); want != fnv(charKey) {
		return nil, fmt.Errorf("%w: unknown hash function", ErrFormat)
	}
	if m.maxBucket > r.last {
		return nil, fmt.Errorf("%w: %d buckets", ErrFormat, m.maxBucket)
	}
	return m, nil
}

// fnv is the hash function of Berkeley DB since version 3.
func fnv(s string) uint32 {
	h := uint32(0)
	for i := 0; i < len(s); i++ {
		h = h*16777619 ^ uint32(s[i])
	}
	return h
}

// bucketPage returns the first page of a bucket. Buckets are added in
// doublings, each of which is one run of pages.
func (m *hashMeta) bucketPage(bucket uint32) uint32 {
	return bucket + m.spares[bits.Len32(bucket)]
}

func (r *Reader) getHash(key string) (string, bool, error) {
	m := r.hash
	bucket := m.hash(key) & m.highMask
	if bucket > m.maxBucket {
		bucket &= m.lowMask
	}
	if bucket > m.maxBucket {
		return "", false, fmt.Errorf("%w: bucket %d", ErrFormat, bucket)
	}
	var value string
	found := false
	err := r.walkBucket(bucket, func(p *page, i int) (bool, error) {
		k, err := r.hashItem(p, i, len(key))
		if err != nil || k != key {
			return true, err
		}
		value, err = r.hashItem(p, i+1, -1)
		found = err == nil
		return false, err
	})
	return value, found, err
}

func (r *Reader) allHash(yield func(key, value string) bool) error {
	for bucket := uint32(0); bucket <= r.hash.maxBucket; bucket++ {
		more := true
		err := r.walkBucket(bucket, func(p *page, i int) (bool, error) {
			k, err := r.hashItem(p, i, -1)
			if err != nil {
				return false, err
			}
			v, err := r.hashItem(p, i+1, -1)
			if err != nil {
				return false, err
			}
			more = yield(k, v)
			return more, nil
		})
		if err != nil || !more {
			return err
		}
	}
	return nil
}

// walkBucket calls visit with the index of each key in a bucket until visit
// returns false.
func (r *Reader) walkBucket(bucket uint32, visit func(p *page, i int) (bool, error)) error {
	number := r.hash.bucketPage(bucket)
	for range r.last + 1 {
		p, err := r.page(number)
		if err != nil {
			return err
		}
		switch p.kind {
		case pageHash, pageHashUnsorted:
		case 0:
			return nil // a bucket that was never written
		default:
			return fmt.Errorf("%w: page %d is not a hash page", ErrFormat, number)
		}
		for i := 0; i+1 < p.entries; i += 2 {
			more, err := visit(&p, i)
			if err != nil || !more {
				return err
			}
		}
		if p.next == 0 {
			return nil
		}
		number = p.next
	}
	return fmt.Errorf("%w: loop of pages", ErrFormat)
}

// hashItem returns item i of a page. If want is not negative, an item of
// another length is not fetched.
func (r *Reader) hashItem(p *page, i, want int) (string, error) {
	at, err := p.offset(i)
	if err != nil {
		return "", err
	}
	end := len(p.data)
	if i > 0 {
		if end, err = p.offset(i - 1); err != nil {
			return "", err
		}
	}
	if end <= at {
		return "", fmt.Errorf("%w: items overlap", ErrFormat)
	}
	item := p.data[at:end]
	switch item[0] {
	case itemKeyData:
		return string(item[1:]), nil
	case itemOffPage:
		if len(item) < 12 {
			return "", fmt.Errorf("%w: short item", ErrFormat)
		}
		total := p.order.Uint32(item[8:])
		if want >= 0 && int(total) != want {
			return "", nil
		}
		return r.overflow(p.order.Uint32(item[4:]), total)
	case itemDuplicate:
		if len(item) < 3 {
			return "", fmt.Errorf("%w: short item", ErrFormat)
		}
		n := int(p.order.Uint16(item[1:]))
		if 3+n > len(item) {
			return "", fmt.Errorf("%w: short item", ErrFormat)
		}
		return string(item[3 : 3+n]), nil
	}
	return "", fmt.Errorf("%w: item type %d", ErrFormat, item[0])
}
