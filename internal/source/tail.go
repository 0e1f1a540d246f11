package source

import (
	"bytes"
	"errors"
	"io"

	"github.com/spf13/afero"
)

const (
	// printLen is how many bytes before the offset must still be there for a
	// file to count as appended to.
	printLen = 64
	// maxRead is how much of one file is read before the others have their turn.
	maxRead = 64 << 20
	chunk   = 64 << 10
)

// read hands over the complete lines that a file has behind its offset.
func (l *lines) read(v *view, t *tail) {
	t.more = false
	f, s, err := l.open(v, t)
	if err != nil {
		return // told by open; the next look tries again
	}
	if f != t.file {
		defer f.Close()
	}
	if s.ino != t.ino {
		return // another file has the name since the stat: the next look is its
	}
	if t.begin >= 0 {
		if err := t.start(f, min(t.begin, s.size), v.maxEvent()); err != nil {
			v.d.unreadable(v, t.name, err)
			return
		}
		t.begin = -1
	}
	if s.size < t.offset || !t.continues(f, nil) {
		t.rewind()
	}
	t.last, t.racy = s, s.racy(v.wall)
	end := min(s.size, t.offset+maxRead)
	l.elders(v, t)
	switch err := l.pump(v, t, f, s, end); {
	case errors.Is(err, errRewritten):
		t.last = sight{}
		l.later(t)
		return
	case err != nil:
		v.d.unreadable(v, t.name, err)
		return
	}
	if t.more = end < s.size; t.more && t.until.IsZero() {
		l.later(t)
	}
}

// elders reads what was written meanwhile to files that had this name before. It
// comes after the stat: then no line up to the size just seen is younger than
// those, and each writer's lines stay in order over a rotation.
func (l *lines) elders(v *view, t *tail) {
	if !t.until.IsZero() {
		return
	}
	for _, old := range l.lingering {
		if old.name == t.name {
			l.drain(v, old)
		}
	}
}

// open returns the descriptor that is held, or one for this look alone. Without
// an inode number nobody could tell whether the held one is still the file.
func (l *lines) open(v *view, t *tail) (afero.File, sight, error) {
	if t.file != nil {
		info, err := t.file.Stat()
		if err != nil {
			v.d.unreadable(v, t.name, err)
			return nil, sight{}, err
		}
		return t.file, v.d.sightOf(info), nil
	}
	f, s, err := v.open(t.name)
	if err != nil {
		return nil, sight{}, err
	}
	t.adrift = false
	if s.ino == 0 || s.ino != t.ino {
		return f, s, nil
	}
	if born := born(f); born != t.born {
		if t.born != 0 { // a new file has the number
			t.begin = -1
			t.rewind()
		}
		t.born = born
	}
	if l.descriptors.take() {
		t.file = f
	}
	return f, s, nil
}

// pump reads from the offset to end, or to where the file ends before.
func (l *lines) pump(v *view, t *tail, f io.ReaderAt, s sight, end int64) error {
	limit := v.maxEvent()
	if l.buf == nil {
		l.buf = make([]byte, chunk)
	}
	have := 0
	for pos := t.offset; pos < end && !v.stopped(); {
		if have == len(l.buf) { // at most limit+1 bytes come again
			l.buf = append(l.buf, make([]byte, min(len(l.buf), limit+chunk))...)
		}
		free := l.buf[have:]
		v.d.rest()
		n, err := f.ReadAt(free[:min(int64(len(free)), end-pos)], pos)
		if n == 0 {
			if err == nil || errors.Is(err, io.EOF) {
				break
			}
			return err
		}
		pos += int64(n)
		have += n
		// Whoever truncates the file and writes it anew may do so between any two
		// calls of ours. What was there before these bytes still is, so they are that
		// file's, too.
		if !t.continues(f, l.buf[:have-n]) {
			return errRewritten
		}
		done, long := t.split.cut(l.buf[:have], limit, func(line []byte) {
			v.give(t.name, s, bytes.Clone(line), false)
		})
		if long > 0 {
			v.d.tooLong(v, t.name, limit)
		}
		t.advance(l.buf[:done])
		have = copy(l.buf, l.buf[done:have])
	}
	if len(l.buf) > 16*chunk {
		l.buf = nil
	}
	return nil
}

// advance moves the offset behind these bytes.
func (t *tail) advance(done []byte) {
	if len(done) == 0 {
		return
	}
	t.offset += int64(len(done))
	if len(done) < printLen {
		done = append(t.print[:len(t.print):len(t.print)], done...)
	}
	t.print = bytes.Clone(done[max(0, len(done)-printLen):])
}

var errRewritten = errors.New("it was truncated while it was read")

// continues reports whether the bytes before the offset, and the first ones behind
// it that are held, are still those that were read: a file that was truncated and
// written anew need not be shorter.
func (t *tail) continues(f io.ReaderAt, held []byte) bool {
	held = held[:min(len(held), printLen)]
	var b [2 * printLen]byte
	now := b[:len(t.print)+len(held)]
	if len(now) == 0 {
		return true
	}
	n, _ := f.ReadAt(now, t.offset-int64(len(t.print)))
	return n == len(now) && bytes.Equal(now[:len(t.print)], t.print) && bytes.Equal(now[len(t.print):], held)
}

// rewind has the file read from its beginning.
func (t *tail) rewind() { t.offset, t.print, t.split = 0, nil, splitter{} }

// start puts the offset behind the last newline of the first size bytes: a line
// that is not complete yet is news when it gets complete.
func (t *tail) start(f io.ReaderAt, size int64, limit int) error {
	pos := size
	b := make([]byte, chunk)
	for pos > 0 && size-pos <= int64(limit)+1 {
		part := b[:min(chunk, pos)]
		if _, err := f.ReadAt(part, pos-int64(len(part))); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		pos -= int64(len(part))
		if n := bytes.LastIndexByte(part, '\n'); n >= 0 {
			return t.startAt(f, pos+int64(n)+1)
		}
	}
	if pos == 0 {
		return t.startAt(f, 0)
	}
	t.split.skipping = true // we are amid a line over the limit
	return t.startAt(f, size)
}

func (t *tail) startAt(f io.ReaderAt, offset int64) error {
	b := make([]byte, min(printLen, offset))
	if _, err := f.ReadAt(b, offset-int64(len(b))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	t.offset, t.print = offset, b
	return nil
}

// lastLine hands over what a file has behind its last newline, when nobody will
// write that line to its end any more.
func (l *lines) lastLine(v *view, t *tail) {
	limit := v.maxEvent()
	if t.file == nil || t.split.skipping || t.begin >= 0 {
		return
	}
	b := make([]byte, limit+2)
	n, _ := t.file.ReadAt(b, t.offset)
	if line := stripCR(b[:n]); len(line) > 0 && len(line) <= limit {
		v.give(t.name, t.last, line, false)
	}
}
