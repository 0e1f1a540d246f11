package handoff_test

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/handoff"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func header(lines ...string) http.Header {
	h := make(http.Header)
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

// TestWhatASiteSaysIsUnderstood, with what PHP's library for GRIP writes, byte for byte.
func TestWhatASiteSaysIsUnderstood(t *testing.T) {
	for name, c := range map[string]struct {
		said []string
		body string
		want handoff.Instruction
	}{
		"the least": {[]string{"Comet-Hold: response", "Comet-Channel: a"}, "",
			handoff.Instruction{Mode: handoff.Response, Channels: []handoff.Channel{{Name: "a"}}}},
		"all of the library": {
			[]string{"Grip-Channel: fruit; prev-id=3, other", "Grip-Status: 304", "Grip-Hold: stream",
				`Grip-Keep-Alive: :\n\n; format=cstring; timeout=20`, `Grip-Set-Meta: user="al\"ice"`, "Grip-Link: </fruit/?after=3>; rel=next; timeout=120"}, "",
			handoff.Instruction{Mode: handoff.Stream, Channels: []handoff.Channel{{Name: "fruit", PrevID: "3"}, {Name: "other"}}, Status: 304,
				KeepAlive: []byte(":\n\n"), Beat: 20 * time.Second, Next: "/fruit/?after=3", Idle: 120 * time.Second}},
		"names and IDs with all that separates": {
			[]string{`Grip-Channel: a; prev-id="1, \"2\"; \\3", b`, "Grip-Hold: RESPONSE", "Grip-Timeout: 25"}, "",
			handoff.Instruction{Mode: handoff.Response, Channels: []handoff.Channel{{Name: "a", PrevID: `1, "2"; \3`}, {Name: "b"}}, Timeout: 25 * time.Second}},
		"a keep-alive with semicolons": {
			[]string{"Comet-Hold: stream", "Comet-Channel: a", `Comet-Keep-Alive: a; b=c;d\x3b\t\\; mode=interval; format=cstring`}, "",
			handoff.Instruction{Mode: handoff.Stream, Channels: []handoff.Channel{{Name: "a"}}, KeepAlive: []byte("a; b=c;d;\t\\"), Beat: 55 * time.Second}},
		"in base64": {
			[]string{"Comet-Hold: stream", "Comet-Channel: a", "Comet-Keep-Alive: AAo=; format=base64"}, "",
			handoff.Instruction{Mode: handoff.Stream, Channels: []handoff.Channel{{Name: "a"}}, KeepAlive: []byte("\x00\n"), Beat: 55 * time.Second}},
		"positions": {
			[]string{"Comet-Hold: retry", "Comet-Channel: a; since=k3f9.42", "Comet-Channel: b", "Comet-Since: k3f9.7"}, "",
			handoff.Instruction{Mode: handoff.Retry, Channels: []handoff.Channel{{Name: "a", Since: "k3f9.42"}, {Name: "b"}}, Since: "k3f9.7"}},
		"links of no use here": {
			[]string{"Grip-Hold: stream", "Grip-Channel: a", "Grip-Link: </gone>; rel=gone, <next>; rel=next"}, "",
			handoff.Instruction{Mode: handoff.Stream, Channels: []handoff.Channel{{Name: "a"}}, Next: "next", Idle: 120 * time.Second}},
		"a body": {
			[]string{"Content-Type: application/grip-instruct; charset=utf-8", "Grip-Link: </x>; rel=next"},
			`{"hold":{"mode":"stream","channels":[{"name":"fruit","prev-id":"3","filters":[]}],"timeout":55,"keep-alive":{"content-bin":"Cg==","timeout":20},"meta":{"user":"alice"}},"response":{"headers":{"X-A":"b","Content-Length":"9","Grip-Hold":"x"},"body":"hi\n"}}`,
			handoff.Instruction{Mode: handoff.Stream, Channels: []handoff.Channel{{Name: "fruit", PrevID: "3"}}, KeepAlive: []byte("\n"), Beat: 20 * time.Second, Next: "/x", Idle: 120 * time.Second,
				Answer: &handoff.Answer{Status: 200, Header: header("X-A: b"), Body: []byte("hi\n")}}},
	} {
		t.Run(name, func(t *testing.T) {
			var body []byte
			h := header(c.said...)
			if c.body != "" {
				body = []byte(c.body)
			}
			got, err := handoff.Read(h, body)
			if err != nil || !reflect.DeepEqual(*got, c.want) {
				t.Errorf("got %+v %v\nwant %+v", got, err, c.want)
			}
			if !handoff.Told(h) {
				t.Error("it is not seen")
			}
			handoff.StripAnswer(h)
			h.Del("Content-Type")
			if len(h) > 0 {
				t.Errorf("left: %v", h)
			}
		})
	}
}

// TestOtherHeadersAreNobodysBusiness: those of news, of publishing, and of others.
func TestOtherHeadersAreNobodysBusiness(t *testing.T) {
	h := header("Comet-Since: x", "Comet-Channels: a", "Comet-Publish: a", "Comet-Cursor: x", "Gripe: x", "Hold: x", "Link: x", "Keep-Alive: x", "Content-Type: application/grip")
	if handoff.Told(h) {
		t.Error("there is no instruction")
	}
	n := len(h)
	handoff.Strip(h)
	if len(h) != n {
		t.Errorf("left: %v", h)
	}
}

// FuzzRead: whatever a site says is understood within its bounds, or refused.
func FuzzRead(f *testing.F) {
	f.Add("response", "a; prev-id=1", `x; format=cstring; timeout=1`, "</x>; rel=next", `{"hold":{"channels":[{"name":"a"}]}}`)
	f.Add("stream", `a;prev-id="\`, `\x0; format=cstring`, "<>;", `{"response":{"headers":[["a","b"]],"body-bin":"AA=="}}`)
	f.Fuzz(func(t *testing.T, hold, channel, beat, link, body string) {
		h := http.Header{"Grip-Hold": {hold}, "Grip-Channel": {channel}, "Comet-Keep-Alive": {beat}, "Comet-Link": {link}}
		for _, body := range [][]byte{nil, []byte(body)} {
			if body != nil {
				h.Del("Grip-Hold")
				h.Del("Grip-Channel")
			}
			i, err := handoff.Read(h, body)
			if err != nil {
				if strings.ContainsAny(err.Error(), "\r\n") {
					t.Errorf("the error %q", err)
				}
				continue
			}
			for _, c := range i.Channels {
				if hub.CheckChannel(c.Name) != nil {
					t.Errorf("the channel %q", c.Name)
				}
			}
			for _, last := range i.Lasts() {
				if strings.ContainsAny(last, "\r\n") {
					t.Errorf("the header %q", last)
				}
			}
			if i.Mode != "" && len(i.Channels) == 0 || i.Next != "" && i.Idle <= 0 || i.KeepAlive != nil && i.Beat <= 0 {
				t.Errorf("understood: %+v", i)
			}
		}
	})
}

// FuzzItems: what is published is an event of a channel, or refused, and what is made of
// it for those who wait is an answer.
func FuzzItems(f *testing.F) {
	f.Add([]byte(`{"items":[{"channel":"a","id":"1","formats":{"http-response":{"code":200,"headers":{"A":"b"},"body":"x"},"http-stream":{"content":"y"},"ws-message":{"content":"z"}}}]}`))
	f.Add([]byte(`{"items":[{"channel":"a","http-stream":{"action":"close","content":""}}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		drafts, err := handoff.Items(body, func(string, []byte) string { return "text/plain" })
		if err != nil {
			return
		}
		poll := handoff.NewPoll(handoff.Response, handoff.Answer{Status: 200})
		flow := handoff.NewFlow(&handoff.Instruction{Mode: handoff.Stream}, handoff.Answer{Status: 200})
		for _, d := range drafts {
			if hub.CheckChannel(d.Channel) != nil || len(d.Forms) == 0 {
				t.Errorf("the event %+v", d)
			}
			delivery := &hub.Delivery{Events: []*hub.Event{{Channel: d.Channel, Data: d.Data, ContentType: d.ContentType, Forms: d.Forms}}}
			status, header, _, again := poll.Choose(delivery)
			if status != 0 && (again || status < 200 || status > 599 || header.Get("Content-Length") != "" || header.Get("Connection") != "") {
				t.Errorf("the answer %d %v", status, header)
			}
			flow.Events(delivery)
			flow.Steer(delivery)
		}
	})
}
