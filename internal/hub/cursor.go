package hub

import (
	"errors"
	"strconv"
	"strings"
)

// Epoch names one life of a log. Sequences of different epochs have nothing to
// do with each other: a cursor of another epoch is a gap.
type Epoch uint64

// String writes the epoch in base 36, as cursors do.
func (e Epoch) String() string { return strconv.FormatUint(uint64(e), 36) }

// Cursor is a position in the order of a hub: everything up to and including
// Seq is behind it. The zero Cursor is a position in no epoch.
type Cursor struct {
	Epoch Epoch
	Seq   uint64
}

// ErrCursor says that a text is no cursor.
var ErrCursor = errors.New("a cursor is what an earlier answer gave as its \"cursor\", like k3f9.42; start with since=now or since=all")

// maxCursorText is the longest cursor there is: 13 digits in base 36, a dot
// and 20 decimal digits.
const maxCursorText = 13 + 1 + 20

// String writes the cursor as clients carry it, "epoch.sequence": the epoch in
// base 36, the sequence in base 10. Clients must treat it as opaque.
func (c Cursor) String() string {
	return string(c.Append(make([]byte, 0, maxCursorText)))
}

// Append appends the cursor's text to b.
func (c Cursor) Append(b []byte) []byte {
	b = strconv.AppendUint(b, uint64(c.Epoch), 36)
	b = append(b, '.')
	return strconv.AppendUint(b, c.Seq, 10)
}

// ParseCursor reads what [Cursor.String] wrote, and nothing else: upper case,
// signs and leading zeros are refused, so that equal cursors are equal texts.
// The error is [ErrCursor].
func ParseCursor(s string) (Cursor, error) {
	epoch, seq, ok := strings.Cut(s, ".")
	if !ok || len(s) > maxCursorText || !canonical(epoch) || !canonical(seq) {
		return Cursor{}, ErrCursor
	}
	e, err := strconv.ParseUint(epoch, 36, 64)
	if err != nil {
		return Cursor{}, ErrCursor
	}
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		return Cursor{}, ErrCursor
	}
	return Cursor{Epoch: Epoch(e), Seq: n}, nil
}

// canonical reports whether digits is the one way to write a number: not
// empty, no sign, no upper case, no leading zero.
func canonical(digits string) bool {
	if digits == "" || (digits[0] == '0' && len(digits) > 1) {
		return false
	}
	for _, r := range []byte(digits) {
		if (r < '0' || r > '9') && (r < 'a' || r > 'z') {
			return false
		}
	}
	return true
}
