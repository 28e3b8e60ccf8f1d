package password

import "crypto/md5"

// md5Crypt is the hash of FreeBSD's crypt, magic "$1$", and of Apache's
// variant of it, magic "$apr1$". It returns the 22 characters behind the salt.
func md5Crypt(plaintext, salt, magic string) []byte {
	pw := []byte(plaintext)
	h := md5.New()
	h.Write([]byte(plaintext + salt + plaintext))
	alternate := h.Sum(nil)

	h.Reset()
	h.Write([]byte(plaintext + magic + salt))
	for n := len(pw); n > 0; n -= md5.Size {
		h.Write(alternate[:min(n, md5.Size)])
	}
	for n := len(pw); n > 0; n >>= 1 {
		if n&1 != 0 {
			h.Write([]byte{0})
		} else {
			h.Write(pw[:1])
		}
	}
	sum := h.Sum(nil)
	for i := range 1000 {
		h.Reset()
		first, last := sum, pw
		if i&1 != 0 {
			first, last = pw, sum
		}
		h.Write(first)
		if i%3 != 0 {
			h.Write([]byte(salt))
		}
		if i%7 != 0 {
			h.Write(pw)
		}
		h.Write(last)
		sum = h.Sum(nil)
	}
	return encodeMD5Crypt(sum)
}

// encodeMD5Crypt writes the digest in the order of crypt(3), low bits first.
func encodeMD5Crypt(sum []byte) []byte {
	var out []byte
	put := func(n uint, chars int) {
		for range chars {
			out = append(out, alphabet64[n&63])
			n >>= 6
		}
	}
	for _, t := range [][3]int{{0, 6, 12}, {1, 7, 13}, {2, 8, 14}, {3, 9, 15}, {4, 10, 5}} {
		put(uint(sum[t[0]])<<16|uint(sum[t[1]])<<8|uint(sum[t[2]]), 4)
	}
	put(uint(sum[11]), 2)
	return out
}
