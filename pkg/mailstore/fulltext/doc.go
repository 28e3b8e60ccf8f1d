// Package fulltext is an index of the words of the messages of one folder.
//
// The index is a directory of segments. A segment is a file that is written
// once: the words of some messages in order, each with the messages that have
// it. Segments are added, merged and removed, and everything in them has a
// checksum; what is missing or damaged is left out, and then the messages that
// were in it count as not indexed. So an index can be incomplete but not wrong,
// whatever happens to its files.
//
// A word is a run of letters, digits and bytes beyond ASCII in folded text.
// All words of a message are kept, so that a search for a part of a word can be
// answered from the list of words, exactly, and one for several words can leave
// out most messages. A message with too many words is noted as such and has to
// be looked at itself.
//
// docs/decisions/0020-the-full-text-index.md tells why no library is used.
package fulltext
