package caddymodule

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

func TestAnAnswerWithNewsIsForOneClient(t *testing.T) {
	for _, c := range []struct{ given, want string }{
		{"", "private"},
		{"max-age=60", "private, max-age=60"},
		{"public, max-age=60", "private, max-age=60"},
		{"Public,S-MaxAge=5 ,max-age=60", "private, max-age=60"},
		{"private", "private"},
		{"max-age=5, Private", "max-age=5, Private"},
		{"no-store", "no-store"},
		{"No-Store, public", "No-Store, public"},
		{"no-cache", "private, no-cache"},
		{`private="set-cookie, x", max-age=5`, "private, max-age=5"},
		{`no-cache="a, public", s-maxage = 9`, `private, no-cache="a, public"`},
		{`ext="a`, `private, ext="a`},
		{", ,", "private"},
	} {
		h := http.Header{"Cdn-Cache-Control": {"max-age=9"}, "Surrogate-Control": {"max-age=9"}, "X-Accel-Expires": {"9"}}
		if c.given != "" {
			h.Set("Cache-Control", c.given)
		}
		makePrivate(h)
		if got := h.Get("Cache-Control"); got != c.want || len(h) != 1 {
			t.Errorf("%q became %q, want %q; all of it: %v", c.given, got, c.want, h)
		}
	}
	h := http.Header{"Cache-Control": {"public", "max-age=5"}}
	makePrivate(h)
	if got := fmt.Sprint(h["Cache-Control"]); got != "[private, max-age=5]" {
		t.Errorf("two lines became %s", got)
	}
}

func TestWhichChannelsARequestAsksFor(t *testing.T) {
	long := strings.Repeat("n", 128)
	for _, c := range []struct {
		name   string
		values []string
		want   string // the names, or a part of the error
	}{
		{"one", []string{"orders"}, "[orders]"},
		{"several", []string{"orders,alerts"}, "[orders alerts]"},
		{"spaces", []string{" orders ,\talerts "}, "[orders alerts]"},
		{"several lines", []string{"a", "b,c"}, "[a b c]"},
		{"each once", []string{"a,b,a", "b"}, "[a b]"},
		{"every character", []string{"aZ9._:@=+-"}, "[aZ9._:@=+-]"},
		{"the longest", []string{long}, "[" + long + "]"},
		{"a thousand", []string{strings.Repeat("a,", 999) + "a"}, "[a]"},
		{"none", nil, "no channel is named; send some, as in Comet-Channels: orders,alerts"},
		{"empty", []string{""}, "no channel is named"},
		{"a comma too many", []string{"a,,b"}, "a name in Comet-Channels is empty; is there a comma too many?"},
		{"a comma at the end", []string{"a,"}, "is empty"},
		{"too long", []string{long + "n"}, "is not allowed; a name is a letter or a digit and up to 127 more of letters, digits and ._:@=+-"},
		{"begins with a dot", []string{".a"}, "is not allowed"},
		{"a space", []string{"a b"}, "is not allowed"},
		{"a line end", []string{"a\n"}, "[a]"}, // trimmed; no header can have one
		{"UTF-8", []string{"é"}, "is not allowed"},
		{"encoded", []string{"a%20"}, "is not allowed"},
		{"too many", []string{strings.Repeat("a,", 1000) + "a"}, "Comet-Channels has 1001 names; the limit is 1000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			names, err := readAskedChannels(c.values)
			got := fmt.Sprint(names)
			if err != nil {
				got = err.Error()
				if strings.ContainsFunc(got, func(r rune) bool { return r < ' ' || r > '~' }) {
					t.Errorf("no header can carry %q", got)
				}
			}
			if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

// TestAnOrdinaryAnswerCarriesNews has what a request asks and what it is told.
func TestAnOrdinaryAnswerCarriesNews(t *testing.T) {
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if name := r.URL.Query().Get("forge"); name != "" {
			w.Header().Set(name, "forged")
		}
		w.Header().Set("Cache-Control", "public, max-age=60")
		w.Header().Set("Vary", "Cookie")
		w.Header().Set("ETag", `"one"`)
		status, _ := strconv.Atoi(r.URL.Path[1:])
		w.WriteHeader(status)
		if status != 204 && status != 304 {
			_, _ = io.WriteString(w, "the page")
		}
	})
	s := start(t, "", around("piggyback", site))
	a, b := unique("news"), unique("news")
	first := s.must(a, "1")
	second := s.must(b, "2")
	epoch, _, _ := strings.Cut(first, ".")
	number := func(c string) int { n, _ := strconv.Atoi(c[strings.IndexByte(c, '.')+1:]); return n }
	ahead := fmt.Sprintf("%s.%d", epoch, number(second)+7)

	const cache = "; Cache-Control: private, max-age=60; Vary: Cookie & Comet-Since, Comet-Channels"
	const untouched = "Cache-Control: public, max-age=60; Vary: Cookie"
	for _, c := range []struct {
		name, path      string
		since, channels string // "-": not sent
		want            string
	}{
		{"not asked", "/200", "-", a, untouched},
		{"not asked at all", "/200", "-", "-", untouched},
		{"not asked, and forged", "/200?forge=Comet-News", "-", a, newsHeader + ": forged; " + untouched},
		{"to begin", "/200", "", "-", "Comet-Cursor: " + second + cache},
		{"to begin, with channels", "/200", "", a, "Comet-Cursor: " + second + cache},
		{"to begin, with a bad channel", "/200", "", "a b", "Comet-Error: a name in Comet-Channels is not allowed; a name is a letter or a digit and up to 127 more of letters, digits and ._:@=+-" + cache},
		{"nothing new", "/200", second, a + "," + b, "Comet-Cursor: " + second + cache},
		{"news in one of two", "/200", first, a + ", " + b, "Comet-Cursor: " + second + "; Comet-News: " + b + cache},
		{"news elsewhere", "/200", first, a, "Comet-Cursor: " + second + cache},
		{"an unknown channel", "/200", first, "never-" + a, "Comet-Cursor: " + second + cache},
		{"ahead of the hub", "/200", ahead, b, "Comet-Cursor: " + ahead + cache},
		{"of another epoch", "/200", "abc.7", a + "," + b, "Comet-Cursor: " + second + "; Comet-News: " + a + "," + b + "; Comet-Gap: 1" + cache},
		{"what the site says goes", "/200?forge=Comet-News", second, a, "Comet-Cursor: " + second + cache},
		{"of every name", "/200?forge=Comet-Error", second, a, "Comet-Cursor: " + second + cache},
		{"of a gap", "/200?forge=comet-gap", second, a, "Comet-Cursor: " + second + cache},
		{"of a cursor", "/200?forge=Comet-Cursor", "x", a, "Comet-Error: Comet-Since is no cursor; send what an earlier answer gave as Comet-Cursor, or leave it empty to begin" + cache},
		{"no channels", "/200", second, "-", "Comet-Error: no channel is named; send some, as in Comet-Channels: orders,alerts" + cache},
		{"a bad channel", "/200", second, "a b", "Comet-Error: a name in Comet-Channels is not allowed; a name is a letter or a digit and up to 127 more of letters, digits and ._:@=+-" + cache},
		{"a page that is missing", "/404", first, b, "Comet-Cursor: " + second + "; Comet-News: " + b + cache},
		{"no content", "/204", first, b, "Comet-Cursor: " + second + "; Comet-News: " + b + cache},
		{"a redirection", "/303", first, b, "Comet-Cursor: " + second + "; Comet-News: " + b + cache},
		// A cache takes these over one by one, so that all of them are said.
		{"not modified", "/304", first, b, "Comet-Cursor: " + second + "; Comet-News: " + b + "; Comet-Gap: ; Comet-Error: " + cache},
		{"not modified, no news", "/304", second, b, "Comet-Cursor: " + second + "; Comet-News: ; Comet-Gap: ; Comet-Error: " + cache},
		{"not modified, not asked", "/304", "-", b, untouched},
	} {
		for _, method := range []string{"GET", "HEAD", "POST"} {
			t.Run(c.name+" by "+method, func(t *testing.T) {
				var header []string
				if c.since != "-" {
					header = append(header, "Comet-Since", c.since)
				}
				if c.channels != "-" {
					header = append(header, "Comet-Channels", c.channels)
				}
				client := &http.Client{Transport: plain.Transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
				got := send(client, method, "http://"+s.site+c.path, "", header...)
				if got.comet() != c.want {
					t.Errorf("got  %s\nwant %s", got.comet(), c.want)
				}
				body := "the page"
				if method == "HEAD" || got.status == 204 || got.status == 304 {
					body = ""
				}
				if want := c.path[1:4]; strconv.Itoa(got.status) != want || got.body != body || got.header.Get("ETag") != `"one"` {
					t.Errorf("the answer became %d %q %v", got.status, got.body, got.header)
				}
			})
		}
	}
	t.Run("two cursors", func(t *testing.T) {
		_, r := dial(t, s.site, "GET /200 HTTP/1.1\r\nHost: "+s.site+"\r\nComet-Since: \r\nComet-Since: a.1\r\n\r\n")
		if got := next(t, r, "GET"); got.comet() != "Comet-Error: Comet-Since is given 2 times; once is enough"+cache {
			t.Errorf("got %s", got.comet())
		}
	})
}

// TestABeginningsCursorIsFromBeforeThePage: an event that PHP's page does not
// show, because it came after PHP read its data, must not be behind the cursor.
func TestABeginningsCursorIsFromBeforeThePage(t *testing.T) {
	name := unique("began")
	var s *server
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Comet-Since") == "" {
			s.must(name, "after the page was read")
		}
	})
	s = start(t, "", around("piggyback", site))
	cursor := get("http://"+s.site, "Comet-Since", "").header.Get(cursorHeader)
	if got := get("http://"+s.site, "Comet-Since", cursor, "Comet-Channels", name).header.Get(newsHeader); got != name {
		t.Errorf("behind %s the news is %q", cursor, got)
	}
}

// TestNewsIsOfTheTimeOfTheHeader, not of the request's.
func TestNewsIsOfTheTimeOfTheHeader(t *testing.T) {
	name := unique("late")
	var s *server
	published := ""
	site := behind(t, func(w http.ResponseWriter, r *http.Request) { published = s.must(name, "meanwhile") })
	s = start(t, "", around("piggyback", site))
	since := s.must(unique("other"), "x")
	a := get("http://"+s.site, "Comet-Since", since, "Comet-Channels", name)
	if a.header.Get(newsHeader) != name || a.header.Get(cursorHeader) != published {
		t.Errorf("got %s, want %s", a.comet(), published)
	}
}
