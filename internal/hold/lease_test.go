package hold

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// where is the position of these tests' requests.
type where struct{}

func (where) Param() string              { return "since" }
func (where) Noise(param, _ string) bool { return param == "_" }
func (where) Since(value string) (hub.Since, bool) {
	c, err := hub.ParseCursor(value)
	return hub.After(c), err == nil
}

const leased = "GET /comet/a,b?wait=20&since=%s&_=%s HTTP/1.1\r\nHost: shop.example\r\nCookie: a=b; c=d\r\nAccept: */*\r\n\r\n"

func leaseOf(t *testing.T, head string) (*lease, chan struct{}) {
	t.Helper()
	void := make(chan struct{})
	h := &Hold{Answer: onceAnswer{}}
	l := h.learn([]byte(head), &Lease{For: time.Minute, Position: where{}, Void: void})
	if l == nil {
		t.Fatalf("no lease of %q", head)
	}
	return l, void
}

// onceAnswer is of a poll; nothing else of it is asked.
type onceAnswer struct{ Answer }

func (onceAnswer) Stream() bool  { return false }
func (onceAnswer) Patient() bool { return false }

func covers(l *lease, head string) bool {
	_, ok := l.covers([]byte(head))
	return ok
}

// A lease is no longer than the right to listen.
func TestALeaseEndsWithTheRight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		head := fmt.Sprintf(leased, "z009.42", "1")
		for _, left := range []time.Duration{10 * time.Second, time.Hour} {
			h := &Hold{Answer: onceAnswer{}, Who: &hub.Who{Expires: time.Now().Add(left)}}
			l := h.learn([]byte(head), &Lease{For: time.Minute, Position: where{}})
			time.Sleep(min(left, time.Minute) - time.Second)
			if !covers(l, head) {
				t.Errorf("%v: it ends too early", left)
			}
			time.Sleep(time.Second)
			if covers(l, head) {
				t.Errorf("%v: it goes on", left)
			}
		}
	})
}

func TestALeaseCoversAnyPosition(t *testing.T) {
	l, _ := leaseOf(t, fmt.Sprintf(leased, "z009.42", "1"))
	for _, next := range []string{"z009.43", "z00a.1", "z009.42", "z009.18446744073709551615"} {
		if !covers(l, fmt.Sprintf(leased, next, "123456")) {
			t.Errorf("%s is not covered", next)
		}
	}
	for _, other := range []string{"", "now", "all", "z009.4%32", "z009", strings.Repeat("9", 1000)} {
		if covers(l, fmt.Sprintf(leased, other, "1")) {
			t.Errorf("%s is covered", other)
		}
	}
}

// Whatever differs by one byte outside the position and the noise goes the long
// way; inside, it is another position, or none.
func TestWhateverElseDiffersGoesTheLongWay(t *testing.T) {
	const noise = "17"
	head := fmt.Sprintf(leased, "z009.42", noise)
	l, _ := leaseOf(t, head)
	begin := strings.Index(head, "z009.42")
	end := strings.Index(head, noise+" HTTP") + len(noise)
	inside := func(i int) bool {
		return i >= begin && i < begin+len("z009.42") || i >= end-len(noise) && i < end
	}
	for i := range head {
		for b := range 256 {
			changed := []byte(head)
			changed[i] = byte(b)
			if string(changed) != head && !inside(i) && covers(l, string(changed)) {
				t.Fatalf("%q is covered", changed)
			}
			added := head[:i] + string([]byte{byte(b)}) + head[i:]
			alsoInside := inside(i) || i == begin+len("z009.42") || i == end || added == head[:i+1]+string([]byte{byte(b)})+head[i+1:]
			if !alsoInside && covers(l, added) {
				t.Fatalf("%q is covered", added)
			}
		}
		if removed := head[:i] + head[i+1:]; !inside(i) && covers(l, removed) {
			t.Fatalf("%q is covered", removed)
		}
	}
}

func TestTwoRequestsAreNeverCovered(t *testing.T) {
	head := fmt.Sprintf(leased, "z009.42", "1")
	l, _ := leaseOf(t, head)
	other := "GET / HTTP/1.1\r\nHost: x\r\n\r\n"
	for _, b := range []string{
		head + head, head + other, other + head, head + "G", head[:len(head)-1], head[1:],
		strings.ReplaceAll(head, "\r\n", "\n"), head + "\r\n",
		strings.Replace(head, "\r\nHost", "\nHost", 1),
		strings.Replace(head, "since=", "since=z009.1&since=", 1), strings.Replace(head, "GET", "HEAD", 1),
	} {
		if covers(l, b) {
			t.Errorf("%q is covered", b)
		}
		h := &Hold{Answer: onceAnswer{}}
		if l := h.learn([]byte(b), &Lease{For: time.Minute, Position: where{}}); l != nil {
			t.Errorf("a lease of %q", b)
		}
	}
}

func TestALeaseEndsWithItsTimeAndWithTheConfiguration(t *testing.T) {
	head := fmt.Sprintf(leased, "z009.42", "1")
	synctest.Test(t, func(t *testing.T) {
		l, _ := leaseOf(t, head)
		time.Sleep(time.Minute - time.Nanosecond)
		if !covers(l, head) {
			t.Error("it ended early")
		}
		time.Sleep(time.Nanosecond)
		if covers(l, head) {
			t.Error("it did not end")
		}
	})
	l, void := leaseOf(t, head)
	close(void)
	if covers(l, head) {
		t.Error("it outlived the configuration")
	}
	l.until = park.Now()
	if l = nil; covers(l, head) {
		t.Error("none covers")
	}
}

func TestWhoWaitsForEverHasNoLease(t *testing.T) {
	head := []byte(fmt.Sprintf(leased, "z009.42", "1"))
	terms := &Lease{For: time.Minute, Position: where{}}
	for _, h := range []*Hold{{Answer: kind{stream: true}}, {Answer: kind{patient: true}}} {
		if h.learn(head, terms) != nil {
			t.Errorf("%+v has one", h.Answer)
		}
	}
	if h := (&Hold{Answer: onceAnswer{}}); h.learn(nil, terms) != nil || h.learn(head, nil) != nil {
		t.Error("of nothing there is one")
	}
}

type kind struct {
	Answer
	stream, patient bool
}

func (k kind) Stream() bool  { return k.stream }
func (k kind) Patient() bool { return k.patient }

// FuzzLikeness holds that two requests which are alike differ in nothing but the
// values of the position and of the noise.
func FuzzLikeness(f *testing.F) {
	head := fmt.Sprintf(leased, "z009.42", "1")
	f.Add([]byte(head), []byte(fmt.Sprintf(leased, "z009.43", "")))
	f.Add([]byte(head), []byte(head+head))
	f.Add([]byte("GET /?since=&_ HTTP/1.1\r\n\r\n"), []byte("GET /?_&since= HTTP/1.1\r\n\r\n"))
	strip := func(head []byte) string {
		target := bytes.Fields(head)[1]
		path, query, _ := bytes.Cut(target, []byte("?"))
		params := bytes.Split(query, []byte("&"))
		for i, p := range params {
			if name, _, _ := bytes.Cut(p, []byte("=")); string(name) == "since" || string(name) == "_" {
				params[i] = name
			}
		}
		stripped := append(append(bytes.Clone(path), '?'), bytes.Join(params, []byte("&"))...)
		return strings.Replace(string(head), string(target), string(stripped), 1)
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		one, _, ok := likeness(a, where{})
		two, _, too := likeness(b, where{})
		if ok && too && (one == two) != (strip(a) == strip(b)) {
			t.Errorf("%q and %q: alike is %v", a, b, one == two)
		}
		if ok && bytes.Count(a, []byte("\r\n\r\n")) != 1 {
			t.Errorf("%q is not one request", a)
		}
	})
}

func TestLikenessOfManyRequests(t *testing.T) {
	values := []string{"z009.1", "z009.2"}
	seen := make(map[uint64]string)
	for range 2000 {
		target := "/comet/" + string(rune('a'+rand.IntN(3))) + "?since=" + values[rand.IntN(2)]
		if rand.IntN(2) == 0 {
			target += "&x=" + values[rand.IntN(2)]
		}
		head := "GET " + target + " HTTP/1.1\r\nHost: " + values[rand.IntN(2)] + "\r\n\r\n"
		same, position, ok := likeness([]byte(head), where{})
		if !ok {
			t.Fatalf("%q has none", head)
		}
		without := strings.Replace(head, "since="+string(position), "since=", 1)
		if earlier, known := seen[same]; known && earlier != without {
			t.Fatalf("%q and %q are alike", earlier, without)
		}
		seen[same] = without
	}
}
