//go:build linux

package load

import (
	"bytes"
	"time"
)

// PageMark is in the body of the page that [Load.Pass] asks for.
const PageMark = "a page by PHP"

// Pass asks for the page on every connection for so long, each time again when
// the answer has come.
func (l *Load) Pass(long time.Duration, r *Report) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	began := l.begin()
	last := began.Add(long)
	got := func(c *conn, a answer, now time.Time) {
		c.waits = false
		if !a.ok() || !bytes.Contains(a.body, []byte(PageMark)) {
			l.fail("the page is %s%s", a.head, a.body)
			return
		}
		l.report.Answers++
		if now.Before(last) {
			l.ask(c)
		}
	}
	for _, c := range l.conns {
		if !c.closed {
			l.ask(c)
		}
	}
	for l.waiting() > 0 && time.Now().Before(last.Add(patience)) {
		if err := l.turn(got); err != nil {
			return err
		}
	}
	l.report.Missed += l.waiting()
	*r = l.end(began)
	return nil
}
