package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// Poster publishes by POST.
type Poster struct {
	Channel, Name string
	Client        *http.Client
	// Base is the endpoint.
	Base   string
	Ledger *Ledger
	Chance *rand.Rand
	// Pace is the mean time between events.
	Pace time.Duration
	// Once: it has no ID, so that it may try each event only once.
	Once bool
}

// Run publishes until ctx ends. Each event is published to its end, or that of all.
func (p *Poster) Run(ctx, all context.Context) {
	for n := 0; ctx.Err() == nil; n++ {
		p.Publish(all, Token(p.Channel, p.Name, n))
		rest(ctx, time.Duration(float64(p.Pace)*p.Chance.ExpFloat64()))
	}
}

// Publish publishes one event, until its publisher is told of it.
func (p *Poster) Publish(ctx context.Context, token string) {
	p.Ledger.Try(token)
	for ctx.Err() == nil {
		cursor, err := p.post(ctx, token)
		if err == nil {
			p.Ledger.Told(token, cursor)
			return
		}
		if p.Once {
			return
		}
		rest(ctx, time.Duration(float64(30*time.Millisecond)*p.Chance.ExpFloat64()))
	}
}

func (p *Poster) post(ctx context.Context, token string) (string, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.Base+"/"+p.Channel, bodyOf(Data(token)))
	if err != nil {
		return "", err
	}
	r.Header.Set("Content-Type", "application/json")
	if !p.Once {
		r.Header.Set("Comet-Id", token)
	}
	res, err := p.Client.Do(r)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return "", err
	}
	var a struct{ Cursor string }
	if err := json.Unmarshal(b, &a); err != nil || res.StatusCode != http.StatusOK || a.Cursor == "" {
		return "", fmt.Errorf("%s %q", res.Status, b)
	}
	return a.Cursor, nil
}

// bodyOf is a body that a client does not send twice by itself: whether it may is
// not for net/http to say.
func bodyOf(b []byte) io.Reader { return &onlyReader{b} }

type onlyReader struct{ b []byte }

func (r *onlyReader) Read(b []byte) (int, error) {
	if len(r.b) == 0 {
		return 0, io.EOF
	}
	n := copy(b, r.b)
	r.b = r.b[n:]
	return n, nil
}

// Writer publishes by lines.
type Writer struct {
	Channel, Name string
	// Dir is the round's.
	Dir    string
	Ledger *Ledger
	Chance *rand.Rand
	Pace   time.Duration
	// Calm is held for reading while lines are written.
	Calm *sync.RWMutex
	// Rotations is how often the file was rotated.
	Rotations int

	n    int
	last atomic.Pointer[string]
}

// Run appends until ctx ends, and rotates the file now and then, as logrotate does.
func (w *Writer) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		f, err := w.open()
		if err != nil {
			return err
		}
		first := Token(w.Channel, w.Name, w.n)
		for rotate := false; ctx.Err() == nil && !rotate; {
			// A file is to keep its name until it has been looked at.
			rotate = w.Chance.IntN(20) == 0 && w.Ledger.Heard(first) > 0
			if err = w.write(f, rotate); err != nil {
				return err
			}
			rest(ctx, time.Duration(float64(w.Pace)*w.Chance.ExpFloat64()))
		}
		if err := f.Close(); err != nil {
			return err
		}
	}
	return nil
}

// Once appends some lines more.
func (w *Writer) Once() error {
	f, err := w.open()
	if err != nil {
		return err
	}
	return errors.Join(w.write(f, false), f.Close())
}

func (w *Writer) open() (*os.File, error) {
	return os.OpenFile(filepath.Join(w.Dir, "lines", w.Channel+".jsonl"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
}

// write appends some lines at once, and now and then in two halves; with rotate, when the
// file has just lost its name. Who begins to watch in between knows nothing of the file.
func (w *Writer) write(f *os.File, rotate bool) error {
	w.Calm.RLock()
	defer w.Calm.RUnlock()
	if rotate {
		w.Rotations++
		if err := os.Rename(f.Name(), fmt.Sprintf("%s.%d", f.Name(), w.Rotations)); err != nil {
			return err
		}
	}
	var b []byte
	var tokens []string
	for range 1 + w.Chance.IntN(4) {
		token := Token(w.Channel, w.Name, w.n)
		w.Ledger.Try(token)
		tokens = append(tokens, token)
		b = append(append(b, Data(token)...), '\n')
		w.n++
	}
	half := 0
	if w.Chance.IntN(3) == 0 {
		half = w.Chance.IntN(len(b))
	}
	_, err := f.Write(b[:half])
	if half > 0 {
		time.Sleep(time.Duration(w.Chance.IntN(5)) * time.Millisecond)
	}
	_, err2 := f.Write(b[half:])
	for _, token := range tokens {
		w.Ledger.Told(token, "")
	}
	w.last.Store(&tokens[len(tokens)-1])
	return errors.Join(err, err2)
}

// Heard waits until somebody has heard of what was written last.
func (w *Writer) Heard(ctx context.Context) error {
	last := w.last.Load()
	if last == nil {
		return nil
	}
	return await(ctx, "nobody heard of the line "+*last, func() bool { return w.Ledger.Heard(*last) > 0 })
}

func rest(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// moment is how long a client rests before it asks again, by chance.
func moment(chance *rand.Rand) time.Duration {
	return time.Duration(float64(20*time.Millisecond) * (0.5 + chance.ExpFloat64()))
}

// await waits until a condition holds.
func await(ctx context.Context, what string, ok func() bool) error {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		case <-limit.C:
			return fmt.Errorf("%s after it was waited for %s", what, patience)
		}
	}
	return nil
}

// touch touches a file until now ends, now and then some times in a row, and waits
// until all have been told of the same, also of the last one. It returns how often it
// did.
func touch(now, all context.Context, file string, r *rand.Rand, listeners []*Listener) (touches int, err error) {
	newest := func() (string, bool) {
		_, first := listeners[0].state()
		for _, l := range listeners[1:] {
			if _, last := l.state(); last != first {
				return "", false
			}
		}
		return first, first != ""
	}
	before := ""
	for now.Err() == nil {
		for range 1 + max(0, r.IntN(6)-3) {
			at := time.Now()
			if err := os.Chtimes(file, at, at); err != nil {
				return touches, err
			}
			touches++
			rest(now, time.Duration(r.IntN(30))*time.Millisecond)
		}
		err := await(all, "not all were told of a touch", func() bool {
			last, same := newest()
			return same && last != before
		})
		if err != nil {
			return touches, err
		}
		before, _ = newest()
		rest(now, time.Duration(r.ExpFloat64()*float64(150*time.Millisecond)))
	}
	return touches, nil
}

// chat writes a message, now and then some in a row, until now ends, and waits until
// all have the last.
func chat(now, all context.Context, file string, r *rand.Rand, listeners []*Listener) error {
	for n := 0; now.Err() == nil; {
		token := ""
		for range 1 + max(0, r.IntN(6)-3) {
			token = Token("chat", "p", n)
			n++
			if err := os.WriteFile(file+".new", Data(token), 0o644); err != nil {
				return err
			}
			if err := os.Rename(file+".new", file); err != nil {
				return err
			}
			rest(now, time.Duration(r.IntN(30))*time.Millisecond)
		}
		for _, l := range listeners {
			err := await(all, l.Name+" was not told of the message "+token, func() bool {
				_, last := l.state()
				return last == token
			})
			if err != nil {
				return err
			}
		}
		rest(now, time.Duration(r.ExpFloat64()*float64(150*time.Millisecond)))
	}
	return nil
}

// ring sets one variable after the other until now ends, and waits until all have heard
// it.
func ring(now, all context.Context, client *http.Client, base string, variable func(int) string, begun *atomic.Int64, r *rand.Rand, listeners []*Listener) error {
	for n := 0; now.Err() == nil; n++ {
		begun.Store(int64(n))
		set := func() bool {
			q, err := http.NewRequestWithContext(all, http.MethodPost, base+"/doorbell/"+variable(n), nil)
			if err != nil {
				panic(err)
			}
			res, err := client.Do(q)
			if err != nil {
				return false
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			return res.StatusCode < 300
		}
		for !set() && all.Err() == nil {
			rest(all, 30*time.Millisecond)
		}
		asked := time.Now()
		for _, l := range listeners {
			err := await(all, l.Name+" never heard "+variable(n), func() bool {
				if time.Since(asked) > 3*time.Second { // a restart forgets them
					asked = time.Now()
					set()
				}
				times, _ := l.state()
				return times > n
			})
			if err != nil {
				return err
			}
		}
		rest(now, time.Duration(r.ExpFloat64()*float64(100*time.Millisecond)))
	}
	return nil
}
