package main

import (
	"github.com/posthouse-mail/posthouse/pkg/inject"
	"github.com/posthouse-mail/posthouse/pkg/queue"
)

// maxSlot bounds a line in a slot (RFC 5322 2.1.1).
const maxSlot = 998

// slot is a line that was written with a text to be replaced.
type slot struct {
	offset int64
	length int
}

// slotLine takes a line whose final text comes behind the content. It stands in
// front of everything else, so nothing that the scanner holds back belongs
// before it.
func (m *message) slotLine(data []byte) {
	if m.length > 0 || len(m.slots) == inject.MaxSlots || len(data) > maxSlot || badText(string(data)) != "" {
		m.malformed("slot")
		return
	}
	if m.failed() {
		return
	}
	m.slots = append(m.slots, slot{m.w.Offset(), len(data)})
	m.write(queue.RecNorm, data)
}

// fill puts the final text in place of the next slot.
func (m *message) fill(data []byte) {
	if m.failed() {
		return
	}
	if m.filled == len(m.slots) || len(data) != m.slots[m.filled].length || badText(string(data)) != "" {
		m.malformed("text for a slot")
		return
	}
	if err := m.w.PatchRec(m.slots[m.filled].offset, queue.RecNorm, data); err != nil {
		m.writeFailed(err)
		return
	}
	m.filled++
}
