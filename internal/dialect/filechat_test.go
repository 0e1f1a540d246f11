package dialect

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

var theChat = fileChat{channel: "chat"}

func TestAFileChatReadsTheTimestampAsPHPDoes(t *testing.T) {
	for query, stamp := range map[string]int64{
		"":                                         0,
		"timestamp=0":                              0,
		"timestamp=1795242510":                     1795242510,
		"&timestamp=1795242510&_=":                 1795242510,
		"timestamp=17&msg=":                        17,
		"msg&timestamp=17":                         17,
		"msg=x&msg=&timestamp=17":                  17, // the last msg counts
		"timestamp=1&timestamp=2":                  2,
		"timestamp=1&time%73tamp=2":                2,
		"+timestamp=17":                            17,
		"timestamp=1&.timestamp=2&TIMESTAMP=3":     1,
		"timestamp=5&timestamp[]=6":                5,
		"timestamp[]=6":                            0,
		"timestamp":                                0,
		"timestamp=":                               0,
		"timestamp=+17":                            17, // a space
		"timestamp=%0a%0917":                       17,
		"timestamp=%2B17":                          17,
		"timestamp=%2B%2B17":                       0,
		"timestamp=017":                            17,
		"timestamp=17.9":                           17,
		"timestamp=17abc":                          17,
		"timestamp=abc":                            0,
		"timestamp=0x1f":                           0,
		"timestamp=undefined":                      0,
		"timestamp=NaN":                            0,
		"timestamp=%zz":                            0,
		"timestamp=%D9%A1":                         0, // an Arabic-Indic digit
		"timestamp=-17":                            0,
		"timestamp=--17":                           0,
		"timestamp=9223372036854775807":            math.MaxInt64,
		"timestamp=99999999999999999999":           math.MaxInt64,
		"timestamp=" + strings.Repeat("9", 9999):   math.MaxInt64,
		"timestamp=-" + strings.Repeat("9", 9999):  0,
		strings.Repeat("x&", 999) + "timestamp=17": 17,
		"timestamp=17;msg=x":                       17, // PHP's separator is & alone
		"timestamp=17&m[sg]=x&msg.=x&_msg=x&msg[=x&[msg]": 17,
	} {
		got, err := theChat.Read(request("/backend.php?" + query))
		want := listen([]string{"chat"}, hub.EachAfterStamp(stamp), Default, fileChatAnswer{})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.60s: got %+v, %v; want since %d", query, got, err, stamp)
		}
	}
}

func TestAMessageGoesToPHPUnlessItIsAnsweredHere(t *testing.T) {
	d, err := New("filechat", Options{Channels: []string{"chat"}, AnswerPublish: true})
	if err != nil {
		t.Fatal(err)
	}
	for query, text := range map[string]string{
		"msg=hello":                          "hello",
		"msg=hello&timestamp=17":             "hello",
		"timestamp=17&msg=hello":             "hello",
		"msg=0":                              "0", // for PHP no empty string
		"msg=+":                              " ",
		"msg=a+b%20%23%3B%26":                "a b #;&",
		"msg=a&msg=b":                        "b",
		"msg=&msg=b":                         "b",
		"msg=a=b":                            "a=b",
		"msg=%zz%4":                          "%zz%4",
		"msg=%C3%B1%ff%00":                   "ñ\xff\x00",
		"msg=%3Cscript%3E":                   "<script>",
		"msg%00x=a":                          "a",
		"%20msg=a":                           "a",
		strings.Repeat("x&", 999) + "msg=a":  "a",
		"msg=" + strings.Repeat("x", 99_999): strings.Repeat("x", 99_999),
	} {
		if _, err := theChat.Read(request("/backend.php?" + query)); !errors.Is(err, ErrPass) {
			t.Errorf("%.60s: not passed on: %v", query, err)
		}
		if _, err := theChat.Read(httptest.NewRequest(http.MethodPost, "/backend.php?"+query, nil)); !errors.Is(err, ErrPass) {
			t.Errorf("POST %.60s: not passed on: %v", query, err)
		}
		got, err := d.Read(request("/backend.php?" + query))
		if err != nil || !reflect.DeepEqual(got, Ask{Publish: "chat", Data: []byte(text)}) {
			t.Errorf("%.60s: got %+v, %v", query, got, err)
		}
		if got, err := d.Read(httptest.NewRequest(http.MethodPost, "/backend.php?"+query, nil)); err != nil || got.Publish != "" || got.Answer != nil {
			t.Errorf("POST %.60s: got %+v, %v", query, got, err)
		}
	}
}

func TestAFileChatRefusesWithASentence(t *testing.T) {
	for _, c := range []struct{ query, says string }{
		{"msg[]=x", "msg is a text"},
		{"msg[]", "msg is a text"},
		{"msg[a]=", "msg is a text"},
		{"msg%5B%5D=x", "msg is a text"},
		{"+msg[]=x", "msg is a text"},
		{"msg=x&msg[]=", "msg is a text"},
		{"msg[]=x&msg=y", "msg is a text"},
		{"msg[a][b]=x", "msg is a text"},
		{"msg=a;b", "cannot have #, ;"},
		{"msg=a&x;y", "cannot have #, ;"},
		{"msg=a#b", "cannot have #"},
		{strings.Repeat("x&", 1000) + "msg=a", "1001 parts"},
		{strings.Repeat("&", 9999), "10000 parts"},
		{"msg=a" + strings.Repeat("&msg=", 1000), "1001 parts"},
	} {
		for _, d := range []fileChat{theChat, {channel: "chat", answerPublish: true}} {
			t.Run(fmt.Sprintf("%.40s %v", c.query, d.answerPublish), func(t *testing.T) {
				r := request("/backend.php")
				r.URL.RawQuery = c.query // some servers and HTTP/2 let # through
				_, err := d.Read(r)
				wantRefusal(t, err, http.StatusBadRequest, c.says)
			})
		}
	}
	// A space comes over HTTP/2 as it stands.
	r := request("/backend.php")
	r.URL.RawQuery = "msg= a"
	_, err := theChat.Read(r)
	wantRefusal(t, err, http.StatusBadRequest, "a space")
}

func TestAFileChatAnswersByteForByte(t *testing.T) {
	for _, c := range []struct{ promise, contentType, data, want string }{
		{"text", "text/plain", `say "hi"` + "\n", `say \"hi\"\n`},
		{"an empty file", "text/plain", "", ""},
		{"HTML", "text/html", "</script><!--\u2028", `\u003c/script\u003e\u003c!--\u2028`},
		{"JSON is a text too", "application/json", `{"a":1}`, `{\"a\":1}`},
		{"not ASCII", "text/plain", "ñ𝄞", "ñ𝄞"},
		{"not UTF-8", "text/plain", "a\xffb", `a\ufffdb`},
		{"controls", "text/plain", "\x00\r", `\u0000\r`},
	} {
		e := event(42, c.contentType, c.data)
		e.Stamp = 1795242560
		if got, want := string(fileChatAnswer{}.Events(delivery(e))), `{"msg":"`+c.want+`","timestamp":1795242560}`; got != want {
			t.Errorf("%s: got %s, want %s", c.promise, got, want)
		}
	}
	wantPatience(t, fileChatAnswer{})
	if a := (fileChatAnswer{}); contentType(a) != "application/json" || a.Transport() != "poll" {
		t.Errorf("got %s", contentType(a))
	}
}

// hostileChats are hostile queries for a chat.
func hostileChats() []string {
	queries := []string{
		"msg=0", "msg=00", "msg=0.0", "msg=null", "msg=%30", "msg=-0", "msg=%E3%80%80", "msg=%A0", "msg[]", "msg[]=&msg=x", "msg=x&msg[]", "msg[a]=&msg=",
		"timestamp=17&msg=", "timestamp[]=17", "timestamp=17&timestamp[]=18", "timestamp[]=17&timestamp=18", "timestamp=17&timestamp=", "timestamp[=17",
	}
	for _, n := range []string{
		"1795242559", "1795242560", "1795242561", "1795242560.0", "1795242559.9", "1795242560.5", "01795242560", "+1795242560", "%2B1795242560", "%20%0a1795242560", "1795242560%20",
		"-1795242560", "-0", "0", "99999999999999999999", "-99999999999999999999", "9223372036854775807", "9223372036854775808", strings.Repeat("9", 400), ".5", "5.", "abc", "1795242560abc", "%00", "1795242560%00", "0x1f",
	} {
		queries = append(queries, "timestamp="+n)
	}
	for _, query := range hostile {
		queries = append(queries, strings.NewReplacer("publish", "msg", "PUBLISH", "MSG", "%70ublish", "%6dsg", "%50ublish", "%4dsg", "pub.lish", "m.sg", "subscribed[a]", "timestamp", "subscribed", "timestamp").Replace(query))
	}
	return queries
}

// agreesOnChat wants that PHP sees what we see, or that PHP never gets to see it.
func agreesOnChat(t testing.TB, query string, s seen) {
	t.Helper()
	r := request("/backend.php")
	r.URL.RawQuery = query
	here, err := fileChat{"chat", true}.Read(r)
	_, passed := theChat.Read(r)
	var bad *Error
	switch {
	case errors.Is(passed, ErrPass):
		if err != nil || !s.Chat.Publishes || !s.Chat.Text || string(s.Chat.Msg) != string(here.Data) {
			t.Errorf("%q: we pass on the message %q, %v; PHP would hold a worker or write %q", query, here.Data, err, s.Chat.Msg)
		}
	case errors.As(passed, &bad):
		checkSentence(t, bad.Text)
	case err != nil || passed != nil:
		t.Errorf("%q: got errors %v and %v", query, err, passed)
	default:
		if s.Chat.Publishes {
			t.Errorf("%q: we hold; PHP would write %q", query, s.Chat.Msg)
		}
		// What is no number is a text for the PHP of today, 0 for that of the seed.
		if _, timestamp, _ := parseFileChat(query); s.Chat.Numeric && !strings.ContainsAny(timestamp, "eE") && s.Chat.Waits != (chatNow <= phpInt(timestamp)) {
			t.Errorf("%q: %q is %d here, and PHP waiting is %v", query, timestamp, phpInt(timestamp), s.Chat.Waits)
		}
	}
}

func TestAMessageThatIsPassedOnIsOneForPHPToo(t *testing.T) {
	p := startPHP(t)
	for _, query := range hostileChats() {
		agreesOnChat(t, query, p.query(t, query))
	}
}

func TestRandomChatsAreReadAsPHPReadsThem(t *testing.T) {
	p := startPHP(t)
	pieces := strings.Fields(`msg msg msg= msg=x msg=0 timestamp timestamp= timestamp=1795242560 1795242559 & & & & & = = [ ] %5B %5D
		a x 0 - -5 + . 1 e9 %00 %20 %0a %2e %zz % %4 %3C %26 %3D %ff %C3%B1 # ; [] [0] 99999999999999999999 / '`)
	for query := range madeOf(pieces) {
		if agreesOnChat(t, query, p.query(t, query)); t.Failed() {
			return
		}
	}
}

// FuzzFileChatQuery: whatever comes, it is a question, a sentence, or for PHP the
// same message as for us.
func FuzzFileChatQuery(f *testing.F) {
	for _, query := range hostileChats() {
		f.Add(query)
	}
	var p *php
	if _, err := exec.LookPath("php"); err == nil || os.Getenv("CI") != "" {
		p = startPHP(f)
	}
	f.Fuzz(func(t *testing.T, query string) {
		if strings.ContainsFunc(query, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return // net/http refuses those
		}
		msg, timestamp, err := parseFileChat(query)
		if n := phpInt(timestamp); n < 0 || err != nil && (msg != "" || timestamp != "") {
			t.Errorf("got %q, %q (%d), %v", msg, timestamp, n, err)
		}
		if p != nil {
			agreesOnChat(t, query, p.query(t, query))
		}
	})
}
