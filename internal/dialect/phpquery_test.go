package dialect

import (
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// agrees wants that PHP sees what we see, or that PHP never gets to see it.
func agrees(t testing.TB, query string, s seen) {
	t.Helper()
	r := request("/comet.php")
	r.URL.RawQuery = query
	here, err := novComet{answerPublish: true}.Read(r)
	_, passed := novComet{}.Read(r)
	var bad *Error
	switch {
	case errors.Is(passed, ErrPass):
		if !s.Publishes || string(s.Publish) != here.Publish {
			t.Errorf("%q: we pass on that %q is published, and PHP would hold a worker or publish %q", query, here.Publish, s.Publish)
		}
	case errors.As(passed, &bad):
		checkSentence(t, bad.Text)
	case err != nil || passed != nil:
		t.Errorf("%q: got errors %v and %v", query, err, passed)
	default:
		if s.Publishes || s.Subscribed == nil {
			t.Errorf("%q: we hold %q; PHP publishes %q", query, here.Channels, s.Publish)
		}
		q, _ := parseNovComet(query)
		var want []string
		for i, sub := range s.Subscribed {
			want = append(want, string(sub.ID))
			if i < len(q.times) && q.times[i] != ourTime(t, sub.Time) {
				t.Errorf("%q: the %d. time is %d here and %s in PHP", query, i+1, q.times[i], sub.Time)
			}
		}
		if !slices.Equal(here.Channels, want) {
			t.Errorf("%q: we hold %q; PHP would %q", query, here.Channels, want)
		}
	}
}

// ourTime is what PHP's number means for us: before 1970 is older than
// everything.
func ourTime(t testing.TB, text string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil:
		t.Fatal(err)
	case n < 0:
		return 1
	}
	return n
}

// hostile are queries in which a reader of our own would see another thing than
// PHP does.
var hostile = []string{
	"", "&", "publish", "publish=", "publish=x", "publish=x&publish=", "publish=&publish=x", "publish=x&publish",
	"publish=x&publish[]=1", "publish=x&publish[a]=", "publish=x&publish[a][b]=", "publish=x&publish[=", "publish=x&publish]=",
	"publish=x&publish%5B%5D=", "publish=x&publish%5b%5d", "publish=x&publish[]%zz", "publish=x&publish[%zz]=1", "publish=x&publish[%]=",
	"publish=x&publish%00=", "publish=x&publish%00%zz=", "publish=x&publish%00[]=", "publish=x&%00publish=", "publish%00=x", "publish%00%=x",
	"publish=x&+publish=", "publish=x&%20publish=", "publish=x&%20%20+publish[]=", "publish=x&%2520publish=", "publish=x&%09publish=", "publish=x&publish+=",
	"pub.lish=x", "publish=x&pub.lish=", "publish=x&.publish=", "publish=x&[publish]=", "publish=x&[publish=", "publish=x&publish.=",
	"publish=x&PUBLISH=", "publish=x&%70ublish=", "publish=x&%50ublish=", "%70ublish=x", "publish%3d=x", "publish=x&publish%3D=", "publish%26=x",
	"publish==", "=publish", "publish=x&=publish", "publish=x&=", "publish=%", "publish=%4", "publish=%zz", "publish=%3", "publish=+", "publish=%20x",
	"publish=%3C", "publish=%3Cb%3E", "publish=%3C%3Fphp", "publish=<!--", "publish=x%3C", "publish=%3E", "publish=%00", "publish=x%00", "publish=%00%3C", "publish=%26lt;",
	"publish=%27", "publish=%22", "publish=%60", "publish=0", "publish=00", "publish=false", "publish=%ff", "publish=%C3%B1", "publish=ñ", "publish=%01", "publish=%7f",
	"publish=x#", "publish=#x", "publish=x;publish=", "x;publish=x", "publish=x%3Bpublish%3D", "publish=x%26publish%3D",
	"publish=x" + strings.Repeat("&x", 999), "publish=x" + strings.Repeat("&", 2000) + "publish=",
	strings.Repeat("x&", 999) + "publish=x", strings.Repeat("x&", 1000) + "publish=x", strings.Repeat("&", 998) + "publish=x", strings.Repeat("&", 1500) + "publish=x",
	"publish=x" + strings.Repeat("&x", 998) + "&publish=", "publish=x" + strings.Repeat("&x", 999) + "&publish=", "publish=x" + strings.Repeat("&x", 1000) + "&publish=",
	"publish" + strings.Repeat("[a]", 63) + "=x", "publish=x&publish" + strings.Repeat("[a]", 65) + "=x", "publish=x&publish" + strings.Repeat("[", 70) + "=x",
	"publish=" + strings.Repeat("x", 128), "publish=" + strings.Repeat("x", 129),
	"&subscribed[a]=1&subscribed[b]=2&17", "subscribed%5Ba%5D=1", "subscribed[a]=1&publish=", "subscribed[a", "subscribed[a=1", "subscribed[]=1", "subscribed[ ]=1", "subscribed[+]=1", "subscribed[+a]=1", "subscribed[%09a]=1",
	"subscribed[a]=1&subscribed=2", "subscribed=2&subscribed[a]=1", "subscribed[a]=1&subscribed", "subscribed[a][b]=1", "subscribed[a]x=1", "subscribed[a][=1", "subscribed[a]]=1", "subscribed[[a]=1", "subscribed[a[b]=1", "subscribed[a%00]=1", "subscribed[a%00b]=1",
	"subscribed[a.b]=1", "subscribed[0]=1", "subscribed[1]=1&subscribed[01]=2", "subscribed[a]=1&subscribed[a]=2", "sub.scribed[a]=1", "+subscribed[a]=1", "subscribed[a%]=1", "subscribed[a%zz]=1",
	"subscribed[a]=-5", "subscribed[a]=-0", "subscribed[a]=--5", "subscribed[a]=%2B5", "subscribed[a]=1-2", "subscribed[a]=1e3", "subscribed[a]=0x1f", "subscribed[a]=1.5", "subscribed[a]=%zz1", "subscribed[a]=99999999999999999999", "subscribed[a]=-99999999999999999999", "subscribed[a]=+", "subscribed[a]=%2B-5", "subscribed[a]=9223372036854775807",
}

// A request that we pass on as a publish and in which PHP sees a subscription
// would hold a PHP worker: the one thing that must never happen.
func TestWhatIsPassedOnIsAPublishForPHPToo(t *testing.T) {
	p := startPHP(t)
	for _, query := range hostile {
		agrees(t, query, p.query(t, query))
	}
}

func TestRandomQueriesAreReadAsPHPReadsThem(t *testing.T) {
	p := startPHP(t)
	pieces := strings.Fields(`publish publish publish= publish=x subscribed subscribed[a]= subscribed[b]=17 & & & & & = = [ ] %5B %5D %5b
		a x 0 - -5 + . %00 %20 %2e %zz % %4 %3C < %26 %3D %ff %C3%B1 # ; [] [0] 99999999999999999999 / '`)
	for query := range madeOf(pieces) {
		if agrees(t, query, p.query(t, query)); t.Failed() {
			return
		}
	}
}

// madeOf is many texts of a few of the pieces each.
func madeOf(pieces []string) iter.Seq[string] {
	r := rand.New(rand.NewPCG(1, 2))
	return func(yield func(string) bool) {
		for range 20_000 {
			var text strings.Builder
			for range 1 + r.IntN(12) {
				text.WriteString(pieces[r.IntN(len(pieces))])
			}
			if !yield(text.String()) {
				return
			}
		}
	}
}

// The command line's parse_str stands in for $_GET and filter_input; here is
// that it may.
func TestPHPSeesARequestAsOnTheCommandLine(t *testing.T) {
	p, address := startPHP(t), startPHPServer(t)
	for _, query := range slices.Concat(hostile, hostileChats()) {
		if strings.ContainsAny(query, "# ñ") {
			continue // PHP's own little server cuts at the first and hangs up at the others
		}
		r := &http.Request{Method: http.MethodGet, Header: http.Header{}, URL: &url.URL{Scheme: "http", Host: address, Path: "/", RawQuery: query}}
		answer, err := http.DefaultTransport.RoundTrip(r.WithContext(t.Context()))
		if err != nil {
			t.Fatalf("%.60q: %v", query, err)
		}
		body, err := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%.60q: got %d, %v", query, answer.StatusCode, err)
		}
		if line := p.ask(t, "query", query); string(body) != string(line) {
			t.Errorf("%.60q: a request is %s, on the command line %s", query, body, line)
		}
		agrees(t, query, decode(t, body))
		agreesOnChat(t, query, decode(t, body))
	}
}

func TestNovCometAnswersAsJSONEncodePrintsThem(t *testing.T) {
	p := startPHP(t)
	for _, ids := range [][]string{
		{"customAlert"}, {"b", "a"}, {"0"}, {"0", "1", "2"}, {"1", "0"}, {"00"}, {"-1"}, {"1.5"}, {"0", "a"}, {"a", "0"},
		{"ñ€𝄞"}, {"\u2028\u2029\ufeff\uffff\ue000"}, {"a b%*?:;|~^{}()=,+#@!$"}, {strings.Repeat("é", 64)},
	} {
		for _, id := range ids {
			if err := checkNovCometID(id); err != nil {
				t.Fatal(err)
			}
		}
		want := p.ask(t, "answer", strings.Join(ids, "\n"))
		if got := (novCometAnswer{}).Events(stamped(ids...)); string(got) != string(want) {
			t.Errorf("got %s, PHP prints %s", got, want)
		}
	}
}

// FuzzNovCometQuery: whatever comes, it is a question that the hub takes, a
// sentence, or for PHP the same as for us.
func FuzzNovCometQuery(f *testing.F) {
	for _, query := range hostile {
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
		q, err := parseNovComet(query)
		if len(q.ids) != len(q.times) || len(q.ids) > maxChannels {
			t.Errorf("got %+v", q)
		}
		sorted := slices.Sorted(slices.Values(q.ids))
		for i, id := range sorted {
			if checkNovCometID(id) != nil || i > 0 && sorted[i-1] == id {
				t.Errorf("got %q", sorted)
			}
		}
		if slices.ContainsFunc(q.times, func(n int64) bool { return n < 0 }) {
			t.Errorf("got %+v, %v", q, err)
		}
		if p != nil {
			agrees(t, query, p.query(t, query))
		}
	})
}
