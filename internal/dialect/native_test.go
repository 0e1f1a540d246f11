package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestNativeReadsWhatARequestAsksFor(t *testing.T) {
	orders := []string{"orders"}
	poll, sse := nativePoll{}, nativeSSE{}
	for _, c := range []struct {
		target  string
		headers []string
		want    Ask
	}{
		{target: "/comet/orders", want: listen(orders, hub.Since{}, Default, poll)},
		{target: "/comet/orders,alerts,orders", want: listen([]string{"orders", "alerts", "orders"}, hub.Since{}, Default, poll)},
		{target: "/a/b/c/orders?x=y&jsonp=f", want: listen(orders, hub.Since{}, Default, poll)},
		{target: "/orders", want: listen(orders, hub.Since{}, Default, poll)},
		{target: "/comet/..%2f/orders", want: listen(orders, hub.Since{}, Default, poll)},
		{target: "/comet/A9._:@=+-", want: listen([]string{"A9._:@=+-"}, hub.Since{}, Default, poll)},
		{target: "/comet/%6frders", want: listen(orders, hub.Since{}, Default, poll)},
		{target: "/comet/a%2Cb", want: Ask{}}, // a comma in a name is no separator, and no name has one
		{target: "/comet/" + strings.Repeat("n", 128), want: listen([]string{strings.Repeat("n", 128)}, hub.Since{}, Default, poll)},
		{target: "/comet/comet", want: listen([]string{"comet"}, hub.Since{}, Default, poll)},
		{target: "/comet/a.js", want: listen([]string{"a.js"}, hub.Since{}, Default, poll)},

		{target: "/comet/orders?since=now", want: listen(orders, hub.Since{}, Default, poll)},
		{target: "/comet/orders?since=all", want: listen(orders, hub.All(), Default, poll)},
		{target: "/comet/orders?since=z009.42", want: listen(orders, hub.After(at(42)), Default, poll)},
		{target: "/comet/orders?since=z009.42&wait=7", want: listen(orders, hub.After(at(42)), 7*time.Second, poll)},
		// An empty since answers at once with the current cursor.
		{target: "/comet/orders?since=", want: listen(orders, hub.Since{}, 0, poll)},
		{target: "/comet/orders?since", want: listen(orders, hub.Since{}, 0, poll)},
		{target: "/comet/orders?since=&wait=7", want: listen(orders, hub.Since{}, 0, poll)},

		{target: "/comet/orders?wait=", want: listen(orders, hub.Since{}, Default, poll)},
		{target: "/comet/orders?wait=0", want: listen(orders, hub.Since{}, 0, poll)},
		{target: "/comet/orders?wait=2147483647", want: listen(orders, hub.Since{}, 2147483647*time.Second, poll)},

		{target: "/comet/orders?as=poll", want: listen(orders, hub.Since{}, Default, poll)},
		{target: "/comet/orders?as=", want: listen(orders, hub.Since{}, Default, poll)},
		{target: "/comet/orders?as=sse", want: listen(orders, hub.Since{}, Default, sse)},
		{target: "/comet/orders", headers: []string{"Accept", "text/event-stream"}, want: listen(orders, hub.Since{}, Default, sse)},
		{target: "/comet/orders", headers: []string{"Accept", "*/*", "Accept", "text/html, Text/Event-Stream ;q=0.9"}, want: listen(orders, hub.Since{}, Default, sse)},
		{target: "/comet/orders?as=poll", headers: []string{"Accept", "text/event-stream"}, want: listen(orders, hub.Since{}, Default, poll)},
		{target: "/comet/orders", headers: []string{"Accept", "text/event-stream-x, */*"}, want: listen(orders, hub.Since{}, Default, poll)},

		{target: "/comet/orders", headers: []string{"Last-Event-ID", "z009.42"}, want: listen(orders, hub.After(at(42)), Default, poll)},
		{target: "/comet/orders", headers: []string{"Last-Event-ID", ""}, want: listen(orders, hub.Since{}, Default, poll)},
		{target: "/comet/orders?since=", headers: []string{"Last-Event-ID", ""}, want: listen(orders, hub.Since{}, 0, poll)},
	} {
		got, err := native{}.Read(request(c.target, c.headers...))
		if len(c.want.Channels) == 0 {
			wantRefusal(t, err, http.StatusBadRequest, "")
			continue
		}
		got.Position = nil // see TestWhereAPositionStands
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%.99s %q:\n got %+v, %v\nwant %+v", c.target, c.headers, got, err, c.want)
		}
	}
}

// An EventSource comes back with the address that it was made with, whatever it
// has read since.
func TestLastEventIDIsLaterThanTheAddressOfTheStream(t *testing.T) {
	for _, since := range []string{"now", "all", "", "z009.7"} {
		got, err := native{}.Read(request("/comet/orders?as=sse&since="+since, "Last-Event-ID", "z009.42"))
		if err != nil || !reflect.DeepEqual(got.Since, hub.After(at(42))) || got.Wait != Default {
			t.Errorf("since=%s: got %+v, %v", since, got, err)
		}
	}
}

func TestAStrangersLastEventIDIsAGapAndNoError(t *testing.T) {
	for _, id := range []string{"17", "Z009.42", "z009.-1", "a b", strings.Repeat("9", 9000)} {
		got, err := native{}.Read(request("/comet/orders?as=sse", "Last-Event-ID", id))
		if err != nil || !reflect.DeepEqual(got.Since, hub.After(hub.Cursor{})) {
			t.Errorf("%.20s: got %+v, %v", id, got, err)
		}
	}
}

func TestNativeRefusesBadRequestsWithASentence(t *testing.T) {
	for _, c := range []struct{ target, says string }{
		{"/comet/", "no channel"},
		{"/", "no channel"},
		{"/comet/../", "no channel"},
		{"/comet/..", "begins with '.'"},
		{"/comet/%2e%2e%2f", "begins with '.'"},
		{"/comet/a%2f..%2fb", "not allowed"},
		{"/comet/a%5cb", "not allowed"},
		{"/comet/a%00", "not allowed"},
		{"/comet/%00", "not allowed"},
		{"/comet/a%0ab", "not allowed"},
		{"/comet/a%20b", "not allowed"},
		{"/comet/%C3%A9", "not allowed"},
		{"/comet/a%ff", "not allowed"},
		{"/comet/a*", "not allowed"},
		{"/comet/-x", "begins with '-'"},
		{"/comet/a,_b", "begins with '_'"},
		{"/comet/" + strings.Repeat("n", 129), "129 bytes"},
		{"/comet/" + strings.Repeat("n", 10<<10), "10240 bytes"},
		{"/comet/" + strings.Repeat("n,", 9999) + "n", "10000 channels"},
		{"/comet/" + strings.Repeat(",", 99_999), "100000 channels"},
		{"/comet/a,,b", "a comma too many"},
		{"/comet/,a", "a comma too many"},
		{"/comet/a,", "a comma too many"},
		{"/comet/orders?x=%zz", "%zz"},
		{"/comet/orders?since=%", "query"},
		{"/comet/orders?a;b", "semicolon"},
		{"/comet/orders?since=garbage", "no position"},
		{"/comet/orders?since=NOW", "no position"},
		{"/comet/orders?since=Z009.42", "no position"},
		{"/comet/orders?since=z009.042", "no position"},
		{"/comet/orders?since=-1", "no position"},
		{"/comet/orders?since=z009.-1", "no position"},
		{"/comet/orders?since=z009.99999999999999999999", "no position"},
		{"/comet/orders?since=" + strings.Repeat("9", 9000), "no position"},
		{"/comet/orders?since=%00%0a", `"\x00\n"`},
		{"/comet/orders?since=now&since=now", "2 times"},
		{"/comet/orders?since=&since=z009.1", "2 times"},
		{"/comet/orders?wait=-1", "no whole number"},
		{"/comet/orders?wait=%2B1", "no whole number"},
		{"/comet/orders?wait=1.5", "no whole number"},
		{"/comet/orders?wait=soon", "no whole number"},
		{"/comet/orders?wait=2147483648", "below 2147483648"},
		{"/comet/orders?wait=99999999999999999999", "below 2147483648"},
		{"/comet/orders?as=SSE", "use poll, sse, stream, multipart, frame or websocket"},
		{"/comet/orders?as=" + strings.Repeat("s", 9000), "use poll, sse, stream, multipart, frame or websocket"},
	} {
		t.Run(fmt.Sprintf("%.40s", c.target), func(t *testing.T) {
			_, err := native{}.Read(request(c.target))
			wantRefusal(t, err, http.StatusBadRequest, c.says)
		})
	}
}

func TestTheClientLibrarysNameIsNoChannel(t *testing.T) {
	for _, target := range []string{"/comet/comet.js", "/comet/comet.min.js", "/comet/comet-1.2.js?x", "/comet/a,comet.js"} {
		_, err := native{}.Read(request(target))
		wantRefusal(t, err, http.StatusNotFound, "client library")
	}
}

func TestBadPercentEncodingIsRefusedWhereARouterLeftIt(t *testing.T) {
	_, err := channelsOf("/comet/a%zz")
	wantRefusal(t, err, http.StatusBadRequest, "percent-encoded")
}

// FuzzNativeRead: whatever comes, the answer is a question that the hub takes or
// a sentence.
func FuzzNativeRead(f *testing.F) {
	f.Add("/comet/orders,alerts", "since=z009.42&wait=3&as=sse", "text/event-stream", "z009.43")
	f.Add("/comet/a%2f,b%00", "since=&since=%zz", "*/*", "x")
	f.Add("/comet/../%2e%2e", "wait=-1;as=%", ",;,", "\x00")
	name := regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:@=+-]{0,127}$`)
	f.Fuzz(func(t *testing.T, path, query, accept, lastID string) {
		r := request("/")
		u, err := url.Parse("http://example.com/" + path)
		if err != nil {
			u = &url.URL{Path: "/" + path}
		}
		r.URL = u
		u.RawQuery = query
		r.Header["Accept"] = []string{accept}
		r.Header["Last-Event-Id"] = []string{lastID}
		ask, err := native{}.Read(r)
		if err != nil {
			var bad *Error
			if !errors.As(err, &bad) || bad.Status != 400 && bad.Status != 404 {
				t.Fatalf("got error %v", err)
			}
			checkSentence(t, bad.Text)
			return
		}
		if len(ask.Channels) == 0 || len(ask.Channels) > maxChannels || ask.Answer == nil || ask.Publish != "" {
			t.Errorf("got %+v", ask)
		}
		if slices.ContainsFunc(ask.Channels, func(n string) bool { return !name.MatchString(n) }) {
			t.Errorf("got channels %q", ask.Channels)
		}
		if ask.Wait != Default && (ask.Wait < 0 || ask.Wait > 1<<31*time.Second) {
			t.Errorf("got wait %v", ask.Wait)
		}
	})
}

func TestNativeAnswersInTheFormThatIsAskedFor(t *testing.T) {
	events := []string{"Accept", "text/event-stream"}
	long := strings.Repeat("f", 128)
	for _, c := range []struct {
		query   string
		headers []string
		jsonp   bool
		want    Answer
	}{
		{query: "as=stream", want: nativeStream{}},
		{query: "as=stream&send=event", want: nativeStream{}},
		{query: "as=stream", headers: events, want: nativeStream{}},
		{query: "as=multipart", want: multipart{}},
		{query: "as=multipart&send=event", want: multipart{}},
		{query: "as=multipart&send=", want: multipart{}},
		{query: "as=multipart&send=data", want: multipart{onlyData: true}},
		{query: "as=poll&send=event", want: nativePoll{}},
		{query: "as=sse&send=event", want: nativeSSE{whole: true}},
		{query: "as=sse&send=data", want: nativeSSE{}},
		{query: "as=sse&beat=15", want: nativeSSE{beat: true}},
		{query: "send=event&beat=0", headers: events, want: nativeSSE{whole: true, beat: true}},
		{query: "as=stream&beat=15", want: nativeStream{beat: true}},
		{query: "as=stream&beat=", want: nativeStream{}},
		// An empty callback is none.
		{query: "as=stream&callback=", want: nativeStream{}},
		{query: "callback=", jsonp: true, want: nativePoll{}},
		{query: "callback=&as=sse", want: nativeSSE{}},

		{query: "as=frame&callback=parent.update", want: frame{callback: "parent.update", heartbeat: time.Minute}},
		{query: "as=frame&callback=f&send=event", headers: events, want: frame{callback: "f", heartbeat: time.Minute}},
		{query: "as=frame&callback=f&send=data", want: frame{callback: "f", onlyData: true, heartbeat: time.Minute}},
		{query: "as=frame&callback=f", jsonp: true, want: frame{callback: "f", heartbeat: time.Minute}},
		{query: "as=frame&callback=%24_.a9", want: frame{callback: "$_.a9", heartbeat: time.Minute}},
		{query: "as=frame&callback=" + long, want: frame{callback: long, heartbeat: time.Minute}},
		{query: "as=frame&callback=f", headers: []string{"Sec-Fetch-Dest", "iframe"}, want: frame{callback: "f", heartbeat: time.Minute}},
		{query: "as=frame&callback=f", headers: []string{"Sec-Fetch-Dest", "empty"}, want: frame{callback: "f", heartbeat: time.Minute}},
		{query: "as=stream", headers: []string{"Sec-Fetch-Dest", "document"}, want: nativeStream{}},

		{query: "callback=f", jsonp: true, want: jsonp{callback: "f"}},
		{query: "as=poll&callback=jQuery1.9_7", jsonp: true, want: jsonp{callback: "jQuery1.9_7"}},
		{query: "callback=a..b.", jsonp: true, want: jsonp{callback: "a..b."}},
		{query: "callback=" + long, headers: []string{"Accept", "*/*"}, jsonp: true, want: jsonp{callback: long}},
	} {
		d := native{jsonp: c.jsonp, heartbeat: time.Minute}
		got, err := d.Read(request("/comet/orders?"+c.query, c.headers...))
		if err != nil || !reflect.DeepEqual(got.Answer, c.want) {
			t.Errorf("%.60s %q: got %#v, %v; want %#v", c.query, c.headers, got.Answer, err, c.want)
		}
		if _, script := c.want.(jsonp); got.Public != script {
			t.Errorf("%.60s: readable for everybody is %v", c.query, got.Public)
		}
	}
}

func TestNativeRefusesFormsThatDoNotGoTogether(t *testing.T) {
	const notAFunction = "no name of a function"
	for _, c := range []struct {
		query, header string
		jsonp         bool
		says          string
	}{
		{query: "callback=f", says: "the flag jsonp"},
		{query: "as=poll&callback=f", says: "the flag jsonp"},
		{query: "as=sse&callback=f", says: "no use for it", jsonp: true},
		{query: "as=stream&callback=f", says: "no use for it", jsonp: true},
		{query: "as=multipart&callback=f", says: "no use for it", jsonp: true},
		{query: "as=nonsense&callback=f", says: "no use for it", jsonp: true},
		{query: "callback=f", header: "Accept: text/event-stream", says: "no use for it", jsonp: true},

		{query: "as=frame", says: "needs the function"},
		{query: "as=frame&callback=", says: "needs the function"},
		{query: "as=frame&callback=f", header: "Sec-Fetch-Dest: document", says: "for an iframe"},

		{query: "send=all", says: `send="all" is not known`},
		{query: "as=multipart&send=Data", says: "is not known"},
		{query: "as=multipart&send=" + strings.Repeat("x", 9000), says: "is not known"},
		{query: "send=data", says: "the whole event"},
		{query: "as=poll&send=data", says: "the whole event"},
		{query: "as=stream&send=data", says: "the whole event"},
		{query: "callback=f&send=data", says: "the whole event", jsonp: true},

		// A WebSocket's handshake whose Upgrade was lost on the way is told so at once.
		{query: "beat=15", says: "beat goes with as=sse, as=stream or as=websocket"},
		{query: "as=poll&beat=15", says: "beat goes with as=sse, as=stream or as=websocket"},
		{query: "as=multipart&beat=15", says: "beat goes with as=sse, as=stream or as=websocket"},
		{query: "as=frame&callback=f&beat=15", says: "beat goes with as=sse, as=stream or as=websocket"},
		{query: "as=sse&beat=-1", says: "no whole number"},
		{query: "as=sse&beat=1.5", says: "no whole number"},
		{query: "as=sse&beat=99999999999999999999", says: "below 2147483648"},

		{query: "callback=alert(1)%2F%2F", says: notAFunction, jsonp: true},
		{query: "callback=%3C/script%3E", says: notAFunction, jsonp: true},
		{query: "callback=%3Cscript%3E", says: notAFunction, jsonp: true},
		{query: "callback=f%0A", says: notAFunction, jsonp: true},
		{query: "callback=f%00", says: notAFunction, jsonp: true},
		{query: "callback=f;", says: "semicolon", jsonp: true},
		{query: "callback=f%3B", says: notAFunction, jsonp: true},
		{query: "callback=+f", says: notAFunction, jsonp: true},
		{query: "callback=f%20", says: notAFunction, jsonp: true},
		{query: "callback=f=g", says: notAFunction, jsonp: true},
		{query: "callback=f[0]", says: notAFunction, jsonp: true},
		{query: "callback=f-1", says: notAFunction, jsonp: true},
		{query: "callback=%22", says: notAFunction, jsonp: true},
		{query: "callback=.f", says: notAFunction, jsonp: true},
		{query: "callback=9f", says: notAFunction, jsonp: true},
		{query: "callback=.", says: notAFunction, jsonp: true},
		{query: "callback=%C3%A9", says: notAFunction, jsonp: true},
		{query: "callback=a%E2%80%A8", says: notAFunction, jsonp: true},
		{query: "callback=%F0%9D%95%B2", says: notAFunction, jsonp: true},
		{query: "callback=%ff", says: notAFunction, jsonp: true},
		{query: "callback=" + strings.Repeat("f", 129), says: notAFunction, jsonp: true},
		{query: "callback=" + strings.Repeat("f", 100_000), says: notAFunction, jsonp: true},
		// Whatever else is wrong, this says so first.
		{query: "as=frame&callback=alert(1)//", says: notAFunction},
		{query: "as=sse&callback=alert(1)//", says: notAFunction},
	} {
		t.Run(fmt.Sprintf("%.40s", c.query), func(t *testing.T) {
			var headers []string
			if name, value, ok := strings.Cut(c.header, ": "); ok {
				headers = []string{name, value}
			}
			ask, err := native{jsonp: c.jsonp}.Read(request("/comet/orders?"+c.query, headers...))
			wantRefusal(t, err, http.StatusBadRequest, c.says)
			if ask.Public {
				t.Error("readable for everybody")
			}
		})
	}
}

// TestAStreamBeatsNoFasterThanFiveSeconds, whatever its client asks for.
func TestAStreamBeatsNoFasterThanFiveSeconds(t *testing.T) {
	for query, want := range map[string]time.Duration{
		"": 0, "beat=": 0, "beat=0": 5 * time.Second, "beat=4": 5 * time.Second, "beat=5": 5 * time.Second,
		"beat=6": 6 * time.Second, "beat=2147483647": 2147483647 * time.Second,
	} {
		got, err := native{}.Read(request("/comet/orders?as=stream&" + query))
		if err != nil || got.Beat != want {
			t.Errorf("%q: got %s, %v; want %s", query, got.Beat, err, want)
		}
	}
}

func TestFixedChannelsAreThoseOfEveryRequest(t *testing.T) {
	d, err := New("native", Options{Channels: []string{"orders", "alerts"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{"/", "/comet.php", "/comet/others", "/a%20b/..%2f", "/comet/comet.js", "/comet/" + strings.Repeat(",", 9999)} {
		got, err := d.Read(request(target + "?since=z009.42"))
		got.Position = nil
		if want := listen([]string{"orders", "alerts"}, hub.After(at(42)), Default, nativePoll{}); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.40s: got %+v, %v", target, got, err)
		}
	}
	d, err = New("native", Options{Channels: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := d.Read(request("/comet/others")); err != nil || !slices.Equal(got.Channels, []string{"others"}) {
		t.Errorf("no fixed channel: got %+v, %v", got, err)
	}
}

func TestOptionsThatADialectCannotUseAreRefused(t *testing.T) {
	one := []string{"a"}
	for _, c := range []struct {
		name string
		o    Options
		says string // empty: it can
	}{
		{"native", Options{}, ""},
		{"native", Options{Channels: one, JSONP: true, AnswerPublish: true}, ""},
		{"native", Options{Channels: []string{"a", "b c"}}, "not allowed"},
		{"native", Options{Channels: []string{""}}, "empty"},
		{"native", Options{Channels: []string{"_a"}}, "begins with"},
		{"native", Options{Channels: []string{strings.Repeat("n", 129)}}, "129 bytes"},
		{"novcomet", Options{AnswerPublish: true}, ""},
		{"novcomet", Options{Channels: one}, "channel option"},
		{"novcomet", Options{JSONP: true}, "no JSONP"},
		{"doorbell", Options{}, ""},
		{"doorbell", Options{Channels: one}, "channel option"},
		{"doorbell", Options{JSONP: true}, "jsonp"},
		{"doorbell", Options{AnswerPublish: true}, "answer_publish"},
		{"filechat", Options{Channels: one, AnswerPublish: true}, ""},
		{"filechat", Options{Channels: []string{"data ñ"}}, ""},
		{"filechat", Options{}, "watch /srv/www/data.txt content"},
		{"filechat", Options{Channels: []string{"a", "b"}}, "one channel"},
		{"filechat", Options{Channels: []string{""}}, "channel:"},
		{"filechat", Options{Channels: []string{"a\n"}}, "channel:"},
		{"filechat", Options{Channels: []string{strings.Repeat("n", 256)}}, "channel:"},
		{"filechat", Options{Channels: one, JSONP: true}, "no JSONP"},
		{"Native", Options{}, "not known"},
	} {
		d, err := New(c.name, c.o)
		if c.says == "" {
			if err != nil || d == nil {
				t.Errorf("%s %+v: got %v", c.name, c.o, err)
			}
			continue
		}
		if err == nil || d != nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s %+v: got %v, %v", c.name, c.o, d, err)
		}
	}
}
