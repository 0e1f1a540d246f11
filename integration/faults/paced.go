package faults

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Listener is a client of one of the dialects whose position is no cursor, and
// which are told what is so, not each thing that happened: NovComet's, the chat's
// and the event variables'. Their publishers wait now and then until everybody
// has been told.
type Listener struct {
	Name   string
	client *http.Client
	pause  *rand.Rand
	// ask makes the next request; heard reads a whole answer.
	ask   func() *http.Request
	heard func(body string) error

	// silent is told of a server that is.
	silent func(name string)

	mu sync.Mutex
	// times is how often it was told something, last what that was.
	times      int
	last       string
	complaints []string
	answers    int
	cut        int
}

func (l *Listener) state() (times int, last string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.times, l.last
}

// Complaints are what no server should say.
func (l *Listener) Complaints() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.complaints
}

func (l *Listener) complain(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.complaints) < 5 {
		l.complaints = append(l.complaints, fmt.Sprintf(format, args...))
	}
}

func (l *Listener) told(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times++
	l.last = what
}

func (l *Listener) Run(ctx context.Context) {
	for ctx.Err() == nil {
		if l.once(ctx) {
			continue
		}
		rest(ctx, moment(l.pause))
	}
}

func (l *Listener) once(ctx context.Context) bool {
	ctx, watch, over := watched(ctx, l.Name, l.silent)
	defer over()
	res, err := l.client.Do(l.ask().WithContext(ctx))
	var b []byte
	if err == nil {
		b, err = io.ReadAll(alive{res.Body, watch})
		res.Body.Close()
	}
	switch {
	case context.Cause(ctx) == errSilent:
		l.complain("the server was silent for %s", silence)
		return false
	case err != nil:
		l.mu.Lock()
		defer l.mu.Unlock()
		l.cut++
		return false
	case res.StatusCode == http.StatusServiceUnavailable, res.StatusCode == http.StatusNotFound:
		l.client.CloseIdleConnections() // as in [Follower]
		return false
	case res.StatusCode != http.StatusOK:
		l.complain("status %d: %.200q", res.StatusCode, b)
		return false
	}
	if err := l.heard(string(b)); err != nil {
		l.complain("%v: %.200q", err, b)
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers++
	return true
}

func mustGet(url string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		panic(err)
	}
	return r
}

// stampAhead is how far a stamp may be ahead of the clock, and so behind it the first
// of a server that has begun anew.
const stampAhead = 5

// newNovComet follows a channel by its seconds, which may fall back by so many. What it
// is told is the second.
func newNovComet(name string, client *http.Client, base, channel string, back int64, seed Seed) *Listener {
	l := &Listener{Name: name, client: client, pause: seed.Source(name, 0)}
	at := int64(1) // whatever there is is newer
	l.ask = func() *http.Request {
		return mustGet(fmt.Sprintf("%s/comet.php?&subscribed[%s]=%d&subscribed[nothing]=0&%d", base, channel, at, time.Now().Unix()))
	}
	l.heard = func(body string) error {
		var a struct {
			S int
			K map[string]int64
		}
		if err := json.Unmarshal([]byte(body), &a); err != nil {
			return err
		}
		if a.S == 0 {
			return nil
		}
		stamp, ok := a.K[channel]
		if !ok || len(a.K) != 1 || stamp+back <= at {
			return fmt.Errorf("behind %d it was answered", at)
		}
		at = stamp
		l.told(fmt.Sprint(stamp))
		return nil
	}
	return l
}

// newChat follows the chat, whose seconds may fall back by so many. What it is told is
// the message.
func newChat(name string, client *http.Client, base string, back int64, seed Seed) *Listener {
	l := &Listener{Name: name, client: client, pause: seed.Source(name, 0)}
	at, count := int64(0), -1
	l.ask = func() *http.Request { return mustGet(fmt.Sprintf("%s/chat.php?timestamp=%d", base, at)) }
	l.heard = func(body string) error {
		var a struct {
			Msg       string
			Timestamp int64
		}
		if err := json.Unmarshal([]byte(body), &a); err != nil {
			return err
		}
		var told struct{ Token, Pad string }
		if err := json.Unmarshal([]byte(a.Msg), &told); err != nil || told.Pad != padding(told.Token) {
			return fmt.Errorf("the message is not what was written (%v)", err)
		}
		n, err := strconv.Atoi(told.Token[strings.LastIndexByte(told.Token, '/')+1:])
		if err != nil || a.Timestamp+back <= at || n <= count {
			return fmt.Errorf("behind message %d at %d it was answered", count, at)
		}
		count = n
		at = a.Timestamp
		l.told(told.Token)
		return nil
	}
	return l
}

// newBell waits for one event variable after the other. What it is told is the
// number. begun is the last that somebody has set, or is setting.
func newBell(name string, client *http.Client, base string, variable func(n int) string, begun *atomic.Int64, seed Seed) *Listener {
	l := &Listener{Name: name, client: client, pause: seed.Source(name, 0)}
	n := 0
	l.ask = func() *http.Request { return mustGet(base + "/doorbell/" + variable(n)) }
	l.heard = func(body string) error {
		if strings.TrimSpace(body) != "doorbell("+variable(n)+");" {
			return fmt.Errorf("waiting for %s it was answered", variable(n))
		}
		if begun.Load() < int64(n) {
			return fmt.Errorf("nobody has set %s, and it was answered", variable(n))
		}
		l.told(variable(n))
		n++
		return nil
	}
	return l
}
