package dialect

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// request makes a GET request; headers are pairs.
func request(target string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// wantRefusal wants an error for the client: a status and a sentence that says
// something of the mistake.
func wantRefusal(t *testing.T, err error, status int, says string) {
	t.Helper()
	var bad *Error
	if !errors.As(err, &bad) {
		t.Fatalf("got error %v, want one for the client", err)
	}
	if bad.Status != status || !strings.Contains(bad.Text, says) {
		t.Errorf("got %d %q, want %d with %q", bad.Status, bad.Text, status, says)
	}
	checkSentence(t, bad.Text)
}

// checkSentence reports a text that would not be one line for a reader.
func checkSentence(t testing.TB, text string) {
	t.Helper()
	if text == "" || len(text) > 600 || strings.ContainsAny(text, "\r\n\x00") {
		t.Errorf("no short sentence: %q", text)
	}
}

const epoch = hub.Epoch(35*36*36*36 + 9) // z009

// event makes an event at a fixed time.
func event(seq uint64, contentType, data string) *hub.Event {
	return &hub.Event{
		Channel: "orders", Seq: seq, Time: time.Date(2026, 11, 21, 8, 0, 0, 123_456_789, time.FixedZone("CET", 3600)),
		Type: hub.DefaultType, ContentType: contentType, Data: []byte(data),
	}
}

func typed(kind string, e *hub.Event) *hub.Event {
	e.Type = kind
	return e
}

// delivery is what a client at the position before gets.
func delivery(events ...*hub.Event) *hub.Delivery {
	return &hub.Delivery{Events: events, Cursor: at(events[len(events)-1].Seq)}
}

func at(seq uint64) hub.Cursor { return hub.Cursor{Epoch: epoch, Seq: seq} }

// listen is what a request for events asks for.
func listen(channels []string, since hub.Since, wait time.Duration, answer Answer) Ask {
	return Ask{Channels: channels, Since: since, Wait: wait, Answer: answer}
}

func contentType(a Answer) string { return headerOf(a).Get("Content-Type") }

func headerOf(a Answer) http.Header {
	h := make(http.Header)
	a.Header(h)
	return h
}

// needs are the options without which a dialect cannot be.
var needs = map[string]Options{"filechat": {Channels: []string{"chat"}}}

func TestDialectsAreFoundByName(t *testing.T) {
	for _, name := range Names() {
		if d, err := New(name, needs[name]); err != nil || d == nil {
			t.Errorf("%s is listed but not found: %v", name, err)
		}
	}
	if _, err := New("bayeux", Options{}); err == nil {
		t.Error("a dialect that does not exist was found")
	}
}

func TestJitterStaysWithinItsPart(t *testing.T) {
	for range 1000 {
		if d := Jitter(time.Second, 0.2); d < 800*time.Millisecond || d > 1200*time.Millisecond {
			t.Fatal(d)
		}
	}
}
