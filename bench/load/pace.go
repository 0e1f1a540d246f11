//go:build linux

package load

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Paced lets an event happen again and again, in one channel after the other,
// and has each answered poll ask again at once. Times are from when an event was
// due, so that whoever cannot keep up is not excused by events that came later.
func (l *Load) Paced(p Pace, r *Report) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, err := l.publisher(); err != nil {
		return err
	}
	l.post.posting = nil
	began := l.begin() // before the ticker, whose ticks are else a little too early
	var err error
	if l.ticker, err = l.loop.tick(p.step(), tickerIndex); err != nil {
		return err
	}
	defer l.ticker.stop()
	paced := paced{Load: l, pace: p, owed: make([]owed, l.target.Channels)}
	last := began.Add(p.For)
	for now := began; now.Before(last) || paced.pending > 0 && now.Before(last.Add(patience)); now = time.Now() {
		if now.Before(last) {
			if err := paced.due(began, now); err != nil {
				return err
			}
		}
		if err := l.turn(paced.got); err != nil {
			return err
		}
	}
	l.report.Missed += paced.pending
	*r = l.end(began)
	return nil
}

// step is the time between two events.
func (p Pace) step() time.Duration { return time.Second / time.Duration(p.PerSecond) }

// paced is a stream of events in progress.
type paced struct {
	*Load
	pace    Pace
	done    int
	owed    []owed // for each channel
	pending int
}

// owed is an event whose answer has not come.
type owed struct {
	since time.Time
	mark  []byte
}

// due lets all events happen whose time has come, unless the one before in the same
// channel is not answered yet: then this one and all after it are late.
func (p *paced) due(began, now time.Time) error {
	step := p.pace.step()
	for due := began.Add(time.Duration(p.done) * step); !due.After(now); due = due.Add(step) {
		channel := p.done % len(p.owed)
		if !p.owed[channel].since.IsZero() {
			return nil
		}
		p.done++
		p.pending++
		p.owed[channel] = owed{since: due}
		if err := p.happen(channel, now); err != nil {
			return err
		}
	}
	return nil
}

func (p *paced) happen(channel int, now time.Time) error {
	if p.pace.Touch != "" {
		p.owed[channel].mark = []byte(`"events":[{`)
		return os.Chtimes(TouchFile(p.pace.Touch, channel), now, now)
	}
	p.seq++
	p.owed[channel].mark = []byte(mark(p.seq))
	p.post.queue = append(p.post.queue, post{channel, p.seq})
	p.next()
	return nil
}

func (p *paced) got(c *conn, a answer, now time.Time) {
	p.keepCursor(c, a)
	owed := &p.owed[c.channel]
	if owed.since.IsZero() || !a.ok() || !bytes.Contains(a.body, owed.mark) {
		p.fail("a poll of %s was answered by %s%s", Name(c.channel), a.head, a.body)
	} else {
		p.report.Answers++
		p.times = append(p.times, now.Sub(owed.since))
		owed.since = time.Time{}
		p.pending--
	}
	p.ask(c)
}

// TouchFile is the file whose touch is an event in a channel.
func TouchFile(dir string, channel int) string {
	return filepath.Join(dir, fmt.Sprintf("%s.comet", Name(channel)))
}
