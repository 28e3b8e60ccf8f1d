// Package queue knows Postfix's queue: its directories, its ids and the
// on-disk format of its files, bit for bit, so that either suite can work on
// the other's queue.
//
// A queue file is a sequence of records: a type byte, a length in groups of
// seven bits with the lowest first, and that many bytes. The envelope comes
// first and ends with [RecMesg]; the content ends with [RecXtra]; what was
// taken from the headers follows and ends with [RecEnd]. The first record,
// [RecSize], has fixed-width fields and is written last, in place. Pointer
// records ([RecPtr]) let later text replace earlier text without moving it.
//
// The mode of a file is its state: 0600 while it is written, 0700 when it is
// complete. A recipient is marked as done by overwriting the type byte of its
// record. Whatever is read from a file is checked: sizes are limited, a
// pointer cannot make a reader loop, and a malformed file is an error that
// satisfies errors.Is(err, [ErrCorrupt]).
package queue

import (
	"strconv"
	"strings"
)

// Record types. RecFilt and RecCont are the same letter: the first appears in
// an envelope, the second in content.
const (
	RecSize    byte = 'C' // first record: sizes, offsets, counts; fixed width
	RecTime    byte = 'T' // arrival time, "seconds microseconds"
	RecCtime   byte = 'c' // creation time, in place of attribute create_time
	RecFull    byte = 'F' // full name of the local sender
	RecInsp    byte = 'I' // inspector transport
	RecFilt    byte = 'L' // content filter transport
	RecFrom    byte = 'S' // sender
	RecDone    byte = 'D' // recipient that is done
	RecRcpt    byte = 'R' // recipient to do
	RecOrcp    byte = 'O' // original recipient of the next R record
	RecDrcp    byte = '/' // recipient that was cancelled
	RecWarn    byte = 'W' // time of the delay notice; fixed width
	RecAttr    byte = 'A' // "name=value"
	RecKill    byte = 'K' // record that was cancelled
	RecRdr     byte = '>' // redirect: the address that gets all
	RecFlgs    byte = 'f' // cleanup flags
	RecDelay   byte = 'd' // seconds to wait before the first delivery
	RecMesg    byte = 'M' // end of envelope, start of content
	RecCont    byte = 'L' // part of a long line, without its end
	RecNorm    byte = 'N' // line, or the rest of one
	RecDtxt    byte = 'w' // content that was deleted
	RecXtra    byte = 'X' // end of content, start of extracted records
	RecRrto    byte = 'r' // Return-Receipt-To
	RecErto    byte = 'e' // Errors-To
	RecPrio    byte = 'P' // priority
	RecPtr     byte = 'p' // offset at which reading continues; fixed width
	RecVerp    byte = 'V' // VERP delimiters
	RecDSNRet  byte = '<' // RET, in place of attribute ret_flags
	RecDSNEnv  byte = 'i' // ENVID, in place of attribute envelope_id
	RecDSNOrcp byte = 'o' // ORCPT, in place of attribute dsn_orig_rcpt
	RecDSNNote byte = 'n' // NOTIFY, in place of attribute notify_flags
	RecMilt    byte = 'm' // milter counters
	RecEnd     byte = 'E' // last record
)

// Which record types each part of a message may have. The first letter ends
// the part. The Post sets are what local users may hand in through postdrop.
const (
	EnvelopeRecords     = "MCTcFILSDRO/WVA>K<ion"
	ContentRecords      = "XLNw"
	ExtractRecords      = "EDRO/PreAFIL>Kon"
	PostEnvelopeRecords = "MFSRVAin"
	PostContentRecords  = "XLN"
	PostExtractRecords  = "EAR"
)

// Attributes that appear in A records.
const (
	AttrEncoding       = "encoding"
	AttrCreateTime     = "create_time"
	AttrRewriteContext = "rewrite_context"
	AttrTraceFlags     = "trace_flags"
	AttrDSNOrcpt       = "dsn_orig_rcpt"
	AttrDSNNotify      = "notify_flags"
	AttrDSNEnvID       = "envelope_id"
	AttrDSNRet         = "ret_flags"
	AttrSMTPUTF8       = "smtputf8"
	// AttrHoldUntil is the time in Unix seconds before which the message
	// must not leave (RFC 4865), AttrPriority its priority (RFC 6710).
	// AttrRequireTLS is what the sender wants of TLS (RFC 8689). Postfix does
	// not know them; what Postfix 3.11 has for the last are bits of the size
	// record that older ones take for a wish for SMTPUTF8.
	AttrHoldUntil  = "hold_until"
	AttrPriority   = "mt_priority"
	AttrRequireTLS = "requiretls"

	AttrLogClientName = "log_client_name"
	AttrLogClientAddr = "log_client_address"
	AttrLogClientPort = "log_client_port"
	AttrLogHelo       = "log_helo_name"
	AttrLogProto      = "log_protocol_name"
	AttrLogOrigin     = "log_message_origin"
	AttrLogIdent      = "log_ident"

	AttrClientName  = "client_name"
	AttrClientAddr  = "client_address"
	AttrClientPort  = "client_port"
	AttrClientAF    = "client_address_type"
	AttrReverseName = "reverse_client_name"
	AttrHelo        = "helo_name"
	AttrProto       = "protocol_name"
	AttrServerAddr  = "server_address"
	AttrServerPort  = "server_port"

	AttrSASLMethod   = "sasl_method"
	AttrSASLUser     = "sasl_username"
	AttrSASLSender   = "sasl_sender"
	AttrLocalOrigin  = "local"
	AttrRemoteOrigin = "remote"
)

// pseudoType gives the record type that an attribute stands for, or 0. Such
// records are written as attributes, which older programs skip.
func pseudoType(name string) byte {
	switch name {
	case AttrDSNOrcpt:
		return RecDSNOrcp
	case AttrDSNNotify:
		return RecDSNNote
	case AttrDSNEnvID:
		return RecDSNEnv
	case AttrDSNRet:
		return RecDSNRet
	case AttrCreateTime:
		return RecCtime
	}
	return 0
}

// Names of the queues.
const (
	Maildrop = "maildrop"
	Incoming = "incoming"
	Active   = "active"
	Deferred = "deferred"
	Hold     = "hold"
	Corrupt  = "corrupt"
	Bounce   = "bounce"
	Defer    = "defer"
	Trace    = "trace"
	Flush    = "flush"
	Saved    = "saved"
)

// Modes of queue files: what a file is.
const (
	ModeNew     = 0o600 // being written
	ModeReady   = 0o700 // complete
	ModeCorrupt = 0o400 // not to be looked at again
	ModeExpire  = 0o010 // hint: expire at the next try
	ModeUnflush = 0o040 // hint: forget that the destination was dead
)

// RecordName returns the name under which postcat shows a record type.
func RecordName(typ byte) string {
	const names = "C message_size\nT message_arrival_time\nc queue_file_create_time\nF sender_fullname\n" +
		"I content_inspector\nL content_filter\nS sender\nD done_recipient\nR recipient\n" +
		"O original_recipient\n/ canceled_recipient\nW warning_message_time\nA named_attribute\n" +
		"p pointer_record\nK killed_record\nM message_content\nN regular_text\nw padding\n" +
		"X extracted_info\nr return_receipt\ne errors_to\nP priority\nV verp_delimiters\n" +
		"E message_end\n> redirect_to\nf flags\n< dsn_return_flags\ni dsn_envelope_id\n" +
		"o dsn_original_recipient\nn dsn_notify_flags\n"
	for line := range strings.Lines(names) {
		if line[0] == typ {
			return line[2 : len(line)-1]
		}
	}
	return "unknown_record_type"
}

// UserAttr reports whether a local user may set an attribute to a value. The
// others are for our own processes.
func UserAttr(name, value string) bool {
	number := func(limit int) bool {
		n, err := strconv.Atoi(value)
		return err == nil && n >= 0 && n <= limit
	}
	switch name {
	case AttrEncoding:
		return value == "7bit" || value == "8bit" || value == ""
	case AttrRewriteContext:
		return value == AttrLocalOrigin || value == AttrRemoteOrigin
	case AttrDSNEnvID, AttrDSNOrcpt:
		return true
	case AttrDSNNotify, AttrSMTPUTF8:
		return number(15)
	case AttrDSNRet:
		return number(2)
	case AttrRequireTLS:
		return value == "yes"
	case AttrTraceFlags:
		// Those of -bv and -v. That of address probes would let users
		// write to the cache of verify(8).
		n, err := strconv.Atoi(value)
		return err == nil && n >= 0 && n&^(1<<9|1<<10) == 0
	}
	return false
}
