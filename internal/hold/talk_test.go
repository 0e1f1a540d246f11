package hold

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/log"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// sheet is a line that notes what is sent.
type sheet struct {
	slate
	sent bytes.Buffer
	last bool
	// asked are to be called when what was asked is answered.
	asked []func()
}

func (s *sheet) send(b []byte, last bool) {
	s.sent.Write(b)
	s.last = last
}

func (s *sheet) ring() {}

// answered has the course told the answers to what it asked.
func (c *conversation) answered() {
	synctest.Wait()
	for _, then := range c.to.asked {
		then()
	}
	c.to.asked = nil
	c.news()
	c.settle()
}

// conversation is a talk whose line takes everything at once.
type conversation struct {
	*testing.T
	hub *hub.Hub
	*talk
	to *sheet
	// fanouts are how many publishes everybody has got.
	fanouts *atomic.Int64
}

// converse begins one on the channel "a".
func converse(t *testing.T) *conversation {
	t.Helper()
	fanouts := new(atomic.Int64)
	h, err := hub.New(hub.Config{
		Log: log.NewMemory(nil), Limits: hub.DefaultLimits(),
		OnFanout: func(time.Duration) { fanouts.Add(1) },
	})
	if err != nil {
		t.Fatal(err)
	}
	ask := asksToTalk(t)
	to := new(sheet)
	c := &talk{stream: stream{heartbeat: comeBack}, of: h, talk: frame(ask.Answer.(Talk), false)}
	c.answer, c.line = c.talk, to
	c.aside = func(ask, then func()) {
		go func() {
			ask()
			to.asked = append(to.asked, then)
		}()
	}
	if c.sub, err = h.Subscribe(hub.SubConfig{Channels: ask.Channels, Waker: &c.base}); err != nil {
		t.Fatal(err)
	}
	talking := &conversation{t, h, c, to, fanouts}
	c.begin()
	talking.settle()
	return talking
}

// asksToTalk is a handshake for the channel "a".
func asksToTalk(t *testing.T) dialect.Ask {
	t.Helper()
	d, err := dialect.New("native", dialect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "/comet/a", nil)
	r.Header.Set("Upgrade", "websocket")
	ask, err := d.Read(r)
	if err != nil {
		t.Fatal(err)
	}
	return ask
}

// settle has all that is sent go out.
func (c *conversation) settle() {
	for c.writing && len(c.to.reports) == 0 {
		c.flushed()
		c.news()
	}
}

// hears is what was sent since it was asked last: texts, and the names of others.
func (c *conversation) hears() (all []string) {
	c.Helper()
	for c.to.sent.Len() > 0 {
		h, err := ws.ReadHeader(&c.to.sent)
		if err != nil {
			c.Fatal(err)
		}
		payload := string(c.to.sent.Next(int(h.Length)))
		switch h.OpCode {
		case ws.OpPing:
			payload = "ping"
		case ws.OpPong:
			payload = "pong " + payload
		case ws.OpClose:
			code, reason := ws.ParseCloseFrameData([]byte(payload))
			payload = fmt.Sprint("close ", code, " ", reason)
		}
		all = append(all, payload)
	}
	return all
}

// says has the client say frames at once.
func (c *conversation) says(frames ...ws.Frame) {
	c.heard(client(frames...))
	c.settle()
}

// client is what a client sends.
func client(frames ...ws.Frame) (b []byte) {
	for _, f := range frames {
		b = append(b, ws.MustCompileFrame(ws.MaskFrame(f))...)
	}
	return b
}

func (c *conversation) publish(channel, data string) {
	c.Helper()
	if _, err := c.hub.Publish(context.Background(), []hub.Draft{{Channel: channel, Data: []byte(data)}}); err != nil {
		c.Fatal(err)
	}
	synctest.Wait()
	c.news()
	c.settle()
}

// A client that gives no sign of life is gone.
func TestATalkerThatFallsSilentIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := converse(t)
		beat := func() {
			time.Sleep(comeBack)
			c.due()
			c.settle()
		}
		c.hears()
		for range 3 * maxQuiet {
			beat()
			if got := c.hears(); len(got) != 2 || !strings.HasPrefix(got[0], `{"cursor":"`) || got[1] != "ping" {
				t.Fatalf("a heartbeat is %q", got)
			}
			c.says(ws.NewPongFrame(nil))
		}
		for range maxQuiet + 1 {
			beat()
		}
		if len(c.to.reports) > 0 {
			t.Fatal("it is over too early")
		}
		beat()
		if r := c.to.reports; len(r) != 1 || r[0].Outcome != ClientGone || !r[0].Abort {
			t.Errorf("the reports are %+v", r)
		}
	})
}

// locked is a door that does not open.
type locked struct{}

func (locked) Take(func(park.Taken)) error { return errors.ErrUnsupported }

// Whose connection cannot be taken follows nothing, and takes no place.
func TestATalkThatCannotBeginIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := converse(t)
		r := httptest.NewRequest(http.MethodGet, "/comet/a", nil)
		for name, value := range map[string]string{"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="} {
			r.Header.Set(name, value)
		}
		h := Hold{Hub: c.of, Channels: []string{"a"}, Answer: asksToTalk(t).Answer, Parking: &Parking{Lot: new(park.Lot), Door: locked{}}}
		if err := h.Begin(httptest.NewRecorder(), r); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("it began: %v", err)
		}
		if n := c.of.Stats().Holds; n != 1 { // the other one
			t.Errorf("%d are held", n)
		}
	})
}

// QUIC drops a connection that is silent for longer.
func TestATalkOnHTTP3IsNeverSilentForLong(t *testing.T) {
	h := Hold{Answer: asksToTalk(t).Answer, Heartbeat: time.Hour}
	r := httptest.NewRequest(http.MethodConnect, "/comet/a", nil)
	r.ProtoMajor = 3
	var refused *HandshakeError
	if err := h.Begin(httptest.NewRecorder(), r); !errors.As(err, &refused) || refused.Status != http.StatusNotImplemented {
		t.Fatal(err) // there is nowhere to park
	}
	if h.Heartbeat != maxWaitHTTP3 {
		t.Errorf("it says something every %s", h.Heartbeat)
	}
}

// An event that came just before is not lost when the channels change, and is ahead of
// the answer: a client that begins a channel anew takes what follows that for newer.
func TestChannelsChangeWhileAnEventComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := converse(t)
		c.publish("b", "early")
		c.hears()
		if _, err := c.of.Publish(context.Background(), []hub.Draft{{Channel: "a", Data: []byte("late")}}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // it is in the inbox
		c.says(ws.NewTextFrame([]byte(`{"unsubscribe":["a"],"subscribe":["b"],"since":"all"}`)))
		c.news()
		c.settle()
		got := strings.Join(c.hears(), "\n")
		var at []int
		for _, part := range []string{`"data":"late"`, `{"unsubscribed":["a"],`, `{"subscribed":["b"],`, `"data":"early"`} {
			at = append(at, strings.Index(got, part))
		}
		if !slices.IsSorted(at) || at[0] < 0 {
			t.Errorf("%v in %s", at, got)
		}
		if n := c.fanouts.Load(); n != 1 || c.report.Events != 2 { // nobody has heard "early" as it came
			t.Errorf("%d have gone to all; it has got %d", n, c.report.Events)
		}
		c.publish("a", "no more")
		c.publish("b", "still")
		if got := c.hears(); len(got) != 1 || !strings.Contains(got[0], `"still"`) {
			t.Errorf("%q", got)
		}
	})
}

func TestATalkEndsWithItsHubOrTheProcess(t *testing.T) {
	for name, end := range map[string]func(*conversation){
		"stopped": func(c *conversation) { c.stop() },
		"retired": func(c *conversation) { c.retire() },
	} {
		synctest.Test(t, func(t *testing.T) {
			c := converse(t)
			c.publish("a", "1")
			c.hears()
			end(c)
			time.Sleep(RetireSpread)
			c.due()
			if got := c.hears(); len(got) != 2 || !strings.Contains(got[0], `"retry":`) || got[1] != "close 1001 come back" || !c.to.last {
				t.Errorf("%s: %q", name, got)
			}
			c.flushed()
			if r := c.to.reports; len(r) != 1 || string(r[0].Outcome) != name || r[0].Events != 1 {
				t.Errorf("%s: %+v", name, r)
			}
		})
	}
}

// A wish that comes when the configuration is no longer in force ends the talk, also
// one that would have ended within a minute.
func TestAWishAfterAReload(t *testing.T) {
	for name, retire := range map[string]func(*conversation){
		"of which nobody was told": func(*conversation) {},
		"of which it was told":     func(c *conversation) { c.retire() },
	} {
		synctest.Test(t, func(t *testing.T) {
			c := converse(t)
			void := make(chan struct{})
			c.void = void
			c.says(ws.NewTextFrame([]byte(`{"subscribe":["b"]}`)))
			close(void)
			c.hears()
			retire(c)
			c.says(ws.NewTextFrame([]byte(`{"subscribe":["c"]}`)), ws.NewTextFrame([]byte(`{"subscribe":["d"]}`)))
			if due := c.when(); due == 0 || due > park.Now() {
				t.Fatalf("%s: it is not over at once", name)
			}
			c.due()
			if got := c.hears(); len(got) != 2 || !strings.Contains(got[0], `"retry":`) || got[1] != "close 1001 come back" {
				t.Errorf("%s: %q", name, got)
			}
			c.flushed()
			if r := c.to.reports; len(r) != 1 || r[0].Outcome != Retired {
				t.Errorf("%s: %+v", name, r)
			}
		})
	}
}

// A wish that cannot be granted ends the talk with the reason: come later, or never.
func TestWishesThatAreNotGranted(t *testing.T) {
	for name, c := range map[string]struct {
		before func(*conversation)
		limit  func(*hub.Limits)
		want   string
	}{
		"no more channels":    {nil, func(l *hub.Limits) { l.Channels = 1 }, "close 1013 too many channels"},
		"too many for one":    {nil, func(l *hub.Limits) { l.ChannelsPerSub = 1 }, "close 1008 too many channels in one request"},
		"too many for all":    {tenOthers, func(l *hub.Limits) { l.Holds, l.ChannelsPerSub = 2, 2 }, "close 1013 too many held requests"},
		"a hub that has gone": {nil, nil, "close 1001 come back"},
	} {
		synctest.Test(t, func(t *testing.T) {
			talk := converse(t)
			talk.hears()
			if c.before != nil {
				c.before(talk)
			}
			if c.limit != nil {
				limits := hub.DefaultLimits()
				c.limit(&limits)
				talk.hub.SetLimits(limits)
			} else {
				talk.hub.Close()
			}
			talk.says(ws.NewTextFrame([]byte(`{"subscribe":["b"]}`)))
			if when := talk.when(); when != 0 && when <= park.Now() {
				talk.due()
				talk.settle()
			}
			got := talk.hears()
			if len(got) == 0 || !strings.HasPrefix(got[len(got)-1], c.want) || !talk.to.last {
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		})
	}
}

// tenOthers follow two channels each.
func tenOthers(c *conversation) {
	for range 10 {
		if _, err := c.hub.Subscribe(hub.SubConfig{Channels: []string{"a", "c"}}); err != nil {
			c.Fatal(err)
		}
	}
}

// A client may say so much at once, and then go on at a fair pace; in how many pieces
// a message comes is the network's doing.
func TestWhatIsAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := converse(t)
		ping := client(ws.NewPingFrame(nil))
		for range 3 {
			c.says(slices.Repeat([]ws.Frame{ws.NewPingFrame(nil)}, fairFrames)...)
			if got := c.hears(); got[len(got)-1] != "pong " {
				t.Fatalf("it ends too early: %q", got)
			}
			time.Sleep(fairFrames * fairTime)
		}
		for range 3 * fairFrames {
			c.heard(ping)
			c.settle()
			time.Sleep(fairTime)
		}
		for _, piece := range client(ws.NewTextFrame([]byte(`{"subscribe":["` + strings.Repeat("x", 2*fairFrames/4) + `"]}`))) {
			c.heard([]byte{piece})
			c.settle()
		}
		if got := c.hears(); !strings.HasPrefix(got[len(got)-1], `{"subscribed":["xxx`) {
			t.Fatalf("it ends too early: %q", got[len(got)-1])
		}
		time.Sleep(time.Hour) // gives no right to say more
		wishes := slices.Repeat([]ws.Frame{ws.NewTextFrame([]byte(`{"subscribe":["b"]}`))}, fairFrames+1)
		c.says(wishes...)
		got := c.hears()
		if got[len(got)-1] != "close 1008 too many messages in a short time" || len(c.to.reports) != 1 || c.to.reports[0].Outcome != BadMessage {
			t.Errorf("after %d answers: %s, %+v", len(got), got[len(got)-1], c.to.reports)
		}
	})
}

func TestGoodbyes(t *testing.T) {
	for want, payload := range map[string][]byte{
		"close 1000 ":                          nil,
		"close 1001 ":                          ws.NewCloseFrameBody(1001, "I leave"),
		"close 4321 ":                          ws.NewCloseFrameBody(4321, ""),
		"close 1002 status code is not in use": ws.NewCloseFrameBody(1, ""),
		"close 1002 invalid utf8 sequence in close reason": append(ws.NewCloseFrameBody(1000, ""), 0xff),
	} {
		synctest.Test(t, func(t *testing.T) {
			c := converse(t)
			c.hears()
			c.says(ws.NewPingFrame([]byte("1")), ws.NewPingFrame([]byte("2")), ws.NewCloseFrame(payload), ws.NewPingFrame([]byte("3")))
			if got := c.hears(); len(got) != 2 || got[0] != "pong 2" || got[1] != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}
