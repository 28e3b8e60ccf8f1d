package main

import (
	"bufio"
	"errors"
	"fmt"
	"strconv"

	"github.com/posthouse-mail/posthouse/pkg/queue/listing"
)

// Limits of what is believed of showq.
const (
	maxName  = 100
	maxValue = 100 << 10
)

var errStream = errors.New("malformed or truncated queue listing")

// header is what the listing says of a message before its recipients.
type header struct {
	queue, id    string
	arrival      int64
	size         int64
	forcedExpire bool
	sender       string
}

// presenter prints a listing.
type presenter interface {
	message(header) error
	recipient(addr, reason string) error
	endMessage() error
	end() error
}

// read passes a listing on.
func read(r *bufio.Reader, p presenter) error {
	name, value, err := attr(r)
	if err == nil && (name != "protocol" || value != listing.Protocol) {
		err = fmt.Errorf("%w: unexpected protocol", errStream)
	}
	if err != nil {
		return err
	}
	if name, _, err := attr(r); err != nil || name != "" {
		return errStream
	}
	for {
		name, value, err := attr(r)
		if err != nil {
			return err
		}
		if name == "" {
			return p.end()
		}
		if err := readMessage(r, p, name, value); err != nil {
			return err
		}
	}
}

func readMessage(r *bufio.Reader, p presenter, name, value string) error {
	var h header
	started := false
	var addr string
	for ; name != ""; name, value = next(r) {
		var err error
		switch name {
		case "queue_name":
			h.queue = value
		case "queue_id":
			h.id = value
		case "time":
			h.arrival, err = strconv.ParseInt(value, 10, 64)
		case "size":
			h.size, err = strconv.ParseInt(value, 10, 64)
		case "forced_expire":
			h.forcedExpire = value != "0"
		case "sender":
			h.sender = value
			started = true
			err = p.message(h)
		case "recipient":
			addr = value
		case "reason":
			if !started {
				return errStream
			}
			err = p.recipient(addr, value)
		case badAttr:
			return errStream
		}
		if err != nil {
			return err
		}
	}
	if !started {
		return errStream
	}
	return p.endMessage()
}

// badAttr stands for an attribute that could not be read. No name has a blank.
const badAttr = "read error"

func next(r *bufio.Reader) (name, value string) {
	name, value, err := attr(r)
	if err != nil {
		return badAttr, ""
	}
	return name, value
}

// attr reads one attribute; an empty name is the end of a list.
func attr(r *bufio.Reader) (name, value string, err error) {
	if name, err = text(r, maxName); err != nil || name == "" {
		return name, "", err
	}
	value, err = text(r, maxValue)
	return name, value, err
}

func text(r *bufio.Reader, limit int) (string, error) {
	var long []byte
	for {
		part, err := r.ReadSlice(0)
		if err == nil && long == nil {
			return string(part[:len(part)-1]), nil
		}
		long = append(long, part...)
		if err == nil {
			return string(long[:len(long)-1]), nil
		}
		if err != bufio.ErrBufferFull || len(long) > limit {
			return "", errStream
		}
	}
}
