package caddymodule

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// ways are sites whose sockets come by another way each.
var socketWays = map[string]struct {
	globals, site, url string
}{
	"plain":    {"", "http://SITE {\n bind 127.0.0.1\n comet /comet/*\n}", "ws://SITE"},
	"wrapped":  {"", "http://SITE {\n bind 127.0.0.1\n log\n encode\n header X-Site yes\n comet /comet/*\n}", "ws://SITE"},
	"opaque":   {"", "http://SITE {\n bind 127.0.0.1\n header >X-Site yes\n comet /comet/*\n}", "ws://SITE"},
	"TLS":      {overTLS, "https://localhost:TLS {\n bind 127.0.0.1\n comet /comet/*\n}", "wss://localhost:TLS"},
	"HTTP/3":   {overTLS, "https://localhost:TLS {\n bind 127.0.0.1\n comet /comet/*\n}", "https://localhost:TLS"},
	"unparked": {"comet {\n park off\n}", "http://SITE {\n bind 127.0.0.1\n comet /comet/*\n}", "ws://SITE"},
}

func (s *server) address(url string) string {
	return strings.NewReplacer("SITE", s.site, "TLS", s.tlsPort).Replace(url)
}

func TestAWebSocketHearsEvents(t *testing.T) {
	for name, way := range socketWays {
		t.Run(name, func(t *testing.T) {
			if name == "unparked" {
				t.Setenv("COMET_PARK", "off")
				way.globals = ""
			}
			s := start(t, way.globals, way.site+publisherDoor)
			if way.globals == overTLS {
				s.waitForTLS()
			}
			h3 := h3Client(t).Transport
			a, b := unique("a"), unique("b")
			for range 3 {
				url := s.address(way.url) + "/comet/" + a
				var c *socket
				if name == "HTTP/3" {
					c = connected(t, h3, url)
				} else {
					c = dialed(t, url)
				}
				from := c.position()
				s.must(a, `one`)
				if e := c.event(a, `"one"`); e.Cursor == from {
					t.Error("an event has the position before it")
				}
				at := s.must(b, "early")
				c.says(`{"subscribe":["` + b + `"]}`)
				if m := c.hears(); len(m.Subscribed) != 1 || m.Subscribed[0] != b || m.Cursor != at || m.Gap {
					t.Errorf("subscribed: %+v, want the position %s", m, at)
				}
				s.must(b, "two")
				c.event(b, `"two"`)
				c.says(`{"unsubscribe":["` + b + `"]}`)
				if m := c.hears(); len(m.Unsubscribed) != 1 || m.Cursor == "" {
					t.Errorf("unsubscribed: %+v", m)
				}
				s.must(b, "three")
				s.must(a, "four")
				c.event(a, `"four"`)
				// What was missed comes by the position at which it was.
				c.says(`{"unsubscribe":["` + a + `"],"subscribe":["` + b + `"],"since":"` + at + `"}`)
				if m := c.hears(); len(m.Unsubscribed) != 1 {
					t.Errorf("unsubscribed: %+v", m)
				}
				if m := c.hears(); len(m.Subscribed) != 1 || m.Cursor != at {
					t.Errorf("subscribed: %+v", m)
				}
				c.event(b, `"two"`)
				c.event(b, `"three"`)
				c.sends(ws.NewPingFrame([]byte("hello")))
				if f, err := c.frame(); err != nil || f.Header.OpCode != ws.OpPong || string(f.Payload) != "hello" {
					t.Errorf("a ping is answered by %+v %v", f, err)
				}
				c.sends(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusNormalClosure, "enough")))
				c.closes(ws.StatusNormalClosure, "")
				held(t, "default", b, 0)
			}
		})
	}
}

// publisherDoor is where tests publish.
const publisherDoor = `
http://PUBLISH {
	bind 127.0.0.1
	comet_publish
}
`

func TestAWebSocketCatchesUp(t *testing.T) {
	s := start(t, "", simple)
	name := unique("catch")
	at := s.must(name, "1")
	for i := range 3 {
		s.must(name, fmt.Sprint(i+2))
	}
	c := dialed(t, "ws://"+s.site+"/comet/"+name+"?since="+at)
	for i := range 3 {
		c.event(name, fmt.Sprintf("%q", fmt.Sprint(i+2)))
	}
	if m := dialed(t, "ws://"+s.site+"/comet/"+name+"?since=k3f9.42").hears(); !m.Gap {
		t.Errorf("a position of another time: %+v", m)
	}
	c.says(`{"subscribe":["` + unique("other") + `"],"since":"k3f9.42"}`)
	if m := c.hears(); !m.Gap || len(m.Subscribed) != 1 {
		t.Errorf("a position of another time: %+v", m)
	}
}

func TestWhatBeginsNoWebSocket(t *testing.T) {
	s := start(t, "", `
http://SITE {
	bind 127.0.0.1
	header /all/* Access-Control-Allow-Origin *
	header /one/* Access-Control-Allow-Origin https://friend.example
	comet /*
}`+publisherDoor)
	url := "http://" + s.site + "/comet/" + unique("no")
	refused(t, url, "Sec-WebSocket-Version", "8").wants(t, 426, "version 13")
	if v := refused(t, url, "Sec-WebSocket-Version", "8").header.Get("Sec-WebSocket-Version"); v != "13" {
		t.Errorf("the version known is %q", v)
	}
	refused(t, url, "Sec-WebSocket-Key", "short").wants(t, 400, "no handshake of a WebSocket")
	refused(t, url, "Connection", "close").wants(t, 400, "Connection")
	refused(t, "http://"+s.site+"/comet/a%20b").wants(t, 400, "character")
	refused(t, url+"?since=nothing").wants(t, 400, "no position")
	refused(t, url+"?callback=f").wants(t, 400, "callback")
	get(url+"?as=websocket").wants(t, 426, "new WebSocket")
	refused(t, url, "Origin", "https://other.example").wants(t, 403, "origin")
	send(plain, "POST", url, "", "Connection", "Upgrade", "Upgrade", "websocket").wants(t, 405, "GET")

	all := "ws://" + s.site + "/all/" + unique("yes")
	dialed(t, all, "Origin", "https://other.example")
	dialed(t, "ws://"+s.site+"/comet/"+unique("yes"), "Origin", "http://"+s.site)
	dialed(t, "ws://"+s.site+"/one/"+unique("yes"), "Origin", "https://friend.example", "Cookie", "a=b")
	refused(t, "http"+all[2:], "Origin", "https://other.example", "Cookie", "a=b").wants(t, 403, "cookies")
	refused(t, "http"+all[2:], "Origin", "https://other.example", "Authorization", "Basic YTpi").wants(t, 403, "cookies")
	refused(t, "http://"+s.site+"/one/a", "Origin", "https://other.example").wants(t, 403, "origin")
}

func TestWhatAWebSocketMayNotSay(t *testing.T) {
	s := start(t, "", simple)
	many := strings.Repeat(`"a",`, 10_000)
	fragment := func(op ws.OpCode, fin bool, text string) ws.Frame { return ws.NewFrame(op, fin, []byte(text)) }
	masked := func(f ws.Frame) []byte { return ws.MustCompileFrame(ws.MaskFrame(f)) }
	var pings []byte
	for range 1000 {
		pings = append(pings, masked(ws.NewPingFrame(nil))...)
	}
	huge := masked(ws.NewTextFrame([]byte("x")))
	huge = append([]byte{huge[0], 0xff, 0, 0, 1, 0, 0, 0, 0, 0}, huge[2:]...)
	for name, c := range map[string]struct {
		bytes  []byte
		code   ws.StatusCode
		reason string
	}{
		"not masked":                 {ws.MustCompileFrame(ws.NewTextFrame([]byte("{}"))), 1002, "masked"},
		"no frame":                   {[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 1002, ""},
		"a binary frame":             {masked(ws.NewBinaryFrame([]byte("{}"))), 1003, "text"},
		"no UTF-8":                   {masked(ws.NewTextFrame([]byte("{\"\xff\":1}"))), 1007, "UTF-8"},
		"no JSON":                    {masked(ws.NewTextFrame([]byte("hello"))), 1008, "subscribe"},
		"two objects":                {masked(ws.NewTextFrame([]byte(`{"subscribe":["a"]}{}`))), 1008, "subscribe"},
		"what is not known":          {masked(ws.NewTextFrame([]byte(`{"publish":["a"]}`))), 1008, "subscribe"},
		"nothing":                    {masked(ws.NewTextFrame([]byte(`{}`))), 1008, "names channels"},
		"a bad name":                 {masked(ws.NewTextFrame([]byte(`{"subscribe":["../a"]}`))), 1008, "begins with"},
		"a bad position":             {masked(ws.NewTextFrame([]byte(`{"subscribe":["a"],"since":"?"}`))), 1008, "no position"},
		"10,000 channels":            {masked(ws.NewTextFrame([]byte(`{"subscribe":[` + many + `"b"]}`))), 1008, "10001 channels"},
		"a message too long":         {masked(ws.NewTextFrame(make([]byte, 64<<10+1))), 1009, "65536"},
		"a frame of a terabyte":      {huge, 1009, "65536"},
		"a length below zero":        {append([]byte{0x81, 0xff, 0x80}, make([]byte, 11)...), 1002, ""},
		"fragments too long":         {append(masked(fragment(ws.OpText, false, strings.Repeat("x", 60<<10))), masked(fragment(ws.OpContinuation, false, strings.Repeat("x", 5<<10)))...), 1009, "65536"},
		"a message in another":       {append(masked(fragment(ws.OpText, false, "{")), masked(fragment(ws.OpText, true, "}"))...), 1002, "continuation"},
		"the end of no message":      {masked(fragment(ws.OpContinuation, true, "}")), 1002, "continuation"},
		"a long ping":                {masked(ws.NewFrame(ws.OpPing, true, make([]byte, 126))), 1002, "control"},
		"a ping in fragments":        {masked(ws.NewFrame(ws.OpPing, false, nil)), 1002, "control"},
		"a frame of no known kind":   {masked(ws.NewFrame(5, true, nil)), 1002, "op code"},
		"bits of no extension":       {masked(ws.Frame{Header: ws.Header{Fin: true, Rsv: 4, OpCode: ws.OpText, Length: 2}, Payload: []byte("{}")}), 1002, "rsv"},
		"a goodbye of one byte":      {masked(ws.NewCloseFrame([]byte{3})), 1002, ""},
		"a goodbye of no known code": {masked(ws.NewCloseFrame(ws.NewCloseFrameBody(999, ""))), 1002, ""},
		"a flood":                    {pings, 1008, "too many messages"},
	} {
		t.Run(name, func(t *testing.T) {
			channel := unique("bad")
			conn := dialed(t, "ws://"+s.site+"/comet/"+channel)
			conn.position()
			go func() { _, _ = conn.conn.Write(c.bytes) }() // the server may not read all of it
			conn.closes(c.code, c.reason)
			held(t, "default", channel, 0)
		})
	}
}

// A message may come in fragments, and these in pieces, with control frames in
// between.
func TestAMessageInPieces(t *testing.T) {
	s := start(t, "", simple)
	a, b := unique("a"), unique("b")
	c := dialed(t, "ws://"+s.site+"/comet/"+a)
	c.position()
	var all []byte
	for _, f := range []ws.Frame{
		ws.NewFrame(ws.OpText, false, []byte(`{"subscribe":["`)),
		ws.NewPongFrame([]byte("unasked")),
		ws.NewFrame(ws.OpContinuation, false, []byte(b)),
		ws.NewFrame(ws.OpContinuation, false, nil),
		ws.NewFrame(ws.OpContinuation, true, []byte(`"]}`)),
	} {
		all = append(all, ws.MustCompileFrame(ws.MaskFrame(f))...)
	}
	for _, piece := range all {
		c.raw([]byte{piece})
	}
	if m := c.hears(); len(m.Subscribed) != 1 || m.Subscribed[0] != b {
		t.Errorf("%+v", m)
	}
}

func TestAWebSocketOutlivesAReload(t *testing.T) {
	s := start(t, "", simple)
	a, b := unique("a"), unique("b")
	c := dialed(t, "ws://"+s.site+"/comet/"+a)
	c.position()
	s.must(a, "1")
	c.event(a, `"1"`)
	s.reload("", strings.Replace(simple, "the site", "another site", 1))
	s.must(a, "2")
	c.event(a, `"2"`)
	// What the configuration of now allows is asked by another handshake.
	c.says(`{"subscribe":["` + b + `"]}`)
	last := c.closes(ws.StatusGoingAway, "")
	if last.Retry == nil || last.Cursor == "" {
		t.Errorf("the last message is %+v", last)
	}
	at := s.must(b, "3")
	_ = at
	again := dialed(t, "ws://"+s.site+"/comet/"+a+","+b+"?since="+last.Cursor)
	again.event(b, `"3"`)
}

// TestAWebSocketWhoseDirectiveIsGone stays for as long as its hub does, and is then told
// to come back: to whatever answers at its address by then.
func TestAWebSocketWhoseDirectiveIsGone(t *testing.T) {
	hub := unique("gone")
	s := start(t, "comet {\n hub "+hub+" {\n history 10 1s\n}\n}", "http://SITE {\n bind 127.0.0.1\n comet /comet/* {\n hub "+hub+"\n}\n}")
	var all []*socket
	for range many {
		c := dialed(t, "ws://"+s.site+"/comet/a")
		c.position()
		all = append(all, c)
	}
	s.reload("", "http://SITE {\n bind 127.0.0.1\n respond gone 410\n}")
	if m := firstToClose(t, all); m.Retry == nil || m.Cursor == "" {
		t.Errorf("the last message is %+v", m)
	}
	refused(t, "http://"+s.site+"/comet/a").wants(t, 410, "gone")
}

func TestAWebSocketThatIsTooMany(t *testing.T) {
	s := start(t, "comet {\n max_holds 2\n}", simple)
	name := unique("full")
	for range 2 {
		dialed(t, "ws://"+s.site+"/comet/"+name).position()
	}
	dialed(t, "ws://"+s.site+"/comet/"+name).closes(1013, "max_holds")
	held(t, "default", name, 2)
	eventually(t, "the log says so", func() bool { return strings.Contains(s.logs(), fullHolds) })
}

func TestAWebSocketOnAConnectionThatWasParked(t *testing.T) {
	s := start(t, "", simple)
	name := unique("kept")
	w := connect(t, "tcp", s.site)
	for range 2 {
		w.asks("/comet/" + name)
		held(t, "default", name, 1)
		s.must(name, "1")
		w.hears()
	}
	w.say("GET /comet/" + name + " HTTP/1.1\r\nHost: " + s.site + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")
	if r, err := w.head(); err != nil || !strings.Contains(r.String(), "101") || r.value("Upgrade") != "websocket" || r.value("Connection") != "Upgrade" {
		t.Fatalf("%v %v", r, err)
	}
	c := &socket{t: t, conn: w.c, from: w.r}
	c.position()
	s.must(name, "2")
	c.event(name, `"2"`)
}

// TestOffersThatCannotBeTakenAreDeclined: the WebSocket goes on without, or with the
// next offer (RFC 7692 section 5.1).
func TestOffersThatCannotBeTakenAreDeclined(t *testing.T) {
	s := start(t, "", strings.Replace(simple, "comet /comet/*", "comet /comet/* {\n deflate\n}", 1))
	const good = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
	for offer, want := range map[string]bool{
		"permessage-deflate; foo=1":                     false,
		"permessage-deflate; server_max_window_bits=7":  false,
		"permessage-deflate; client_max_window_bits=99": false,
		"x-other, permessage-deflate; foo=1, " + good:   true,
		"permessage-deflate; foo; foo":                  false,
	} {
		w := connect(t, "tcp", s.site)
		w.say("GET /comet/a HTTP/1.1\r\nHost: " + s.site + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Extensions: " + offer + "\r\n\r\n")
		r, err := w.head()
		if err != nil || !strings.Contains(r.String(), "101") || (r.value("Sec-Websocket-Extensions") != "") != want {
			t.Errorf("%s: %v %v", offer, r, err)
		}
	}
	get("http://"+s.site+"/comet/a", "Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "short").
		wants(t, 400, "Sec-WebSocket-Key")
}

// A message is compressed once for all who get it.
func TestCompressedMessages(t *testing.T) {
	s := start(t, "", strings.Replace(simple, "comet /comet/*", "comet /deflate/* {\n deflate\n}\n comet /comet/*", 1))
	name := unique("small")
	packed := dialed(t, "ws://"+s.site+"/deflate/"+name)
	bare := dialed(t, "ws://"+s.site+"/comet/"+name+"?_=deflate")
	if !packed.deflate || bare.deflate {
		t.Fatalf("compressed: %v, and without the flag %v", packed.deflate, bare.deflate)
	}
	packed.position()
	bare.position()
	large := strings.Repeat("much of the same ", 1000)
	s.must(name, large)
	f, err := packed.frame()
	if err != nil || !strings.Contains(string(f.Payload), large) {
		t.Errorf("%d bytes, %v", len(f.Payload), err)
	}
	bare.event(name, `"`+large+`"`)
	s.must(name, "little")
	packed.event(name, `"little"`)
	f, err = wsflate.CompressFrame(ws.NewTextFrame([]byte(`{"subscribe":["` + unique("more") + `"]}`)))
	if err != nil {
		t.Fatal(err)
	}
	packed.sends(f)
	if m := packed.hears(); len(m.Subscribed) != 1 {
		t.Errorf("%+v", m)
	}
	bomb, _ := wsflate.CompressFrame(ws.NewTextFrame(make([]byte, 20<<20)))
	packed.sends(bomb)
	packed.closes(1009, "65536")
}

// A WebSocket has one line in the access log, at its end, also where nothing else is
// parked.
func TestTheAccessLogOfAWebSocket(t *testing.T) {
	for _, globals := range []string{"", "comet {\n park off\n}"} {
		t.Run(globals, func(t *testing.T) { logsAWebSocket(t, globals) })
	}
}

func logsAWebSocket(t *testing.T, globals string) {
	s := newServer(t)
	file := unique("access")
	s.reload(globals, strings.Replace(simple, "comet /comet/*", "log {\n output file DIR/"+file+"\n}\n comet /comet/*", 1))
	name := unique("logged")
	c := dialed(t, "ws://"+s.site+"/comet/"+name)
	c.position()
	if got := lines(t, s.dir+"/"+file); len(got) != 0 {
		t.Errorf("a line before the end: %s", got)
	}
	s.must(name, "1")
	c.event(name, `"1"`)
	c.sends(ws.NewCloseFrame(nil))
	c.closes(ws.StatusNormalClosure, "")
	eventually(t, "the line", func() bool { return len(lines(t, s.dir+"/"+file)) > 0 })
	got := lines(t, s.dir+"/"+file)
	if len(got) != 1 || !strings.Contains(got[0], `"status":101`) || !strings.Contains(got[0], `"comet":"client_gone"`) {
		t.Errorf("%s", got)
	}
}

func TestTheMetricsOfAWebSocket(t *testing.T) {
	hub := unique("counted")
	s := start(t, "comet {\n hub "+hub+"\n}", strings.NewReplacer("comet /comet/*", "comet /comet/* {\n hub "+hub+"\n}", "comet_publish", "comet_publish "+hub+" {\n key 0123456789abcdef\n}").Replace(simple))
	c := dialed(t, "ws://"+s.site+"/comet/"+unique("a"))
	c.position()
	if held, parked := metric(t, "caddy_comet_held", hub), metric(t, "caddy_comet_parked", hub); held != 1 || parked != 1 {
		t.Errorf("%v are held, %v parked", held, parked)
	}
	c.conn.Close()
	eventually(t, "the end", func() bool {
		return metric(t, "caddy_comet_held", hub) == 0 && metric(t, "caddy_comet_parked", hub) == 0
	})
}
