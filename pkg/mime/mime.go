// Package mime scans mail messages without changing a byte: logical header
// lines, the parts of a multipart message and the messages inside. It takes
// what the Internet sends, in linear time and bounded memory.
package mime
