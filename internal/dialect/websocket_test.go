package dialect

import (
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestAHandshakeIsAWebSocket(t *testing.T) {
	for _, upgrade := range [][]string{
		{"Upgrade", "websocket"}, {"Upgrade", "WebSocket"}, {"Upgrade", "h2c, websocket"}, {"Upgrade", "h2c", "Upgrade", "websocket"},
		{"Upgrade", "websocket", "Accept", "text/event-stream"},
	} {
		for _, query := range []string{"", "?as=poll", "?as=websocket"} {
			got, err := native{}.Read(request("/comet/a,b"+query, upgrade...))
			if err != nil || got.Answer != (websocket{}) || len(got.Channels) != 2 {
				t.Errorf("%v %s: %+v, %v", upgrade, query, got, err)
			}
		}
	}
	got, err := native{channels: []string{"only"}}.Read(request("/page?beat=7&since=all", "Upgrade", "websocket"))
	if err != nil || got.Answer != (websocket{fixed: true}) || got.Beat != 7*time.Second || !reflect.DeepEqual(got.Since, hub.All()) {
		t.Errorf("%+v, %v", got, err)
	}
	r := request("/comet/a")
	r.Method, r.ProtoMajor = http.MethodConnect, 2
	r.Header.Set(":protocol", "websocket")
	if got, err := (native{}).Read(r); err != nil || got.Answer != (websocket{}) {
		t.Errorf("extended CONNECT: %+v, %v", got, err)
	}
	for _, upgrade := range []string{"", "h2c", "websockets", "web socket"} {
		if got, err := (native{}).Read(request("/comet/a", "Upgrade", upgrade)); err != nil || got.Answer != (nativePoll{}) {
			t.Errorf("Upgrade: %s: %+v, %v", upgrade, got, err)
		}
	}
	_, err = native{}.Read(request("/comet/a?as=websocket"))
	wantRefusal(t, err, http.StatusUpgradeRequired, "new WebSocket")
}

func TestWhatAWebSocketsClientSays(t *testing.T) {
	type wish struct {
		leave, join []string
		since       hub.Since
	}
	for message, want := range map[string]wish{
		`{"subscribe":["a","b"]}`:                      {join: []string{"a", "b"}},
		` {"subscribe":["a"],"since":"z009.42"} `:      {join: []string{"a"}, since: hub.After(at(42))},
		`{"subscribe":["a"],"since":"all"}`:            {join: []string{"a"}, since: hub.All()},
		`{"subscribe":["a"],"since":""}`:               {join: []string{"a"}},
		`{"subscribe":["a"],"since":null}`:             {join: []string{"a"}},
		`{"unsubscribe":["b"],"subscribe":["a"]}`:      {leave: []string{"b"}, join: []string{"a"}},
		`{"unsubscribe":["whatever / it was called"]}`: {leave: []string{"whatever / it was called"}},
	} {
		var got wish
		var err error
		if got.leave, got.join, got.since, err = (websocket{}).Hear([]byte(message)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", message, got, err)
		}
		if _, _, _, err := (websocket{fixed: true}).Hear([]byte(message)); err == nil || !strings.Contains(err.Error(), "fixed") {
			t.Errorf("%s of a fixed channel: %v", message, err)
		}
	}
	for message, part := range map[string]string{
		``: "EOF", `[]`: "a message is", `null`: "names channels", `{"subscribe":"a"}`: "a message is", `{"subscribe":["a"]`: "a message is",
		`{"subscribe":["a"]} {"subscribe":["b"]}`: "more behind", `{"subscribe":[]}`: "names channels", `{"since":"all"}`: "names channels",
		`{"subscribe":[""]}`: "empty", `{"subscribe":["comet.js"]}`: "kept", `{"subscribe":["a"],"since":"x"}`: "no position", `{"suscribe":["a"]}`: "suscribe",
	} {
		if _, _, _, err := (websocket{}).Hear([]byte(message)); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v, want %s", message, err, part)
		}
	}
}

func TestWhatAWebSocketSays(t *testing.T) {
	w := websocket{}
	for got, want := range map[string]string{
		string(w.Open(at(42))):                `{"cursor":"z009.42"}` + "\n",
		string(w.Open(hub.Cursor{})):          "",
		string(w.Idle(at(42))):                `{"cursor":"z009.42"}` + "\n",
		string(w.Left([]string{"a"}, at(42))): `{"unsubscribed":["a"],"cursor":"z009.42"}` + "\n",
		string(w.Joined(hub.Joined{Channels: []string{"a", "b"}, At: at(42)})):       `{"subscribed":["a","b"],"cursor":"z009.42"}` + "\n",
		string(w.Joined(hub.Joined{Channels: []string{"a"}, At: at(42), Gap: true})): `{"subscribed":["a"],"cursor":"z009.42","gap":true}` + "\n",
		string(w.Joined(hub.Joined{At: at(42)})):                                     `{"subscribed":[],"cursor":"z009.42"}` + "\n",
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func FuzzWebSocketMessage(f *testing.F) {
	f.Add([]byte(`{"subscribe":["a"],"since":"z009.42","unsubscribe":["b"]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		leave, join, _, err := websocket{}.Hear(b)
		if err == nil && len(leave)+len(join) == 0 {
			t.Error("nothing is wished for")
		}
		for _, name := range join {
			if err == nil && checkNativeName(name) != nil {
				t.Errorf("%q is joined", name)
			}
		}
	})
}
