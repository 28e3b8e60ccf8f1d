package password

import "strings"

// The traditional crypt(3): a modified DES (FIPS 46-3) that encrypts a block
// of zeros 25 times with the password as the key. Courier's userdbpw makes it
// by default, so that old databases are full of it. It is only checked here:
// nothing makes new ones.

// isDES tells whether s has the form: two characters of salt, eleven of hash.
func isDES(s string) bool {
	if len(s) != 13 {
		return false
	}
	for i := range len(s) {
		if strings.IndexByte(alphabet64, s[i]) < 0 {
			return false
		}
	}
	return true
}

// The tables of FIPS 46-3, counted from 1.
var (
	desIP = []uint8{
		58, 50, 42, 34, 26, 18, 10, 2, 60, 52, 44, 36, 28, 20, 12, 4, 62, 54, 46, 38, 30, 22, 14, 6, 64, 56, 48, 40, 32, 24, 16, 8,
		57, 49, 41, 33, 25, 17, 9, 1, 59, 51, 43, 35, 27, 19, 11, 3, 61, 53, 45, 37, 29, 21, 13, 5, 63, 55, 47, 39, 31, 23, 15, 7,
	}
	desFP = []uint8{
		40, 8, 48, 16, 56, 24, 64, 32, 39, 7, 47, 15, 55, 23, 63, 31, 38, 6, 46, 14, 54, 22, 62, 30, 37, 5, 45, 13, 53, 21, 61, 29,
		36, 4, 44, 12, 52, 20, 60, 28, 35, 3, 43, 11, 51, 19, 59, 27, 34, 2, 42, 10, 50, 18, 58, 26, 33, 1, 41, 9, 49, 17, 57, 25,
	}
	desE = []uint8{
		32, 1, 2, 3, 4, 5, 4, 5, 6, 7, 8, 9, 8, 9, 10, 11, 12, 13, 12, 13, 14, 15, 16, 17,
		16, 17, 18, 19, 20, 21, 20, 21, 22, 23, 24, 25, 24, 25, 26, 27, 28, 29, 28, 29, 30, 31, 32, 1,
	}
	desP = []uint8{
		16, 7, 20, 21, 29, 12, 28, 17, 1, 15, 23, 26, 5, 18, 31, 10, 2, 8, 24, 14, 32, 27, 3, 9, 19, 13, 30, 6, 22, 11, 4, 25,
	}
	desPC1 = []uint8{
		57, 49, 41, 33, 25, 17, 9, 1, 58, 50, 42, 34, 26, 18, 10, 2, 59, 51, 43, 35, 27, 19, 11, 3, 60, 52, 44, 36,
		63, 55, 47, 39, 31, 23, 15, 7, 62, 54, 46, 38, 30, 22, 14, 6, 61, 53, 45, 37, 29, 21, 13, 5, 28, 20, 12, 4,
	}
	desPC2 = []uint8{
		14, 17, 11, 24, 1, 5, 3, 28, 15, 6, 21, 10, 23, 19, 12, 4, 26, 8, 16, 7, 27, 20, 13, 2,
		41, 52, 31, 37, 47, 55, 30, 40, 51, 45, 33, 48, 44, 49, 39, 56, 34, 53, 46, 42, 50, 36, 29, 32,
	}
	desShifts = []uint8{1, 1, 2, 2, 2, 2, 2, 2, 1, 2, 2, 2, 2, 2, 2, 1}
	desS      = [8][64]uint8{
		{14, 4, 13, 1, 2, 15, 11, 8, 3, 10, 6, 12, 5, 9, 0, 7, 0, 15, 7, 4, 14, 2, 13, 1, 10, 6, 12, 11, 9, 5, 3, 8,
			4, 1, 14, 8, 13, 6, 2, 11, 15, 12, 9, 7, 3, 10, 5, 0, 15, 12, 8, 2, 4, 9, 1, 7, 5, 11, 3, 14, 10, 0, 6, 13},
		{15, 1, 8, 14, 6, 11, 3, 4, 9, 7, 2, 13, 12, 0, 5, 10, 3, 13, 4, 7, 15, 2, 8, 14, 12, 0, 1, 10, 6, 9, 11, 5,
			0, 14, 7, 11, 10, 4, 13, 1, 5, 8, 12, 6, 9, 3, 2, 15, 13, 8, 10, 1, 3, 15, 4, 2, 11, 6, 7, 12, 0, 5, 14, 9},
		{10, 0, 9, 14, 6, 3, 15, 5, 1, 13, 12, 7, 11, 4, 2, 8, 13, 7, 0, 9, 3, 4, 6, 10, 2, 8, 5, 14, 12, 11, 15, 1,
			13, 6, 4, 9, 8, 15, 3, 0, 11, 1, 2, 12, 5, 10, 14, 7, 1, 10, 13, 0, 6, 9, 8, 7, 4, 15, 14, 3, 11, 5, 2, 12},
		{7, 13, 14, 3, 0, 6, 9, 10, 1, 2, 8, 5, 11, 12, 4, 15, 13, 8, 11, 5, 6, 15, 0, 3, 4, 7, 2, 12, 1, 10, 14, 9,
			10, 6, 9, 0, 12, 11, 7, 13, 15, 1, 3, 14, 5, 2, 8, 4, 3, 15, 0, 6, 10, 1, 13, 8, 9, 4, 5, 11, 12, 7, 2, 14},
		{2, 12, 4, 1, 7, 10, 11, 6, 8, 5, 3, 15, 13, 0, 14, 9, 14, 11, 2, 12, 4, 7, 13, 1, 5, 0, 15, 10, 3, 9, 8, 6,
			4, 2, 1, 11, 10, 13, 7, 8, 15, 9, 12, 5, 6, 3, 0, 14, 11, 8, 12, 7, 1, 14, 2, 13, 6, 15, 0, 9, 10, 4, 5, 3},
		{12, 1, 10, 15, 9, 2, 6, 8, 0, 13, 3, 4, 14, 7, 5, 11, 10, 15, 4, 2, 7, 12, 9, 5, 6, 1, 13, 14, 0, 11, 3, 8,
			9, 14, 15, 5, 2, 8, 12, 3, 7, 0, 4, 10, 1, 13, 11, 6, 4, 3, 2, 12, 9, 5, 15, 10, 11, 14, 1, 7, 6, 0, 8, 13},
		{4, 11, 2, 14, 15, 0, 8, 13, 3, 12, 9, 7, 5, 10, 6, 1, 13, 0, 11, 7, 4, 9, 1, 10, 14, 3, 5, 12, 2, 15, 8, 6,
			1, 4, 11, 13, 12, 3, 7, 14, 10, 15, 6, 8, 0, 5, 9, 2, 6, 11, 13, 8, 1, 4, 10, 7, 9, 5, 0, 15, 14, 2, 3, 12},
		{13, 2, 8, 4, 6, 15, 11, 1, 10, 9, 3, 14, 5, 0, 12, 7, 1, 15, 13, 8, 10, 3, 7, 4, 12, 5, 6, 11, 0, 14, 9, 2,
			7, 11, 4, 1, 9, 12, 14, 2, 0, 6, 10, 13, 15, 3, 5, 8, 2, 1, 14, 7, 4, 10, 8, 13, 15, 12, 9, 0, 3, 5, 6, 11},
	}
)

// permuteBits picks bits of in, one to a byte.
func permuteBits(in []uint8, table []uint8) []uint8 {
	out := make([]uint8, len(table))
	for i, p := range table {
		out[i] = in[p-1]
	}
	return out
}

// desKeys makes the 16 round keys of a password: 7 bits of each of the first
// 8 characters.
func desKeys(plaintext string) [16][]uint8 {
	key := make([]uint8, 64)
	for i := 0; i < len(plaintext) && i < 8; i++ {
		for b := range 7 {
			key[8*i+b] = plaintext[i] >> (6 - b) & 1
		}
	}
	cd := permuteBits(key, desPC1)
	var keys [16][]uint8
	for r, n := range desShifts {
		for range n {
			c, d := cd[0], cd[28]
			copy(cd[:27], cd[1:28])
			copy(cd[28:55], cd[29:])
			cd[27], cd[55] = c, d
		}
		keys[r] = permuteBits(cd, desPC2)
	}
	return keys
}

// desCrypt returns salt and hash. The salt's bits exchange bits of the first
// and second half of the expansion table.
func desCrypt(plaintext, salt string) string {
	expansion := append([]uint8(nil), desE...)
	for i := range 2 {
		c := strings.IndexByte(alphabet64, salt[i])
		for b := range 6 {
			if c>>b&1 != 0 {
				j := 6*i + b
				expansion[j], expansion[j+24] = expansion[j+24], expansion[j]
			}
		}
	}
	keys := desKeys(plaintext)
	block := make([]uint8, 64, 66)
	for range 25 {
		block = desEncrypt(block, &keys, expansion)
	}
	block = append(block, 0, 0)
	out := []byte(salt[:2])
	for i := 0; i < 66; i += 6 {
		c := 0
		for _, bit := range block[i : i+6] {
			c = c<<1 | int(bit)
		}
		out = append(out, alphabet64[c])
	}
	return string(out)
}

func desEncrypt(block []uint8, keys *[16][]uint8, expansion []uint8) []uint8 {
	lr := permuteBits(block, desIP)
	l, r := lr[:32], lr[32:]
	for _, key := range keys {
		f := make([]uint8, 32)
		for box := range 8 {
			var v [6]uint8
			for i := range 6 {
				v[i] = r[expansion[6*box+i]-1] ^ key[6*box+i]
			}
			row, col := v[0]<<1|v[5], v[1]<<3|v[2]<<2|v[3]<<1|v[4]
			s := desS[box][16*row+col]
			for i := range 4 {
				f[4*box+i] = s >> (3 - i) & 1
			}
		}
		f = permuteBits(f, desP)
		for i := range f {
			f[i] ^= l[i]
		}
		l, r = r, f
	}
	return permuteBits(append(append(make([]uint8, 0, 66), r...), l...), desFP)
}
