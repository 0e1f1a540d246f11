package source

import "bytes"

// splitter cuts bytes into lines. What it gives does not depend on how the
// bytes are cut into calls.
type splitter struct {
	// skipping is set inside of a line that is longer than the limit.
	skipping bool
}

// cut hands over the complete lines at the front of b, without their newline,
// and returns how many bytes are done with; the rest must come again with more
// behind it. Empty lines are no lines. Lines over max bytes are only counted;
// of them no more than max+1 bytes ever have to come again.
func (sp *splitter) cut(b []byte, max int, line func([]byte)) (done, long int) {
	for {
		n := bytes.IndexByte(b[done:], '\n')
		if n < 0 {
			break
		}
		text := stripCR(b[done : done+n])
		done += n + 1
		switch {
		case sp.skipping:
			sp.skipping = false
		case len(text) > max:
			long++
		case len(text) > 0:
			line(text)
		}
	}
	// One byte more may be the CR of a line that just fits.
	if !sp.skipping && len(b)-done > max+1 {
		sp.skipping = true
		long++
	}
	if sp.skipping {
		done = len(b)
	}
	return done, long
}

func stripCR(line []byte) []byte { return bytes.TrimSuffix(line, []byte{'\r'}) }
