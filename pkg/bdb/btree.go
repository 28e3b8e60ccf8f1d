package bdb

import (
	"fmt"
	"strings"
)

// Item types on btree pages; the high bit marks a deleted item.
const (
	btreeKeyData  = 1
	btreeOverflow = 3
	deleted       = 0x80
)

func (r *Reader) getBtree(key string) (string, bool, error) {
	number := r.root
	for range maxDepth {
		p, err := r.page(number)
		if err != nil {
			return "", false, err
		}
		switch p.kind {
		case pageLeaf:
			return r.searchLeaf(&p, key)
		case pageInternal:
			if number, err = r.child(&p, key); err != nil {
				return "", false, err
			}
		default:
			return "", false, fmt.Errorf("%w: page %d is not a btree page", ErrFormat, number)
		}
	}
	return "", false, fmt.Errorf("%w: btree too deep", ErrFormat)
}

// child returns the page below p that may hold key. The first item of an
// internal page stands for everything below the second one.
func (r *Reader) child(p *page, key string) (uint32, error) {
	low, high := 0, p.entries-1
	if high < 0 {
		return 0, fmt.Errorf("%w: empty internal page", ErrFormat)
	}
	for low < high {
		mid := (low + high + 1) / 2
		_, k, err := r.internalItem(p, mid)
		if err != nil {
			return 0, err
		}
		if strings.Compare(k, key) <= 0 {
			low = mid
		} else {
			high = mid - 1
		}
	}
	number, _, err := r.internalItem(p, low)
	return number, err
}

// internalItem returns the page number and key of item i.
func (r *Reader) internalItem(p *page, i int) (number uint32, key string, err error) {
	at, err := p.offset(i)
	if err != nil {
		return 0, "", err
	}
	item := p.data[at:]
	if len(item) < 12 {
		return 0, "", fmt.Errorf("%w: short item", ErrFormat)
	}
	n := int(p.order.Uint16(item))
	number = p.order.Uint32(item[4:])
	if i == 0 {
		return number, "", nil
	}
	if 12+n > len(item) {
		return 0, "", fmt.Errorf("%w: item out of its page", ErrFormat)
	}
	data := item[12 : 12+n]
	if item[2]&^deleted == btreeOverflow {
		if len(data) < 12 {
			return 0, "", fmt.Errorf("%w: short item", ErrFormat)
		}
		key, err = r.overflow(p.order.Uint32(data[4:]), p.order.Uint32(data[8:]))
		return number, key, err
	}
	return number, string(data), nil
}

func (r *Reader) searchLeaf(p *page, key string) (string, bool, error) {
	low, high := 0, p.entries/2
	for low < high {
		mid := (low + high) / 2
		k, _, err := r.leafItem(p, 2*mid)
		if err != nil {
			return "", false, err
		}
		switch c := strings.Compare(k, key); {
		case c == 0:
			v, gone, err := r.leafItem(p, 2*mid+1)
			return v, err == nil && !gone, err
		case c < 0:
			low = mid + 1
		default:
			high = mid
		}
	}
	return "", false, nil
}

// leafItem returns item i and whether it was deleted.
func (r *Reader) leafItem(p *page, i int) (data string, gone bool, err error) {
	at, err := p.offset(i)
	if err != nil {
		return "", false, err
	}
	item := p.data[at:]
	if len(item) < 3 {
		return "", false, fmt.Errorf("%w: short item", ErrFormat)
	}
	gone = item[2]&deleted != 0
	switch item[2] &^ deleted {
	case btreeKeyData:
		n := int(p.order.Uint16(item))
		if 3+n > len(item) {
			return "", false, fmt.Errorf("%w: item out of its page", ErrFormat)
		}
		return string(item[3 : 3+n]), gone, nil
	case btreeOverflow:
		if len(item) < 12 {
			return "", false, fmt.Errorf("%w: short item", ErrFormat)
		}
		data, err = r.overflow(p.order.Uint32(item[4:]), p.order.Uint32(item[8:]))
		return data, gone, err
	}
	return "", false, fmt.Errorf("%w: item type %d", ErrFormat, item[2])
}

// allBtree goes down to the first leaf and then along the leaves.
func (r *Reader) allBtree(yield func(key, value string) bool) error {
	number := r.root
	for range uint64(r.last) + 1 + maxDepth {
		p, err := r.page(number)
		if err != nil {
			return err
		}
		switch p.kind {
		case pageInternal:
			if p.entries == 0 {
				return fmt.Errorf("%w: empty internal page", ErrFormat)
			}
			if number, _, err = r.internalItem(&p, 0); err != nil {
				return err
			}
			continue
		case pageLeaf:
		default:
			return fmt.Errorf("%w: page %d is not a btree page", ErrFormat, number)
		}
		more, err := r.allLeaf(&p, yield)
		if err != nil || !more || p.next == 0 {
			return err
		}
		number = p.next
	}
	return fmt.Errorf("%w: loop of pages", ErrFormat)
}

func (r *Reader) allLeaf(p *page, yield func(key, value string) bool) (bool, error) {
	for i := 0; i+1 < p.entries; i += 2 {
		k, _, err := r.leafItem(p, i)
		if err != nil {
			return false, err
		}
		v, gone, err := r.leafItem(p, i+1)
		if err != nil {
			return false, err
		}
		if !gone && !yield(k, v) {
			return false, nil
		}
	}
	return true, nil
}
