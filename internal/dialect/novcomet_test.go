package dialect

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

func TestNovCometReadsTheQueriesOfTheSeed(t *testing.T) {
	const now = "1795242599"
	for _, c := range []struct {
		query string
		ids   []string
		times []int64
	}{
		{"&subscribed[customAlert]=1795242510&subscribed[customAlert2]=1795242511&" + now, []string{"customAlert", "customAlert2"}, []int64{1795242510, 1795242511}},
		{"&subscribed%5BcustomAlert%5D=1795242510&" + now, []string{"customAlert"}, []int64{1795242510}},
		{"_args=1&&subscribed[a]=1&&" + now + "&_=17", []string{"a"}, []int64{1}},
		{"subscribed[a+b]=1&subscribed[c%20d]=2", []string{"a b", "c d"}, []int64{1, 2}},
		{"+subscribed[a]=1&%20subscribed[b]=2", []string{"a", "b"}, []int64{1, 2}},
		{"subscribed[%C3%B1]=1", []string{"ñ"}, []int64{1}},
		{"subscribed[a.b]=1&subscribed[c]x=2", []string{"a.b", "c"}, []int64{1, 2}},
		// The last one of a name counts, in the first one's place.
		{"subscribed[a]=1&subscribed[b]=2&subscribed[a]=3", []string{"a", "b"}, []int64{3, 2}},
		// A publish that is none for PHP.
		{"publish=&subscribed[a]=1", []string{"a"}, []int64{1}},
		{"publish&subscribed[a]=1", []string{"a"}, []int64{1}},
		{"publish=x&publish=&subscribed[a]=1", []string{"a"}, []int64{1}},
		{"publish=x&publish[]=1&subscribed[a]=1", []string{"a"}, []int64{1}},
		{"publish=x&publish[%zz]=1&subscribed[a]=1", []string{"a"}, []int64{1}},
		{"publish=x&publish%00%zz=&subscribed[a]=1", []string{"a"}, []int64{1}},
		{"publish=x&+publish&subscribed[a]=1", []string{"a"}, []int64{1}},
		{"pub.lish=x&Publish=x&publish[=x&[publish]=x&subscribed[a]=1", []string{"a"}, []int64{1}},
		// Times: 0 and what is no number are now; so is the future, for the hub.
		{"subscribed[a]=0&subscribed[b]=&subscribed[c]", []string{"a", "b", "c"}, []int64{0, 0, 0}},
		{"subscribed[a]=undefined&subscribed[b]=%zz&subscribed[c]=NaN", []string{"a", "b", "c"}, []int64{0, 0, 0}},
		{"subscribed[a]=99999999999999999999&subscribed[b]=4102444800", []string{"a", "b"}, []int64{math.MaxInt64, 4102444800}},
		{"subscribed[a]=1795242510.5&subscribed[b]=+12&subscribed[c]=%2B12", []string{"a", "b", "c"}, []int64{17952425105, 12, 12}},
		{"subscribed[a]=1-2&subscribed[b]=--5&subscribed[c]=-&subscribed[d]=-0", []string{"a", "b", "c", "d"}, []int64{1, 0, 0, 0}},
		// A clock before 1970 gets everything, and with it a second that is right.
		{"subscribed[a]=-5&subscribed[b]=-99999999999999999999", []string{"a", "b"}, []int64{1, 1}},
	} {
		got, err := novComet{}.Read(request("/comet.php?" + c.query))
		want := listen(c.ids, hub.AfterStamps(c.times), Default, novCometAnswer{})
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\n got %+v, %v\nwant %+v", c.query, got, err, want)
		}
	}
}

func TestNovCometPublishesGoToPHPUnlessTheyAreAnsweredHere(t *testing.T) {
	for query, id := range map[string]string{
		"&publish=customAlert":                  "customAlert",
		"publish=a&subscribed[b]=1&17":          "a",
		"publish=&publish=a":                    "a",
		"publish[]=1&publish=a":                 "a",
		"publish=0":                             "0",
		"publish=a+b%2e":                        "a b.",
		"publish=%C3%B1":                        "ñ",
		"publish=a%zz":                          "a%zz",
		"publish%00x=a":                         "a",
		"%20publish=a":                          "a",
		"publish=a&publish[":                    "a",
		"publish=a&x[publish]=1&.publish=":      "a",
		strings.Repeat("x&", 999) + "publish=a": "a",
	} {
		if _, err := (novComet{}).Read(request("/comet.php?" + query)); !errors.Is(err, ErrPass) {
			t.Errorf("%.40s: not passed on: %v", query, err)
		}
		d, _ := New("novcomet", Options{AnswerPublish: true})
		got, err := d.Read(request("/comet.php?" + query))
		if err != nil || !reflect.DeepEqual(got, Ask{Publish: id}) {
			t.Errorf("%.40s: got %+v, %v", query, got, err)
		}
	}
}

func TestNovCometRefusesWithASentence(t *testing.T) {
	for _, c := range []struct{ query, says string }{
		{"", "nothing is subscribed"},
		{"&1795242599", "nothing is subscribed"},
		{"publish=", "nothing is subscribed"},
		{"publish[]=a", "nothing is subscribed"},
		{"subscribed[a=1", "nothing is subscribed"},
		{"subscribed=a", "needs a name"},
		{"subscribed[a]=1&subscribed", "needs a name"},
		{"subscribed[]=1", "a name is missing"},
		{"subscribed[+]=1", "a name is missing"},
		{"subscribed[a][b]=1", "']'"},
		{"subscribed[..%2f..%2fetc]=1", "begins with a dot"},
		{"subscribed[a%2fb]=1", "'/'"},
		{"subscribed[a%5cb]=1", `'\\'`},
		{"subscribed[a%0a]=1", `'\n'`},
		{"subscribed[a%7f]=1", `'\x7f'`},
		{"subscribed[%ff]=1", "not UTF-8"},
		{"subscribed[" + strings.Repeat("n", 129) + "]=1", "129 bytes"},
		{"subscribed[" + strings.Repeat("n", 10<<10) + "]=1", "10240 bytes"},
		// What PHP's filter would take away or change, and what no file's name has.
		{"publish=%3Cb%3E", "'<'"},
		{"publish=%3C", "'<'"},
		{"publish=a%00", `'\x00'`},
		{"publish=%00", `'\x00'`},
		{"publish=a%27", `'\''`},
		{"publish=a%22", `'"'`},
		{"publish=+", "a name is missing"},
		{"publish=..%2fx", "begins with a dot"},
		{"publish=a%2fb", "'/'"},
		// Servers behind us may see another query there.
		{"publish=a#b", "cannot have #"},
		{"publish=a;publish=", "cannot have #, ;"},
		{"x;publish=&publish=a", "cannot have #, ;"},
		// PHP would not see the publish.
		{strings.Repeat("x&", 1000) + "publish=a", "1001 parts"},
		{strings.Repeat("subscribed[a]=1&", 9999) + "publish=a", "10000 parts"},
	} {
		t.Run(fmt.Sprintf("%.40s", c.query), func(t *testing.T) {
			_, err := novComet{}.Read(request("/comet.php?" + c.query))
			wantRefusal(t, err, http.StatusBadRequest, c.says)
		})
	}
	// A space comes over HTTP/2 as it stands.
	r := request("/comet.php")
	r.URL.RawQuery = "publish= a"
	_, err := novComet{}.Read(r)
	wantRefusal(t, err, http.StatusBadRequest, "a space")
}

// stamped is what a client gets whose channels' stamps have risen.
func stamped(channels ...string) *hub.Delivery {
	d := &hub.Delivery{Cursor: at(9)}
	for i, name := range channels {
		d.Events = append(d.Events, &hub.Event{Channel: name, Stamp: 1795242560 + int64(i)})
	}
	return d
}

func TestNovCometAnswersByteForByte(t *testing.T) {
	a := novCometAnswer{}
	for _, c := range []struct {
		promise string
		got     []byte
		want    string
	}{
		{"nothing happened", a.Idle(at(9)), `{"s":0}`},
		{"stop", a.Bye(at(9), time.Second), `{"s":0}`},
		{"one", a.Events(stamped("customAlert")), `{"s":1,"k":{"customAlert":1795242560}}`},
		{"two", a.Events(stamped("b", "a")), `{"s":1,"k":{"b":1795242560,"a":1795242561}}`},
		{"a name like a number", a.Events(stamped("7")), `{"s":1,"k":{"7":1795242560}}`},
		{"names like a list's", a.Events(stamped("0", "1")), `{"s":1,"k":[1795242560,1795242561]}`},
		{"names like another list's", a.Events(stamped("1", "0")), `{"s":1,"k":{"1":1795242560,"0":1795242561}}`},
		{"not ASCII", a.Events(stamped("ñ€𝄞\u2028")), `{"s":1,"k":{"\u00f1\u20ac\ud834\udd1e\u2028":1795242560}}`},
	} {
		if string(c.got) != c.want {
			t.Errorf("%s: got %s, want %s", c.promise, c.got, c.want)
		}
	}
	if a.Stream() || contentType(a) != "application/json" || a.Open(at(1)) != nil {
		t.Error("an answer is one JSON object")
	}
	// The seed's JavaScript never asks again after an error.
	if status, body := a.Full("too many", time.Second); status != 200 || string(body) != `{"s":0}` {
		t.Errorf("full: got %d %s", status, body)
	}
}
