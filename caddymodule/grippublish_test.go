package caddymodule

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// What PHP libraries send, byte for byte but for the host, the key and the length.
const (
	// pubcontrolPost is of pubcontrol, which uses curl and the older form.
	pubcontrolPost = "POST /publish/ HTTP/1.1\r\nHost: HOST\r\nAccept: */*\r\nContent-Type: application/json\r\nAUTHContent-Length: LENGTH\r\n\r\n" +
		`{"items":[{"id":"ID","prev-id":"3","http-stream":{"content":"hi\n"},"channel":"test"}]}`
	// gripPost is of fanout/grip, which uses Guzzle.
	gripPost = "POST /publish/ HTTP/1.1\r\nHost: HOST\r\nUser-Agent: GuzzleHttp/7\r\nContent-Type: application/json\r\nAUTHContent-Length: LENGTH\r\n\r\n" +
		`{"items":[{"formats":{"http-stream":{"content":"data: hi\n\n"}},"id":"ID","prev-id":"3","channel":"test"}]}`
)

// TestPublishersOfGRIPPublish by the bytes of their libraries, with every way to give a
// key that they have.
func TestPublishersOfGRIPPublish(t *testing.T) {
	const key = "0123456789abcdef"
	signed := func(life time.Duration) string {
		return "Authorization: Bearer " + signedBy(t, tokenKey, map[string]any{"iss": "realm", "exp": time.Now().Add(life).Unix()}) + "\r\n"
	}
	for name, auth := range map[string]string{
		"no key":                "",
		"bearer":                "Authorization: Bearer " + key + "\r\n",
		"basic, as a password":  "Authorization: Basic cmVhbG06MDEyMzQ1Njc4OWFiY2RlZg==\r\n",
		"basic, as a name":      "Authorization: Basic MDEyMzQ1Njc4OWFiY2RlZjo=\r\n",
		"signed by fanout/grip": signed(10 * time.Minute),
		"signed by pubcontrol":  signed(time.Hour),
	} {
		t.Run(name, func(t *testing.T) {
			site := simple
			if auth != "" {
				site = strings.Replace(simple, "comet_publish", "comet_publish {\nkey "+key+"\njwt_key "+tokenKey+" realm\n}", 1)
			}
			s := start(t, "", site)
			since := get("http://" + s.site + "/comet/test?since=").poll(t).Cursor
			for k, post := range []string{pubcontrolPost, gripPost} {
				_, body, _ := strings.Cut(post, "\r\n\r\n")
				id := unique("id")
				c, r := dial(t, s.publish, strings.NewReplacer("HOST", s.publish, "AUTH", auth, "LENGTH", fmt.Sprint(len(body)-len("ID")+len(id)), "ID", id).Replace(post))
				next(t, r, "POST").wants(t, 200, "Published\n")
				_ = c.Close()
				p := get("http://" + s.site + "/comet/test?since=" + since).poll(t)
				if want := []string{`"hi\n"`, `"data: hi\n\n"`}[k]; len(p.Events) != 1 || string(p.Events[0].Data) != want {
					t.Errorf("the native dialect has %+v, want %s", p.Events, want)
				}
				since = p.Cursor
			}
			if auth != "" {
				wrong := "Authorization: Basic d3Jvbmc6d3Jvbmc=\r\n"
				_, r := dial(t, s.publish, strings.NewReplacer("HOST", s.publish, "AUTH", wrong, "LENGTH", "0").Replace(gripPost[:strings.Index(gripPost, "{")]))
				next(t, r, "POST").wants(t, 401, "the token is refused: it is no signed JSON Web Token")
			}
		})
	}
}

// TestAnItemIsForEachWhoWaits in the form that fits: an answer, a piece of a stream, and
// for the native dialect the message.
func TestAnItemIsForEachWhoWaits(t *testing.T) {
	s, hub := handed(t, "", func(w http.ResponseWriter, r *http.Request) {
		says("open\n", "Grip-Hold", strings.TrimPrefix(r.URL.Path, "/"), "Grip-Channel", "fruit", "X-Site", "kept")(w, r)
	})
	poll, native := s.getting("/response"), s.getting("/comet/fruit?since=now")
	stream := s.dial("tcp")
	stream.asks("/stream")
	parks(t, hub, 3, 3)
	s.posts("/publish", `{"items":[{"channel":"fruit","id":"4","meta":{"sender":"alice"},"no-seq":false,"formats":{
		"http-stream":{"content":"kiwi\n"},
		"http-response":{"code":201,"reason":"Ripe","headers":[["ETag","\"4\""],["Connection","close"],["X-Site","new"]],"body-bin":"AGtpd2k="},
		"ws-message":{"content":"{\"fruit\":\"kiwi\"}"}}}]}`, "Accept", "application/json").wants(t, 200, `"receivers":3`)
	a := receive(t, poll)
	a.wants(t, 201, "\x00kiwi")
	if a.header.Get("Etag") != `"4"` || a.header.Get("X-Site") != "new" || a.header.Get("Connection") != "" {
		t.Errorf("got %v", a.header)
	}
	if p := receive(t, native).poll(t); len(p.Events) != 1 || string(p.Events[0].Data) != `{"fruit":"kiwi"}` {
		t.Errorf("the native dialect has %+v", p.Events)
	}
	r := stream.hearsUntil("kiwi")
	if r.body != "open\nkiwi\n" || r.value("X-Site") != "kept" {
		t.Errorf("the stream has %s", r)
	}
	s.posts("/publish", `{"items":[{"channel":"fruit","formats":{"http-response":{"body":"for others"}}},{"channel":"fruit","formats":{"http-stream":{"content":"last"}}},`+
		`{"channel":"fruit","formats":{"http-stream":{"action":"close","content":""}}}]}`).wants(t, 200, "Published\n")
	if err := stream.more(&r, ""); err != nil || r.body != "open\nkiwi\nlast" {
		t.Errorf("the stream ends with %q %v", r.body, err)
	}
}

// TestWhatIsNoItemIsRefused in a sentence, with all that came with it.
func TestWhatIsNoItemIsRefused(t *testing.T) {
	s := start(t, "comet {\nmax_event 1KiB\n}", simple)
	for body, want := range map[string]string{
		``:             "not valid JSON",
		`{"items":[]}`: "there are no items",
		`{"items":{}}`: "items is of the wrong kind",
		`{"items":[` + strings.Repeat(`{},`, 1000) + `{}]}`:                                                                      "the limit is 1000",
		`{"items":[{"channel":"a","http-stream":{"content":"x"}},{"channel":"","http-stream":{}}]}`:                              "item 2: not a channel name",
		`{"items":[{"channel":"a","formats":{}}]}`:                                                                               "none of the formats",
		`{"items":[{"channel":"a","formats":{"http-response":{"code":99}}}]}`:                                                    "a status from 200 to 599",
		`{"items":[{"channel":"a","formats":{"http-response":{"headers":{"A\n":"b"}}}}]}`:                                        "characters that no header may have",
		`{"items":[{"channel":"a","formats":{"http-response":{"headers":[["a"]]}}}]}`:                                            "a list of pairs",
		`{"items":[{"channel":"a","formats":{"http-stream":{"action":"shout"}}}]}`:                                               "the action is not known",
		`{"items":[{"channel":"a","formats":{"http-stream":{"content":"x","content-filters":["skip-self"]}}}]}`:                  "no content-filters",
		`{"items":[{"channel":"a","formats":{"http-stream":{"content-bin":"*"}}}]}`:                                              "not valid JSON",
		`{"items":[{"channel":"a","id":"` + strings.Repeat("x", 129) + `","http-stream":{}}]}`:                                   "id has 129 bytes",
		`{"items":[{"channel":"a","http-response":{"headers":{"Content-Type":"` + strings.Repeat("x", 257) + `"},"body":"x"}}]}`: "the Content-Type has 257 bytes",
		`{"items":[{"channel":"a","http-response":{"headers":{` + strings.TrimSuffix(numbered(`"h%d":"x",`, 101), ",") + `}}}]}`: "more than 100 headers",
	} {
		send(plain, "POST", "http://"+s.publish+"/publish/", body).wants(t, 400, want)
	}
	if got := s.events("a").Events; len(got) != 0 {
		t.Errorf("%d events", len(got))
	}
	for _, size := range []int{1 << 10, 71 << 10} {
		body := `{"items":[{"channel":"a","http-stream":{"content":"` + strings.Repeat("x", size+1) + `"}}]}`
		_, r := dial(t, s.publish, fmt.Sprintf("POST /publish/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
		next(t, r, "POST").wants(t, 413, "large")
	}
}

func numbered(form string, n int) (all string) {
	for k := range n {
		all += fmt.Sprintf(form, k)
	}
	return all
}
