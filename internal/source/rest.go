package source

import "time"

const (
	// shift is how long a look works before it rests.
	shift = time.Millisecond
	// longestRest bounds a rest after work that took long because others had the
	// processor.
	longestRest = 10 * time.Millisecond
)

// rest is called between two files of a look. Who always has something to look at
// rests as long as he works, so that a directory in which a hundred thousand files
// change without end takes no more than half a processor, and nobody waits for
// longer than a shift until he is given it.
func (d *dir) rest() {
	if d.files.manual || d.first {
		return
	}
	worked := time.Since(d.rested)
	if worked < shift {
		return
	}
	select {
	case <-d.ctx.Done():
	case <-time.After(min(worked, longestRest)):
	}
	d.rested = time.Now()
}
