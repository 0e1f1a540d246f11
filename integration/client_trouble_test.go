package integration

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// TestPollsTakeOverWhereNginxHoldsStreamsBack, by itself and without a loss. nginx has
// its defaults, HTTP/1.0 behind it and buffers, and is told not to obey us. (With 1.1
// each chunk would go through by itself.)
func TestPollsTakeOverWhereNginxHoldsStreamsBack(t *testing.T) {
	s := newLive(t).start(t)
	front := port(t)
	nginx(t, s.dir, front, "", fmt.Sprintf(`location / {
	proxy_pass %s;
	proxy_set_header Host $http_host;
	proxy_buffering on;
	proxy_ignore_headers X-Accel-Buffering;
}`, s.base))
	_, body := get(t, s.base+"/comet/x?since=")
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	behind := &live{base: "http://127.0.0.1:" + front}
	behind.follow(t, chromium, "/live.html", "{since: '"+cursorIn.FindString(body)+"'}", "x", "y")
	_, stop := s.publisher(t, time.Second) // more would fill nginx's buffers, and so come through
	opened(t, chromium, "poll")
	n := stop()
	s.say(t, "x", n)
	wants(t, chromium, 0, n)
	noGap(t, chromium)

	// The next page knows at once.
	behind.follow(t, chromium, "/live.html", "{}", "x")
	opened(t, chromium, "poll")
	if states := script[string](t, chromium, "states.join()"); states != "connecting,open" {
		t.Errorf("the next page went through %s", states)
	}
}

// shakyNetwork is a network that can stop for a while, or be cut.
type shakyNetwork struct {
	net.Listener
	target string
	mu     sync.Mutex
	// stopped lets nothing through until it is closed.
	stopped chan struct{}
	cut     bool
	conns   map[net.Conn]bool
}

func newShakyNetwork(t *testing.T, target string) *shakyNetwork {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &shakyNetwork{Listener: l, target: target, conns: make(map[net.Conn]bool)}
	t.Cleanup(func() {
		l.Close()
		n.set(false, true)
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go n.join(c)
		}
	}()
	return n
}

// set stops the network or lets it go on, and cuts all connections, those to come, too.
func (n *shakyNetwork) set(stop, cut bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.stopped != nil {
		close(n.stopped)
		n.stopped = nil
	}
	if stop {
		n.stopped = make(chan struct{})
	}
	n.cut = cut
	if cut {
		for c := range n.conns {
			c.Close()
		}
	}
}

func (n *shakyNetwork) join(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", n.target)
	if err != nil {
		return
	}
	defer server.Close()
	n.mu.Lock()
	n.conns[client], n.conns[server] = true, true
	cut := n.cut
	n.mu.Unlock()
	if cut {
		return
	}
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.conns, client)
		delete(n.conns, server)
	}()
	var both sync.WaitGroup
	carry := func(to, from net.Conn) {
		defer to.Close()
		defer from.Close()
		b := make([]byte, 16<<10)
		for {
			k, err := from.Read(b)
			n.mu.Lock()
			stopped := n.stopped
			n.mu.Unlock()
			if stopped != nil {
				<-stopped
			}
			if _, werr := to.Write(b[:k]); err != nil || werr != nil {
				return
			}
		}
	}
	both.Go(func() { carry(server, client) })
	both.Go(func() { carry(client, server) })
	both.Wait()
}

// TestANetworkThatStopsAndBreaksLosesNothing.
func TestANetworkThatStopsAndBreaksLosesNothing(t *testing.T) {
	s := newLive(t).start(t)
	network := newShakyNetwork(t, strings.TrimPrefix(s.base, "http://"))
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	_, body := get(t, s.base+"/comet/x?since=")
	behind := &live{base: "http://" + network.Addr().String()}
	behind.follow(t, chromium, "/live.html", "{since: '"+cursorIn.FindString(body)+"'}", "x", "y")
	opened(t, chromium, s.best(t))
	said, stop := s.publisher(t, 5*time.Millisecond)
	more := func() {
		t.Helper()
		upto := said.Load() + 50
		until(t, "more events", func() bool { return said.Load() > upto })
	}
	arrives := func() {
		t.Helper()
		now := said.Load()
		until(t, "the page to have them", func() bool { return script[bool](t, chromium, fmt.Sprintf("newest.x > %d", now)) })
	}
	for range 2 {
		arrives()
		network.set(true, false)
		more()
		network.set(false, false) // what was on its way arrives
		arrives()
		network.set(true, false)
		more()
		network.set(false, true) // what was on its way is lost
		until(t, "the page to notice", func() bool { return script[string](t, chromium, "live.state") != "open" })
		more()
		network.set(false, false)
	}
	arrives()
	wants(t, chromium, 0, stop()-1)
	noGap(t, chromium)
}

// TestAServerThatStartsAnewLosesNothingWithAStore, and tells of the gap without one.
func TestAServerThatStartsAnewLosesNothingWithAStore(t *testing.T) {
	t.Parallel()
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	for _, store := range []bool{true, false} {
		t.Run(fmt.Sprintf("store %v", store), func(t *testing.T) {
			s := newLive(t)
			if store {
				s.config = strings.Replace(s.config, "\tcomet {\n", "\tcomet {\n\t\tstore "+s.dir+"/store\n", 1)
			}
			s.start(t)
			tab := tab(t, chromium)
			s.follow(t, tab, "/live.html", "{}", "x", "y")
			opened(t, tab, s.best(t))
			for i := range 4 {
				s.say(t, "xy"[i%2:][:1], i)
			}
			wants(t, tab, 0, 3)
			s.server.stop()
			until(t, "the page to notice", func() bool { return script[string](t, tab, "live.state") != "open" })
			s.start(t)
			s.say(t, "x", 4) // before or after it is back
			until(t, "the page to be back", func() bool { return script[string](t, tab, "live.state") == "open" })
			s.say(t, "y", 5)
			if store {
				wants(t, tab, 0, 5)
				noGap(t, tab)
				return
			}
			until(t, "the last event", func() bool { return script[bool](t, tab, "newest.y === 5") })
			if gaps := script[string](t, tab, "gaps.join(' ')"); gaps != "x,y" {
				t.Errorf("the page is told of the gaps %q", gaps)
			}
		})
	}
}

// TestAHundredChannelsOnOneConnection.
func TestAHundredChannelsOnOneConnection(t *testing.T) {
	s := newLive(t).start(t)
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it
	var channels []string
	for i := range 100 {
		channels = append(channels, fmt.Sprintf("user:%d@example.org+-=._", i))
	}
	for _, transport := range []string{s.best(t), "sse", "poll"} {
		s.follow(t, chromium, "/live.html", "{transports: ['"+transport+"']}", channels...)
		opened(t, chromium, transport)
		s.only(t, transport)
		for i, channel := range channels {
			s.say(t, channel, i)
		}
		wants(t, chromium, 0, len(channels)-1)
	}
}

// TestTheLibraryGoesOverHTTP2.
func TestTheLibraryGoesOverHTTP2(t *testing.T) {
	s := newLive(t)
	secure := port(t)
	s.config = strings.NewReplacer("auto_https off", "auto_https disable_redirects\n\tskip_install_trust\n\tservers {\n\t\tprotocols h1 h2\n\t}",
		s.base, "https://localhost:"+secure, "\tfile_server", "\ttls internal\n\tfile_server").Replace(s.config)
	s.base = "https://localhost:" + secure
	s.start(t)
	chromium := browser(t, chromedp.Flag("ignore-certificate-errors", true))
	open(t, chromium, "about:blank") // starts it
	hasCertificate(t, secure)
	for _, transport := range []string{"sse", "stream", "poll"} {
		t.Run(transport, func(t *testing.T) {
			s.follow(t, chromium, "/live.html", "{transports: ['"+transport+"']}", "x", "y")
			opened(t, chromium, transport)
			s.only(t, transport)
			for i := range 6 {
				s.say(t, "xy"[i%2:][:1], i)
			}
			wants(t, chromium, 0, 5)
			if protocol := script[string](t, chromium, "performance.getEntriesByName(location.origin + '/comet/comet.js')[0].nextHopProtocol"); protocol != "h2" {
				t.Errorf("the browser speaks %s", protocol)
			}
		})
	}
}
