//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// sleepTime is NovComet's: its JavaScript waits so long after an answer before it asks again.
	sleepTime = time.Second
	// stay ends visitors of a demo that somebody left open.
	stay = 10 * time.Minute
)

// alerts are what every visitor listens to, as public/novcomet.php does.
var alerts = []string{"customAlert", "customAlert2"}

// side is one of the two sites, and who visits it.
type side struct {
	base   string
	room   int // the most visitors it may have
	client *http.Client

	waiting atomic.Int64 // polls sent and not yet answered

	mu       sync.Mutex
	visitors map[int]context.CancelFunc
	nextID   int
	woken    wave
}

// wave is what one publish sets off: the answers to all held polls come close together, and the next publish is later.
type wave struct {
	Count int       `json:"count"` // held polls that were answered
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	Later int       `json:"later"` // visitors who were between two polls, and heard it with the next

	end time.Time
}

// A wave ends where no visitor was told anything for this long. It is less than a visitor's pause between two polls.
const waveGap = 500 * time.Millisecond

// add counts an answer that came now to a poll sent at asked. Times must come in order.
func (w *wave) add(asked, now time.Time) {
	if now.Sub(w.end) > waveGap {
		*w = wave{First: now, Last: now}
	}
	w.end = now
	if asked.After(w.First) {
		w.Later++
		return
	}
	w.Count++
	w.Last = now
}

func newSide(base string, room int) *side {
	return &side{
		base:     base,
		room:     room,
		visitors: map[int]context.CancelFunc{},
		client: &http.Client{Transport: &http.Transport{
			DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
			MaxIdleConnsPerHost: room, // a browser keeps its connection between two polls, so does a visitor
			DisableCompression:  true,
			ReadBufferSize:      1 << 10,
			WriteBufferSize:     1 << 10,
		}},
	}
}

// add lets up to n more visitors in, over the next second as a crowd would come, until the side is full.
func (s *side) add(ctx context.Context, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for range min(n, s.room-len(s.visitors)) {
		id := s.nextID
		s.nextID++
		visit, leave := context.WithTimeout(ctx, stay)
		s.visitors[id] = leave
		go func() {
			defer s.leave(id)
			if sleep(visit, rand.N(time.Second)) {
				s.visit(visit)
			}
		}()
	}
}

func (s *side) leave(id int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if leave, here := s.visitors[id]; here {
		leave()
		delete(s.visitors, id)
	}
}

func (s *side) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, leave := range s.visitors {
		leave()
		delete(s.visitors, id)
	}
	s.woken = wave{}
}

// port is where the page finds this side, on whatever name it was opened by.
func (s *side) port() string {
	base, err := url.Parse(s.base)
	if err != nil {
		return ""
	}
	return base.Port()
}

func (s *side) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.visitors)
}

func (s *side) lastWave() *wave {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.woken.Count == 0 {
		return nil
	}
	w := s.woken
	return &w
}

// visit does what public/NovComet.js does: poll, pause, poll again, whatever the answer was.
func (s *side) visit(ctx context.Context) {
	since := map[string]int64{}
	for _, name := range alerts {
		since[name] = time.Now().Unix()
	}
	for ctx.Err() == nil {
		asked := time.Now()
		if told, err := s.poll(ctx, since); err == nil && told {
			s.mu.Lock()
			s.woken.add(asked, time.Now())
			s.mu.Unlock()
		}
		sleep(ctx, sleepTime)
	}
}

// poll asks once, notes the new times in since, and reports whether anything happened.
func (s *side) poll(ctx context.Context, since map[string]int64) (told bool, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.base+"/comet.php?"+pollQuery(since, time.Now()), nil)
	if err != nil {
		return false, err
	}
	s.waiting.Add(1)
	defer s.waiting.Add(-1)
	response, err := s.client.Do(request)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return false, err
	}
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("poll answered %s", response.Status)
	}
	changed, err := readAnswer(body)
	for name, stamp := range changed {
		since[name] = stamp
	}
	return len(changed) > 0, err
}

// pollQuery is the query as NovComet's JavaScript writes it, odd ampersands, bare brackets and closing number included.
func pollQuery(since map[string]int64, now time.Time) string {
	var q strings.Builder
	for _, name := range alerts {
		if stamp, ok := since[name]; ok {
			fmt.Fprintf(&q, "&subscribed[%s]=%d", name, stamp)
		}
	}
	q.WriteString("&" + strconv.FormatInt(now.Unix(), 10))
	return q.String()
}

// readAnswer gives the names that changed, with their times: none after a poll in which nothing happened.
func readAnswer(body []byte) (map[string]int64, error) {
	var answer struct {
		S int              `json:"s"`
		K map[string]int64 `json:"k"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, fmt.Errorf("poll's answer is not NovComet's: %w", err)
	}
	if answer.S == 0 {
		return nil, nil
	}
	return answer.K, nil
}

// sleep reports whether it slept to the end.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
