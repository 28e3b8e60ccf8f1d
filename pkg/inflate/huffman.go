package inflate

// maxCode is the length of the longest code.
const maxCode = 15

// primary is how many bits are looked up at once.
const primary = 9

// huffman is a table of codes: for each value of the next bits the symbol and
// the length of its code, or where the longer codes are.
type huffman struct {
	table  [1 << primary]uint16 // symbol<<4 | length; 0: none or longer
	counts [maxCode + 1]uint16
	syms   []uint16
}

// newHuffman makes the table of code lengths (RFC 1951 3.2.2). A code that is
// not complete is allowed only with a single symbol.
func newHuffman(lengths []byte) (*huffman, error) {
	h := &huffman{}
	used := 0
	for _, n := range lengths {
		h.counts[n]++
		if n > 0 {
			used++
		}
	}
	h.counts[0] = 0
	left := 1
	for n := 1; n <= maxCode; n++ {
		left = left<<1 - int(h.counts[n])
		if left < 0 {
			return nil, ErrCorrupt
		}
	}
	if left > 0 && used > 1 {
		return nil, ErrCorrupt
	}
	var offsets [maxCode + 2]int
	for n := 1; n <= maxCode; n++ {
		offsets[n+1] = offsets[n] + int(h.counts[n])
	}
	h.syms = make([]uint16, used)
	for sym, n := range lengths {
		if n > 0 {
			h.syms[offsets[n]] = uint16(sym)
			offsets[n]++
		}
	}
	h.fill()
	return h, nil
}

// fill makes the table for the short codes.
func (h *huffman) fill() {
	code, index := 0, 0
	for n := 1; n <= primary; n++ {
		for range h.counts[n] {
			v := h.syms[index]<<4 | uint16(n)
			for i := reverse(code, n); i < len(h.table); i += 1 << n {
				h.table[i] = v
			}
			code++
			index++
		}
		code <<= 1
	}
}

// lookup returns the symbol of the code that bits begin with, and its length:
// 0 if n bits are not enough.
func (h *huffman) lookup(bits uint32, n uint) (sym int, length uint) {
	if v := h.table[bits&(1<<primary-1)]; v != 0 {
		if length = uint(v & 15); length <= n {
			return int(v >> 4), length
		}
		return 0, 0
	}
	code, first, index := 0, 0, 0
	for l := uint(1); l <= maxCode && l <= n; l++ {
		code |= int(bits>>(l-1)) & 1
		count := int(h.counts[l])
		if code-first < count {
			return int(h.syms[index+code-first]), l
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return 0, 0
}

func reverse(code, n int) int {
	out := 0
	for range n {
		out = out<<1 | code&1
		code >>= 1
	}
	return out
}

// Lengths and distances (RFC 1951 3.2.5).
var (
	lengthBase  = [29]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [29]byte{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [30]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	distExtra   = [30]byte{0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11, 12, 12, 13, 13}
	codeOrder   = [19]byte{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

// fixedLiterals is the table of blocks with fixed codes (RFC 1951 3.2.6).
func fixedLiterals() *huffman {
	lengths := make([]byte, 288)
	for i := range lengths {
		switch {
		case i < 144:
			lengths[i] = 8
		case i < 256:
			lengths[i] = 9
		case i < 280:
			lengths[i] = 7
		default:
			lengths[i] = 8
		}
	}
	h, _ := newHuffman(lengths)
	return h
}

// readTables reads the codes of a block (RFC 1951 3.2.7). Its sender writes
// them whole, so that they may be waited for.
func (r *Reader) readTables() error {
	if err := r.need(14, false); err != nil {
		return err
	}
	nlit, ndist, ncode := r.take(5)+257, r.take(5)+1, r.take(4)+4
	if nlit > 286 || ndist > 30 {
		return ErrCorrupt
	}
	var lengths [19]byte
	for i := range ncode {
		if err := r.need(3, false); err != nil {
			return err
		}
		lengths[codeOrder[i]] = byte(r.take(3))
	}
	codes, err := newHuffman(lengths[:])
	if err != nil {
		return err
	}
	all := make([]byte, 0, 320)
	for len(all) < nlit+ndist {
		sym, err := r.symbol(codes, false)
		if err != nil {
			return err
		}
		if sym < 16 {
			all = append(all, byte(sym))
			continue
		}
		if all, err = r.repeat(all, sym); err != nil {
			return err
		}
	}
	if len(all) > nlit+ndist || all[256] == 0 {
		return ErrCorrupt
	}
	if r.lit, err = newHuffman(all[:nlit]); err != nil {
		return err
	}
	r.off, err = newHuffman(all[nlit:])
	return err
}

// repeat appends a run of lengths.
func (r *Reader) repeat(all []byte, sym int) ([]byte, error) {
	var value byte
	extra, base := uint(2), 3
	switch sym {
	case 16:
		if len(all) == 0 {
			return nil, ErrCorrupt
		}
		value = all[len(all)-1]
	case 17:
		extra = 3
	default:
		extra, base = 7, 11
	}
	if err := r.need(extra, false); err != nil {
		return nil, err
	}
	for range r.take(extra) + base {
		all = append(all, value)
	}
	return all, nil
}
