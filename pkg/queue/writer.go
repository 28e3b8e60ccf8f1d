package queue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/posthouse-mail/posthouse/pkg/safefile"
)

// errFinished reports the use of a Writer after Commit or Abort.
var errFinished = errors.New("queue file is finished")

// Writer makes a new queue file. It is used by one goroutine.
//
// After an error of any method the file is not good for anything but Abort.
type Writer struct {
	q     *Queue
	f     *os.File
	queue string
	id    ID
	path  string
	made  time.Time
	buf   []byte  // what was not yet written
	box   *[]byte // in which buf goes back to those that are used again
	start int64   // offset of buf in the file
	err   error
}

// Create makes a file in the incoming queue under its final id. Others see
// that it is not complete by its mode.
func (q *Queue) Create(ctx context.Context) (*Writer, error) {
	return q.CreateIn(ctx, Incoming, ModeNew)
}

// CreateIn is like Create, in another queue and with another mode.
func (q *Queue) CreateIn(ctx context.Context, queueName string, mode os.FileMode) (*Writer, error) {
	if !ValidQueueName(queueName) {
		return nil, fmt.Errorf("bad queue name %q", queueName)
	}
	f, tmp, err := q.createTemp(ctx, queueName, mode)
	if err != nil {
		return nil, err
	}
	w := &Writer{q: q, f: f, queue: queueName, path: tmp}
	if err := w.nameByInode(ctx); err != nil {
		w.Abort()
		return nil, err
	}
	w.begin()
	return w, nil
}

// begin makes the writer ready for a message.
func (w *Writer) begin() {
	box, ok := w.q.bufs.Get().(*[]byte)
	if !ok {
		b := make([]byte, 0, writeBuffer)
		box = &b
	}
	w.box, w.buf = box, (*box)[:0]
}

// end gives back what begin took.
func (w *Writer) end() {
	if w.box == nil {
		return
	}
	if cap(w.buf) <= 2*writeBuffer {
		*w.box = w.buf
		w.q.bufs.Put(w.box)
	}
	w.box, w.buf = nil, nil
}

// createTemp makes a file whose name no scan takes for a message.
func (q *Queue) createTemp(ctx context.Context, queueName string, mode os.FileMode) (*os.File, string, error) {
	pid := strconv.Itoa(os.Getpid())
	for {
		usec := time.Now().Nanosecond() / 1000
		tmp := q.dir + queueName + "/" + strconv.Itoa(usec) + "." + pid
		f, err := q.fs.Create(tmp, mode)
		if err == nil {
			return f, tmp, nil
		}
		if !errors.Is(err, os.ErrExist) {
			return nil, "", err
		}
		if err := ctx.Err(); err != nil {
			return nil, "", err
		}
	}
}

// nameByInode renames the file to its id. This comes before the first byte of
// content, so that one journal commit makes name and content durable; a rename
// after the fsync would need a second one.
func (w *Writer) nameByInode(ctx context.Context) error {
	_, ino, err := safefile.Inode(w.f)
	if err != nil {
		return err
	}
	const tries = 1000
	for i := 0; ; i++ {
		w.made = time.Now()
		id := NewID(w.made, ino, w.q.opts.LongIDs)
		path := w.q.Path(w.queue, id)
		err := w.q.fs.RenameNew(w.path, path)
		if errors.Is(err, os.ErrNotExist) && w.q.hashed[w.queue] {
			if err := w.q.MakeDirs(w.queue, id); err != nil {
				return err
			}
			err = w.q.fs.RenameNew(w.path, path)
		}
		if err == nil {
			w.id, w.path = id, path
			return nil
		}
		if !errors.Is(err, os.ErrExist) || i == tries {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// ID returns the queue id.
func (w *Writer) ID() ID { return w.id }

// QueueName returns the queue in which the file is.
func (w *Writer) QueueName() string { return w.queue }

// Path returns the name of the file.
func (w *Writer) Path() string { return w.path }

// Created returns the time that went into the id.
func (w *Writer) Created() time.Time { return w.made }

// Offset returns where the next record will start.
func (w *Writer) Offset() int64 { return w.start + int64(len(w.buf)) }

// Rec appends a record.
func (w *Writer) Rec(typ byte, data []byte) error {
	if w.err != nil {
		return w.err
	}
	w.buf = appendHeader(w.buf, typ, len(data))
	if len(data) > writeBuffer {
		if err := w.Flush(); err != nil {
			return err
		}
		return w.direct(data)
	}
	w.buf = append(w.buf, data...)
	return w.spill()
}

// RecString appends a record.
func (w *Writer) RecString(typ byte, data string) error {
	if w.err != nil {
		return w.err
	}
	w.buf = append(appendHeader(w.buf, typ, len(data)), data...)
	return w.spill()
}

// Printf appends a record with formatted text.
func (w *Writer) Printf(typ byte, format string, args ...any) error {
	return w.RecString(typ, fmt.Sprintf(format, args...))
}

// Attr appends an attribute record.
func (w *Writer) Attr(name, value string) error {
	if w.err != nil {
		return w.err
	}
	w.buf = appendHeader(w.buf, RecAttr, len(name)+1+len(value))
	w.buf = append(w.buf, name...)
	w.buf = append(w.buf, '=')
	w.buf = append(w.buf, value...)
	return w.spill()
}

// spill writes the buffer out when it is nearly full.
func (w *Writer) spill() error {
	if len(w.buf) < writeBuffer-4096 {
		return nil
	}
	return w.Flush()
}

// Flush writes what is buffered to the file.
func (w *Writer) Flush() error {
	if w.err != nil {
		return w.err
	}
	if len(w.buf) == 0 {
		return nil
	}
	if err := w.direct(w.buf); err != nil {
		return err
	}
	w.buf = w.buf[:0]
	return nil
}

// direct writes p at the end of the file.
func (w *Writer) direct(p []byte) error {
	if err := w.q.fs.Write(w.f, p, w.start); err != nil {
		w.err = err
		return err
	}
	w.start += int64(len(p))
	return nil
}

// Patch overwrites bytes that were written before, by as many new ones.
func (w *Writer) Patch(off int64, p []byte) error {
	if w.err != nil {
		return w.err
	}
	if off < 0 || off+int64(len(p)) > w.Offset() {
		return fmt.Errorf("patch beyond the end of %s", w.path)
	}
	if off >= w.start {
		copy(w.buf[off-w.start:], p)
		return nil
	}
	if off+int64(len(p)) > w.start {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if err := w.q.fs.Write(w.f, p, off); err != nil {
		w.err = err
		return err
	}
	return nil
}

// PatchRec overwrites a record by one of the same length.
func (w *Writer) PatchRec(off int64, typ byte, data []byte) error {
	return w.Patch(off, AppendRecord(nil, typ, data))
}

// Size appends the size record, which is the first one and is written with
// zeros at first.
func (w *Writer) Size(s Size) error { return w.Rec(RecSize, s.record()) }

// PatchSize rewrites the size record at the start of the file.
func (w *Writer) PatchSize(s Size) error { return w.PatchRec(0, RecSize, s.record()) }

// ReadAt reads back what was written, flushing first.
func (w *Writer) ReadAt(p []byte, off int64) (int, error) {
	if err := w.Flush(); err != nil {
		return 0, err
	}
	return w.f.ReadAt(p, off)
}

// Reader returns a reader over the records written so far, at an offset. It
// flushes first, and is valid until more is written.
func (w *Writer) Reader(off int64) (*RecordReader, error) {
	if err := w.Flush(); err != nil {
		return nil, err
	}
	r := NewFileReader(w.f, w.start)
	return r, r.SeekTo(off)
}

// MoveTo puts the file into another queue, as for mail that is to be held.
func (w *Writer) MoveTo(queueName string) error {
	if w.err != nil {
		return w.err
	}
	if err := w.q.Move(w.id, w.queue, queueName); err != nil {
		w.err = err
		return err
	}
	w.queue = queueName
	w.path = w.q.Path(queueName, w.id)
	return nil
}

// SetTime sets the time before which the message is not to be delivered. It
// must be the last thing before Commit.
func (w *Writer) SetTime(t time.Time) error {
	if err := w.Flush(); err != nil {
		return err
	}
	tv := unix.NsecToTimeval(t.UnixNano())
	return unix.Futimes(int(w.f.Fd()), []unix.Timeval{tv, tv})
}

// Commit makes the message complete and durable: content, mode and name are on
// disk when it returns nil, and only then may anybody be told that the message
// was accepted. After an error the file is gone.
func (w *Writer) Commit(ctx context.Context) error { return w.CommitMode(ctx, ModeReady) }

// CommitMode is like Commit with another final mode, as maildrop files have.
func (w *Writer) CommitMode(ctx context.Context, mode os.FileMode) error {
	err := ctx.Err()
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		err = w.q.fs.Chmod(w.f, mode)
	}
	if err == nil {
		err = w.sync()
	}
	if err != nil {
		w.Abort()
		return err
	}
	if err := w.close(); err != nil {
		_ = w.q.fs.Remove(w.path)
		return err
	}
	return nil
}

// sync makes content and name durable. Whoever puts mail into the maildrop may not
// read that directory.
func (w *Writer) sync() error {
	if w.queue != Maildrop {
		return w.q.fs.SyncNamed(w.f, w.q.Dir(w.queue, w.id))
	}
	if err := w.q.fs.Sync(w.f); err != nil {
		return err
	}
	return w.q.fs.SyncNameOf(w.f)
}

// Abort removes the file. It does nothing after Commit or Abort.
func (w *Writer) Abort() {
	if w.f == nil {
		return
	}
	_ = w.q.fs.Remove(w.path)
	_ = w.close()
}

func (w *Writer) close() error {
	err := w.q.fs.Close(w.f)
	w.f = nil
	w.end()
	w.err = errFinished
	return err
}
