package caddymodule

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// follower polls a channel with the cursor of the last answer, as a client must,
// and keeps what it got. An error is a lost answer: it asks again.
type follower struct {
	url    string
	cursor string
	got    []string
	gaps   int
	lost   int
}

func (f *follower) follow(until string) {
	for end := time.Now().Add(3 * deadline); time.Now().Before(end); {
		a := get(f.url + "?since=" + f.cursor)
		if a.err != nil || a.status != 200 {
			f.lost++
			continue
		}
		var p poll
		if err := json.Unmarshal([]byte(a.body), &p); err != nil {
			f.lost++
			continue
		}
		if p.Gap {
			f.gaps++
		}
		for _, e := range p.Events {
			data := strings.Trim(string(e.Data), `"`)
			f.got = append(f.got, data)
			if data == until {
				return
			}
		}
		f.cursor = p.Cursor
	}
}

// TestReloadsLoseNothing: 200 polls and some streams are held, one reload after
// the other comes, and events between them. Every held poll is answered by its
// event; who follows by cursors gets every event once and in order.
func TestReloadsLoseNothing(t *testing.T) {
	s := start(t, "", simple)
	name, waited, streamed := unique("reloaded"), unique("waited"), unique("streamed")
	begin := s.must(name, "first")

	polls := make([]<-chan answer, 200)
	for i := range polls {
		polls[i] = holding("http://" + s.site + "/comet/" + waited)
	}
	streams := make([]*bufio.Scanner, 5)
	for i := range streams {
		streams[i] = stream(t, "http://"+s.site+"/comet/"+streamed+"?as=sse")
	}
	held(t, defaultHub, waited, len(polls))
	held(t, defaultHub, streamed, len(streams))

	const reloads, events = 8, 200
	followers := make([]*follower, 6)
	var wg sync.WaitGroup
	for i := range followers {
		followers[i] = &follower{url: "http://" + s.site + "/comet/" + name, cursor: begin}
		wg.Go(func() { followers[i].follow("last") })
	}
	admin := "http://127.0.0.1/comet/default/" + name
	var published atomic.Int64
	wg.Go(func() {
		for n := range events {
			// By a retry with an ID, as a publisher does that must not lose: the
			// reload may take its connection.
			for send(s.admin(), "POST", admin, strconv.Itoa(n), "Comet-Id", strconv.Itoa(n)).status != 200 {
			}
			published.Store(int64(n))
		}
	})
	for i := range reloads {
		s.reload(fmt.Sprintf("comet {\nhold %ds\n}", 20+i), simple)
		target := int64((i + 1) * events / reloads)
		eventually(t, "events between the reloads", func() bool { return published.Load()+1 >= target })
	}
	held(t, defaultHub, waited, len(polls)) // nobody was dropped
	s.must(waited, "at last")
	s.must(streamed, "at last")
	for i := range polls {
		if got := receive(t, polls[i]).poll(t); len(got.Events) != 1 || got.Gap {
			t.Fatalf("poll %d got %+v", i, got)
		}
	}
	for _, lines := range streams {
		goodEnd(t, lines, "data: at last")
	}
	s.must(name, "last")
	wg.Wait()
	for i, f := range followers {
		want := make([]string, 0, events+1)
		for n := range events {
			want = append(want, strconv.Itoa(n))
		}
		if got, want := strings.Join(f.got, " "), strings.Join(append(want, "last"), " "); got != want || f.gaps > 0 {
			t.Errorf("follower %d (%d answers lost, %d gaps) got %s", i, f.lost, f.gaps, got)
		}
	}
}

// stream opens a stream and returns its lines.
func stream(t *testing.T, url string) *bufio.Scanner {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	r, _ := http.NewRequestWithContext(ctx, "GET", url, nil)
	res, err := plain.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return bufio.NewScanner(res.Body)
}

// goodEnd reads a stream that a reload has retired: its end comes at a random
// time within a minute. Up to then it has the events, and it ends with when and
// from where to come back.
func goodEnd(t *testing.T, lines *bufio.Scanner, want string) {
	t.Helper()
	result := make(chan string, 1)
	go func() {
		var last []string
		for lines.Scan() {
			if lines.Text() == want {
				result <- ""
				return
			}
			last = append(last, lines.Text())
		}
		result <- strings.Join(last[max(0, len(last)-3):], "|")
	}()
	if end := receive(t, result); end != "" && (!strings.HasPrefix(end, "retry: ") || !strings.Contains(end, "|id: ")) {
		t.Fatalf("the stream ended with %q", end)
	}
}

// TestAReloadPutsItsLimitsInForce and the next one takes them back.
func TestAReloadPutsItsLimitsInForce(t *testing.T) {
	hub := unique("limited")
	sites := "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub " + hub + "\n}\n}"
	s := start(t, "comet {\nhub "+hub+" {\nmax_holds 1\n}\n}", sites)
	first := holding("http://" + s.site + "/comet/a")
	held(t, hub, "a", 1)
	get("http://"+s.site+"/comet/a").wants(t, 503, "the limit is 1; raise max_holds")
	s.reload("comet {\nhub "+hub+" {\nmax_holds 2\nmax_event 10\nhistory 3 1m\n}\n}", sites)
	second := holding("http://" + s.site + "/comet/a")
	held(t, hub, "a", 2)
	h, _ := findHub(hub)
	if l := h.Limits(); l.EventBytes != 10 || l.HistoryCount != 3 || l.HistoryAge != time.Minute {
		t.Errorf("limits %+v", l)
	}
	send(s.admin(), "POST", "http://127.0.0.1/comet/"+hub+"/a", "01234567890").wants(t, 413, "10 bytes")
	send(s.admin(), "POST", "http://127.0.0.1/comet/"+hub+"/a", "0123456789").wants(t, 200, `"receivers":2`)
	receive(t, first).poll(t)
	receive(t, second).poll(t)
}

// TestLinesKeepTheirPlaceOverReloads: a file is appended to while one
// configuration follows the other; each line is one event.
func TestLinesKeepTheirPlaceOverReloads(t *testing.T) {
	hub := unique("lines")
	globals := "comet {\nhub " + hub + " {\nhistory 5000 10m 16MiB\nwatch DIR/*.jsonl lines\n}\n}"
	sites := "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\nhub " + hub + "\n}\n}"
	s := newServer(t)
	f, err := os.OpenFile(s.dir+"/log.jsonl", os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s.reload(globals, sites)
	begin := get("http://" + s.site + "/comet/log?since=").poll(t).Cursor
	const reloads, lines = 10, 2000
	done := make(chan struct{})
	var written atomic.Int64
	go func() {
		defer close(done)
		for n := range lines {
			fmt.Fprintf(f, "%d\n", n)
			written.Store(int64(n))
			if n%20 == 19 {
				time.Sleep(time.Millisecond) // leaves some for each reload; nothing depends on it
			}
		}
		fmt.Fprintln(f, "end")
	}()
	for i := range reloads {
		eventually(t, "lines between the reloads", func() bool { return written.Load() >= int64(i*lines/reloads/2) })
		s.reload(globals, sites)
	}
	<-done
	follower := &follower{url: "http://" + s.site + "/comet/log", cursor: begin}
	follower.follow("end")
	if len(follower.got) != lines+1 || follower.gaps > 0 {
		t.Fatalf("%d events of %d, %d gaps", len(follower.got), lines+1, follower.gaps)
	}
	for n := range lines {
		if follower.got[n] != strconv.Itoa(n) {
			t.Fatalf("event %d is %q", n, follower.got[n])
		}
	}
}
