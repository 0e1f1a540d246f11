package doctor

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// beat is one event of the doctor's: when it was published and when it arrived, zero
// for never.
type beat struct{ sent, got time.Time }

const (
	// beats are published, one each beatTime.
	beats    = 5
	beatTime = 200 * time.Millisecond
	// grace is how long is waited for what has not arrived when the last is published.
	grace = 3 * time.Second
	// uneven is by how much the slowest may differ from the quickest.
	uneven = 500 * time.Millisecond
)

// Streaming publishes events to itself, and sees when they arrive.
func (o *Outside) Streaming(hub string) Finding {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	before := 0
	if o.pass != "" {
		before = len(o.arrivals())
	}
	var (
		mu     sync.Mutex
		seen   [beats]beat
		header http.Header
		begun  = make(chan struct{})
		all    = make(chan struct{})
	)
	go func() {
		r := o.request(ctx, "")
		r.Header.Set("Accept", "text/event-stream")
		res, err := o.Client.Do(r)
		if err != nil {
			return
		}
		defer res.Body.Close()
		mu.Lock()
		header = res.Header
		mu.Unlock()
		lines, left := bufio.NewScanner(res.Body), beats
		first := sync.OnceFunc(func() { close(begun) })
		for lines.Scan() {
			first()
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			i, err := strconv.Atoi(data)
			if !ok || err != nil || i < 0 || i >= beats {
				continue
			}
			mu.Lock()
			if seen[i].got.IsZero() {
				seen[i].got = time.Now()
				left--
			}
			mu.Unlock()
			if left == 0 {
				close(all)
				return
			}
		}
	}()
	if o.pass == "" {
		select {
		case <-begun:
			return unknown("streaming", "sudo caddy-comet comet doctor "+o.shown()+"   # on the server itself, which publishes the events", "a stream begins at once; whether events arrive as they happen is not known without the admin endpoint")
		case <-time.After(grace):
			return heldBack.found(o.culprit(header).flush, o.by(header), "not even the stream's beginning came within "+grace.String())
		}
	}
	if err := o.publishBeats(hub, func(i int) {
		mu.Lock()
		defer mu.Unlock()
		seen[i].sent = time.Now()
	}); err != nil {
		return unknown("streaming", "", "the events cannot be published: %s", err)
	}
	select {
	case <-all:
	case <-time.After(grace):
	}
	mu.Lock()
	defer mu.Unlock()
	if header != nil && seen[0].got.IsZero() && len(o.arrivals()) <= before {
		return twoServers.found("ss -ltnp 'sport = :"+portOf(hostPort(o.URL))+"'   # do two processes listen there, or does a load balancer choose between two?", o.shown(), o.Address)
	}
	if header == nil {
		header = o.header
	}
	return judge(seen[:], o.by(header), o.culprit(header).flush)
}

// publishBeats publishes on our channel once we wait there.
func (o *Outside) publishBeats(hub string, sent func(i int)) error {
	uri := channelURI(hub, o.pass)
	for end := time.Now().Add(grace); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var info tailed
		if _ = o.Admin.Do(http.MethodGet, uri, nil, nil, &info); info.Held > 0 {
			break
		}
	}
	for i := range beats {
		if i > 0 {
			time.Sleep(beatTime)
		}
		sent(i)
		header := http.Header{"Content-Type": {"text/plain"}}
		if err := o.Admin.Do(http.MethodPost, uri, header, strings.NewReader(strconv.Itoa(i)), new(tailed)); err != nil {
			return err
		}
	}
	return nil
}

// judge says from the times whether something kept events back. via names who, and
// cure is what to type against it.
func judge(seen []beat, via, cure string) Finding {
	var (
		arrived        int
		quick, slow    time.Duration
		first, last    time.Time
		begins, stands = seen[0].sent, seen[len(seen)-1].sent
	)
	for _, b := range seen {
		if b.got.IsZero() {
			continue
		}
		took := b.got.Sub(b.sent)
		if arrived == 0 {
			quick, slow, first, last = took, took, b.got, b.got
		}
		arrived++
		quick, slow = min(quick, took), max(slow, took)
		if b.got.Before(first) {
			first = b.got
		}
		if b.got.After(last) {
			last = b.got
		}
	}
	switch spread := stands.Sub(begins); {
	case arrived == 0:
		return heldBack.found(cure, via, "none came while the stream was open")
	case arrived < len(seen):
		return heldBack.found(cure, via, fmt.Sprintf("only %d came while the stream was open", arrived))
	case first.After(stands) && last.Sub(first) < spread/2:
		return heldBack.found(cure, via, fmt.Sprintf("all came within %s, %s after the first was published", round(last.Sub(first)), round(first.Sub(begins))))
	case slow-quick > uneven:
		return late.found(cure, round(slow), round(quick))
	}
	return fine("streaming", "5 events 200 ms apart arrived one by one, %s to %s after they were published", round(quick), round(slow))
}

// culprit is what keeps events back, as far as an answer says so.
func (o *Outside) culprit(h http.Header) proxy {
	if h == nil {
		h = o.header
	}
	return proxyOf(h)
}

func (o *Outside) by(h http.Header) string {
	if h == nil {
		h = o.header
	}
	if name, ok := known(h); ok {
		return " by " + name
	}
	return ""
}

// Silence asks for something that does not happen, and sees whether anything cuts the
// request before its time is over.
func (o *Outside) Silence(hub string) Finding {
	longest := silence(o.Facts, hub)
	ctx, cancel := context.WithTimeout(context.Background(), o.Wait+patience)
	defer cancel()
	began := time.Now()
	got, err := o.get(ctx, fmt.Sprintf("wait=%d", int(o.Wait.Seconds())))
	took := time.Since(began)
	if err == nil && ours(got) {
		return silent(took, longest, o.shown())
	}
	how, header := "", o.header
	if err != nil {
		how = cause(err)
	} else {
		how, header = fmt.Sprintf("%d %s", got.status, http.StatusText(got.status)), got.header
	}
	return cut.found(proxyOf(header).patience+"\nhold "+shorter(took)+"   # in the global comet options, where that cannot be changed", took.Round(100*time.Millisecond), how, longest)
}

// silent says what it is worth that so long a silence was not cut.
func silent(took, longest time.Duration, address string) Finding {
	if took >= longest {
		return fine("silence", "a request that was silent for %s was not cut; polls are silent for up to %s", took.Round(time.Second), longest)
	}
	return unknown("silence", fmt.Sprintf("caddy-comet comet doctor --wait %s %s", (longest+5*time.Second).Round(time.Second), address),
		"nothing cuts a request that is silent for %s; polls are silent for up to %s", took.Round(time.Second), longest)
}

// shorter is a hold that ends before a silence of that length is cut, whatever its
// jitter.
func shorter(cutAfter time.Duration) string {
	return max(time.Second, (cutAfter * 2 / 3).Truncate(time.Second)).String()
}
