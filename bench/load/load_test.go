//go:build linux

package load

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// stub is a server that holds polls until an event is posted, and then does to
// each what its channel's number says.
type stub struct {
	mu      sync.Mutex
	waiting []net.Conn
	held    chan struct{}
}

// serve returns the address at which the stub listens.
func serve(t *testing.T) (*stub, string) {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	s := &stub{held: make(chan struct{}, 100)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go s.converse(c)
		}
	}()
	return s, l.Addr().String()
}

func (s *stub) converse(c net.Conn) {
	defer c.Close()
	for r := bufio.NewReader(c); ; {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		if req.Method == http.MethodGet {
			s.mu.Lock()
			s.waiting = append(s.waiting, c)
			s.mu.Unlock()
			s.held <- struct{}{}
			continue
		}
		data := make([]byte, req.ContentLength)
		if _, err := r.Read(data); err != nil {
			return
		}
		fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
		s.answer(string(data))
	}
}

// answer ends all polls: the third with another event, the fourth by closing,
// and all others well, in two parts.
func (s *stub) answer(data string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.waiting {
		body := fmt.Sprintf(`{"cursor":"a.1","events":[{"data":%s}]}`, data)
		switch i {
		case 2:
			body = strings.Replace(body, `"n":1,`, `"n":7,`, 1)
		case 3:
			c.Close()
			continue
		}
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(body), body[:9])
		time.Sleep(time.Millisecond) // so that it is two segments, which nobody can wait for
		fmt.Fprint(c, body[9:])
	}
}

// TestWhatIsNoAnswerIsCounted: a benchmark that did not notice would be fast.
func TestWhatIsNoAnswerIsCounted(t *testing.T) {
	s, address := serve(t)
	l := new(Load)
	if err := l.Aim(Target{Site: address, Publish: address, Dialect: "native", Channels: 1, Network: 200}, nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close(Nothing{}, nil) }()
	var r Report
	for range 6 { // one by one: the stub counts them
		if err := l.Open(1, &r); err != nil {
			t.Fatal(err)
		}
		<-s.held
	}
	if err := l.Publish(Nothing{}, &r); err != nil {
		t.Fatal(err)
	}
	if r.Answers != 4 || r.Failed != 1 || r.Closed != 1 || r.Missed != 0 || r.Trouble == "" || r.Last <= 0 {
		t.Errorf("got %+v", r)
	}
	for _, c := range l.conns {
		if !c.closed && c.cursor != "a.1" {
			t.Errorf("connection %d would ask with %q", c.index, c.cursor)
		}
	}
}

// TestALateAnswerIsLateAndNotMissed: its channel's next event waits for it, and so does
// what is due after that, whose times say so.
func TestALateAnswerIsLateAndNotMissed(t *testing.T) {
	const late = 100 * time.Millisecond
	event := make(chan string, 100)
	var first sync.Once
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			data, _ := io.ReadAll(r.Body)
			event <- string(data)
			return
		}
		select {
		case data := <-event:
			first.Do(func() { time.Sleep(late) })
			fmt.Fprintf(w, `{"cursor":"a.1","events":[{"data":%s}]}`, data)
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	l, address := new(Load), server.Listener.Addr().String()
	if err := l.Aim(Target{Site: address, Publish: address, Dialect: "native", Channels: 1, Network: 202}, nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close(Nothing{}, nil) }()
	var r Report
	if err := l.Open(1, &r); err != nil {
		t.Fatal(err)
	}
	if err := l.Paced(Pace{PerSecond: 100, For: 5 * late}, &r); err != nil {
		t.Fatal(err)
	}
	if r.Bad() || r.Answers == 0 || r.Last < late {
		t.Errorf("got %+v", r)
	}
}

// TestAnswersAreCutWhereTheyEnd in whatever parts they come.
func TestAnswersAreCutWhereTheyEnd(t *testing.T) {
	for name, c := range map[string]struct {
		target Target
		text   string
		want   []string // of bodies
	}{
		"polls": {Target{}, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", []string{"abc", ""}},
		"a stream": {Target{Streams: true}, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hi\n\nid: 1\ndata: x\n\nid: 2\n\n",
			[]string{"", ": hi", "id: 1\ndata: x", "id: 2"}},
		"a stream in chunks": {Target{Streams: true}, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\n: hi\n\n\r\n9\r\ndata: x\n\n\r\n",
			[]string{"", "6\r\n: hi", "\r\n9\r\ndata: x"}},
		"a WebSocket": {Target{Streams: true, Sockets: true}, "HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\x02{}\x89\x00\x81\x7e\x00\x80" + strings.Repeat("x", 128),
			[]string{"", "{}", "", strings.Repeat("x", 128)}},
	} {
		for size := 1; size <= len(c.text); size++ {
			l, visitor := &Load{target: c.target}, new(conn)
			var got []string
			for text := c.text; text != ""; text = text[min(size, len(text)):] {
				l.cut(visitor, []byte(text[:min(size, len(text))]), func(_ *conn, a answer, _ time.Time) { got = append(got, string(a.body)) })
			}
			if strings.Join(got, "|") != strings.Join(c.want, "|") {
				t.Fatalf("%s in parts of %d: %q", name, size, got)
			}
		}
	}
}

// TestNchanIsAskedWithWhatItGave, the second and the tag.
func TestNchanIsAskedWithWhatItGave(t *testing.T) {
	a, _, _ := cutAnswer([]byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nLast-Modified: Sat, 21 Nov 2026 15:05:04 GMT\r\nEtag: 3\r\n\r\n"))
	want := "GET /comet/c5 HTTP/1.1\r\nIf-Modified-Since: Sat, 21 Nov 2026 15:05:04 GMT\r\nIf-None-Match: 3\r\n"
	if got := string(askNchan(nil, 5, cursorNchan(a))); got != want {
		t.Errorf("got %q", got)
	}
}

func TestQuantiles(t *testing.T) {
	var times []time.Duration
	for i := range 101 {
		times = append(times, time.Duration(100-i))
	}
	if median, p99, last := quantiles(times); median != 50 || p99 != 99 || last != 100 {
		t.Errorf("got %d, %d, %d", median, p99, last)
	}
	if median, p99, last := quantiles(nil); median != 0 || p99 != 0 || last != 0 {
		t.Errorf("of none: %d, %d, %d", median, p99, last)
	}
}

// TestVisitorsShareAConnectionOfHTTP2, and each gets its own answer.
func TestVisitorsShareAConnectionOfHTTP2(t *testing.T) {
	asked, event := make(chan string, 100), make(chan string)
	site := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- fmt.Sprint(r.Proto, " ", r.RemoteAddr, " ", r.RequestURI, " ", r.Header.Get("Cookie"))
		data, ok := <-event
		if !ok {
			panic(http.ErrAbortHandler)
		}
		fmt.Fprintf(w, `{"cursor":"of %s","events":[{"data":%s}]}`, r.URL.Path, data)
	}))
	site.EnableHTTP2 = true
	site.StartTLS()
	defer site.Close()
	publish := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		data, _ := io.ReadAll(r.Body)
		for range 3 {
			event <- string(data)
		}
	}))
	defer publish.Close()
	l := new(Load)
	target := Target{Site: site.Listener.Addr().String(), Publish: publish.Listener.Addr().String(),
		Dialect: "native", Channels: 2, Secure: true, Share: 3, Network: 201}
	if err := l.Aim(target, nil); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close(Nothing{}, nil) }()
	var r Report
	if err := l.Open(6, &r); err != nil || r.Bad() || r.Suite == "" {
		t.Fatal(r, err)
	}
	from, asks := map[string]int{}, map[string]int{}
	for range 6 {
		words := strings.Fields(<-asked)
		from[words[1]]++
		asks[words[0]+" "+words[2]]++
	}
	if len(from) != 2 || asks["HTTP/2.0 /comet/c0?since=now"] != 3 || asks["HTTP/2.0 /comet/c1?since=now"] != 3 {
		t.Errorf("from %v: %v", from, asks)
	}
	if err := l.Publish(Nothing{}, &r); err != nil || r.Bad() || r.Answers != 6 {
		t.Fatalf("%+v, %v", r, err)
	}
	for i, c := range l.conns {
		if want := fmt.Sprintf("of /comet/c%d", i%2); c.cursor != want {
			t.Errorf("visitor %d goes on from %q", i, c.cursor)
		}
	}
	if err := l.Again(Nothing{}, &r); err != nil || r.Bad() {
		t.Fatal(r, err)
	}
	for range 6 {
		<-asked
	}
	close(event) // a stream that breaks off ends all visitors of its connection
	for deadline := time.Now().Add(patience); l.report.Closed < 6 && time.Now().Before(deadline); {
		if err := l.turn(func(*conn, answer, time.Time) {}); err != nil {
			t.Fatal(err)
		}
	}
	if l.report.Closed != 6 || l.waiting() != 0 {
		t.Errorf("%+v, %d wait", l.report, l.waiting())
	}
}
