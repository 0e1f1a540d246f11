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
		{"/comet/orders?as=websocket", "use poll, sse, stream, multipart or frame"},
		{"/comet/orders?as=SSE", "use poll, sse, stream, multipart or frame"},
		{"/comet/orders?as=" + strings.Repeat("s", 9000), "use poll, sse, stream, multipart or frame"},
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
