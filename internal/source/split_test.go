package source

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

// splitAll cuts b in chunks whose sizes repeat.
func splitAll(b []byte, max int, sizes []byte) (lines []string, long int, rest string) {
	var sp splitter
	var have []byte
	for i := 0; len(b) > 0; i++ {
		n := len(b)
		if len(sizes) > 0 {
			n = min(n, int(sizes[i%len(sizes)])+1)
		}
		have = append(have, b[:n]...)
		b = b[n:]
		done, l := sp.cut(have, max, func(line []byte) { lines = append(lines, string(line)) })
		long += l
		have = have[done:]
		if len(have) > max+1 {
			panic("keeps more than it may")
		}
	}
	return lines, long, string(have)
}

func TestSplitterSkipsWhatIsTooLongAndEmpty(t *testing.T) {
	for _, c := range []struct {
		in, want, rest string
		long           int
	}{
		{"a\nb\nc", "a|b", "c", 0},
		{"a\r\n\r\n\n b \r\n", "a| b ", "", 0},
		{"12345\n123456\n1\n", "12345|1", "", 1},
		{"12345\r\n123456\r\n1\r\n", "12345|1", "", 1},
		{"1234567", "", "", 1},
		{"123456", "", "123456", 0}, // its sixth byte might have been a CR
		{"\r\r\n", "\r", "", 0},
	} {
		lines, long, rest := splitAll([]byte(c.in), 5, nil)
		if got := strings.Join(lines, "|"); got != c.want || long != c.long || rest != c.rest {
			t.Errorf("%q: %q, %d long, rest %q", c.in, got, long, rest)
		}
	}
}

// FuzzLines: any chunking of the same bytes gives the same lines, and with the
// limit out of the way they are the lines that bytes.Split finds.
func FuzzLines(f *testing.F) {
	f.Add([]byte("a\nbb\r\nccc\n\nd"), []byte{0}, 2)
	f.Add([]byte("0123456789\n\r\r\n"), []byte{0, 3}, 5)
	f.Fuzz(func(t *testing.T, b, sizes []byte, max int) {
		max = max & 31
		whole, longWhole, restWhole := splitAll(b, max, nil)
		parts, longParts, restParts := splitAll(b, max, sizes)
		if !slices.Equal(whole, parts) || longWhole != longParts || restWhole != restParts {
			t.Fatalf("%q in %v, limit %d: %q %d %q and %q %d %q", b, sizes, max, whole, longWhole, restWhole, parts, longParts, restParts)
		}
		all, long, rest := splitAll(b, len(b), sizes)
		var want []string
		split := bytes.Split(b, []byte{'\n'})
		for _, line := range split[:len(split)-1] {
			if line := bytes.TrimSuffix(line, []byte{'\r'}); len(line) > 0 {
				want = append(want, string(line))
			}
		}
		if !slices.Equal(all, want) || long != 0 || rest != string(split[len(split)-1]) {
			t.Fatalf("%q in %v: %q, rest %q; want %q", b, sizes, all, rest, want)
		}
	})
}
