package dialect

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestADoorbellsNumberIsKeptAsItIsWritten(t *testing.T) {
	for target, number := range map[string]string{
		"/doorbell/22482":                        "22482",
		"/22482":                                 "22482",
		"/a/b/0":                                 "0",
		"/doorbell/007":                          "007",
		"/doorbell/0000?x=1&y":                   "0000",
		"/doorbell/%30%31%37":                    "017",
		"/doorbell/..%2f/17":                     "17",
		"/doorbell/" + strings.Repeat("9", 64):   strings.Repeat("9", 64),
		"/doorbell/" + strings.Repeat("0", 64):   strings.Repeat("0", 64),
		"/doorbell//1":                           "1",
		"/doorbell/" + strings.Repeat("%31", 64): strings.Repeat("1", 64),
	} {
		got, err := doorbell{}.Read(request(target))
		want := Ask{Channels: []string{number}, Since: hub.All(), Wait: Default, Answer: doorbellAnswer{number: number}, Public: true}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.60s: got %+v, %v", target, got, err)
		}
		head, err := doorbell{}.Read(httptest.NewRequest(http.MethodHead, target, nil))
		if err != nil || !reflect.DeepEqual(head, want) {
			t.Errorf("HEAD %.60s: got %+v, %v", target, head, err)
		}
		set, err := doorbell{}.Read(httptest.NewRequest(http.MethodPost, target, strings.NewReader("anything")))
		if err != nil || !reflect.DeepEqual(set, Ask{Publish: number, Public: true}) {
			t.Errorf("POST %.60s: got %+v, %v", target, set, err)
		}
	}
}

func TestADoorbellRefusesWithASentence(t *testing.T) {
	for _, c := range []struct{ target, says string }{
		{"/", "no number"},
		{"/doorbell/", "no number"},
		{"/doorbell/22482/", "no number"},
		{"/doorbell/?22482", "no number"},
		{"/doorbell/x", `"x" is no number`},
		{"/doorbell/-1", "no number"},
		{"/doorbell/+1", "no number"},
		{"/doorbell/1.5", "no number"},
		{"/doorbell/1e9", "no number"},
		{"/doorbell/0x1f", "no number"},
		{"/doorbell/1,2", "no number"},
		{"/doorbell/1%2f2", "no number"},
		{"/doorbell/1%002", "no number"},
		{"/doorbell/1%20", "no number"},
		{"/doorbell/%0a1", "no number"},
		{"/doorbell/1);alert(1", "no number"},
		{"/doorbell/%3C/script%3E", "no number"},
		{"/doorbell/%3Cscript%3E", "no number"},
		{"/doorbell/%D9%A1%D9%A2", "no number"},    // Arabic-Indic digits
		{"/doorbell/%EF%BC%91", "no number"},       // a fullwidth digit
		{"/doorbell/%E0%A5%A7" + "1", "no number"}, // a Devanagari digit
		{"/doorbell/%ff", "no number"},             // no UTF-8
		{"/doorbell/" + strings.Repeat("9", 65), "65 characters"},
		{"/doorbell/" + strings.Repeat("%31", 65), "65 characters"},
		{"/doorbell/" + strings.Repeat("9", 10_000), "10000 characters"},
		{"/doorbell/" + strings.Repeat("x", 10_000), "10000 characters"},
	} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			t.Run(fmt.Sprintf("%s %.40s", method, c.target), func(t *testing.T) {
				ask, err := doorbell{}.Read(httptest.NewRequest(method, c.target, nil))
				wantRefusal(t, err, http.StatusBadRequest, c.says)
				if !ask.Public { // else a page of another site could not read why
					t.Error("the sentence is for the site's own pages alone")
				}
			})
		}
	}
	r := request("/")
	r.URL = &url.URL{Path: "/doorbell/%zz"} // as a router may leave it
	_, err := doorbell{}.Read(r)
	wantRefusal(t, err, http.StatusBadRequest, "no number")
}

func TestADoorbellRingsByteForByte(t *testing.T) {
	for _, number := range []string{"22482", "007", strings.Repeat("9", 64)} {
		a := doorbellAnswer{number: number}
		e := event(42, "text/plain", "</script>")
		e.Channel = number
		gap := &hub.Delivery{Cursor: at(7), Gap: true}
		for promise, d := range map[string]*hub.Delivery{"set": delivery(e), "set twice": delivery(e, e), "perhaps set": gap} {
			if got := string(a.Events(d)); got != "doorbell("+number+");" {
				t.Errorf("%s: got %q", promise, got)
			}
		}
		wantPatience(t, a)
		if contentType(a) != "text/javascript; charset=utf-8" || a.Transport() != "script" {
			t.Errorf("got %s", contentType(a))
		}
	}
}

// wantPatience wants what answers have in common that wait for as long as it
// takes.
func wantPatience(t *testing.T, a Answer) {
	t.Helper()
	if !a.Patient() || a.Stream() || a.Limit() != 0 || a.Open(at(1)) != nil || a.Bye(at(1), time.Second) != nil {
		t.Error("there is no answer but an event")
	}
	if got := string(a.Idle(at(42))); got != "\n" {
		t.Errorf("heartbeat: got %q", got)
	}
	if status, body := a.Full("too many", time.Second); status != 503 || string(body) != "too many\n" {
		t.Errorf("full: got %d %q", status, body)
	}
}

// FuzzDoorbellNumber: whatever the path, there is a number that is harmless in a
// script, or a sentence.
func FuzzDoorbellNumber(f *testing.F) {
	f.Add("doorbell/22482", true)
	f.Add("doorbell/%30%31", false)
	f.Add("doorbell/1%2f2/%zz", false)
	f.Add("\u0661);x", true)
	number := regexp.MustCompile(`^[0-9]{1,64}$`)
	f.Fuzz(func(t *testing.T, path string, set bool) {
		r := request("/")
		u, err := url.Parse("http://example.com/" + path)
		if err != nil {
			u = &url.URL{Path: "/" + path}
		}
		if r.URL = u; set {
			r.Method = http.MethodPost
		}
		ask, err := doorbell{}.Read(r)
		var bad *Error
		switch {
		case errors.As(err, &bad):
			checkSentence(t, bad.Text)
		case err != nil:
			t.Fatal(err)
		case set:
			if !number.MatchString(ask.Publish) || ask.Answer != nil {
				t.Errorf("got %+v", ask)
			}
		default:
			if len(ask.Channels) != 1 || !number.MatchString(ask.Channels[0]) || ask.Publish != "" {
				t.Fatalf("got %+v", ask)
			}
			if got := string(ask.Answer.Events(&hub.Delivery{})); got != "doorbell("+ask.Channels[0]+");" {
				t.Errorf("got %q", got)
			}
		}
	})
}
