package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// Plain is text from outside as a terminal may be given it: what would move the cursor,
// change colours or turn the direction is written as an escape.
func Plain(s string) string {
	if strings.IndexFunc(s, unprintable) < 0 && utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && size == 1 {
			fmt.Fprintf(&b, `\x%02x`, s[0])
		} else if unprintable(r) {
			b.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		} else {
			b.WriteRune(r)
		}
		s = s[size:]
	}
	return b.String()
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// number is one for people: 15,000.
func number[N int | int64 | uint64](n N) string { return humanize.Comma(int64(n)) }

// size is a number of bytes for people: 4.2 MiB.
func size(n int64) string { return humanize.IBytes(uint64(max(0, n))) }

// ago is a time span for people in at most six characters: 12s, 3m05s, 2h10m, 3d04h.
func ago(d time.Duration) string {
	d = max(0, d)
	switch s := int(d / time.Second); {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 24*3600:
		return fmt.Sprintf("%dh%02dm", s/3600, s/60%60)
	default:
		return fmt.Sprintf("%dd%02dh", s/(24*3600), s/3600%24)
	}
}

func percent(part, whole int64) int {
	if whole <= 0 {
		return 0
	}
	return int(float64(part) / float64(whole) * 100)
}

// kindOf names a dialect and a transport.
func kindOf(dialect, transport string) string { return dialect + "/" + transport }
