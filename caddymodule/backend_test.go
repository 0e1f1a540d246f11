package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// behind serves a site and returns its address.
func behind(t *testing.T, f http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(f)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// around is a site with a comet_backend of these flags around what stands at the
// address, with comet, and with a door to publish.
func around(flags, address string) string {
	return `
http://SITE {
	bind 127.0.0.1
	comet /comet/*
	comet_backend {
		` + flags + `
	}
	reverse_proxy ` + address + `
}

http://PUBLISH {
	bind 127.0.0.1
	comet_publish
}

`
}

// ours are the headers that an answer may get.
var ours = []string{cursorHeader, newsHeader, gapHeader, errorHeader, "Cache-Control", "Vary", publishHeader}

// comet writes which of them an answer has.
func (a answer) comet() string {
	var all []string
	for _, name := range ours {
		if values, ok := a.header[name]; ok {
			all = append(all, name+": "+strings.Join(values, " & "))
		}
	}
	return strings.Join(all, "; ")
}

// events reads what a channel has kept.
func (s *server) events(channel string) poll {
	s.t.Helper()
	return get("http://" + s.site + "/comet/" + channel + "?since=all&wait=0").poll(s.t)
}

// TestAVisitorCannotPublish by sending the header himself, to a site that sends
// back what it got.
func TestAVisitorCannotPublish(t *testing.T) {
	name := unique("echo")
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		for header, values := range r.Header {
			w.Header()[header] = values
		}
	})
	s := start(t, "", around("publish", site))
	for _, header := range []string{"Comet-Publish", "comet-publish", "Comet_Publish", "Comet.Publish"} {
		_, r := dial(t, s.site, "GET / HTTP/1.1\r\nHost: "+s.site+"\r\nX-Own: kept\r\n"+header+": "+name+"\r\n\r\n")
		a := next(t, r, "GET")
		a.wants(t, 200, "")
		if a.header.Get("X-Own") != "kept" || a.comet() != "" {
			t.Errorf("%s: %v", header, a.header)
		}
	}
	if got := s.events(name).Events; len(got) != 0 {
		t.Errorf("%d events", len(got))
	}
}

// TestPublishIsOffUntilNamed, and then the header is nobody's.
func TestPublishIsOffUntilNamed(t *testing.T) {
	name := unique("off")
	site := behind(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(publishHeader, name)
		w.Header().Set("X-Got", r.Header.Get(publishHeader))
	})
	s := start(t, "", around("piggyback", site))
	a := get("http://"+s.site, "Comet-Publish", "x", "Comet-Since", "")
	if a.header.Get(publishHeader) != name || a.header.Get("X-Got") != "x" || a.header.Get(cursorHeader) == "" || len(s.events(name).Events) != 0 {
		t.Errorf("got %v", a.header)
	}
}

// TestTheAnswerThatPublishesTellsOfIt: the news is as new as the answer.
func TestTheAnswerThatPublishesTellsOfIt(t *testing.T) {
	name := unique("both")
	site := behind(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set(publishHeader, name) })
	s := start(t, "", around("publish\npiggyback", site))
	since := s.must(unique("other"), "x")
	a := get("http://"+s.site, "Comet-Since", since, "Comet-Channels", name)
	events := s.events(name).Events
	if len(events) != 1 || a.header.Get(newsHeader) != name || a.header.Get(cursorHeader) != events[0].Cursor {
		t.Errorf("got %s for %+v", a.comet(), events)
	}
}

// TestMistakesInCometBackend are errors that say what to write.
func TestMistakesInCometBackend(t *testing.T) {
	const two = "comet {\nhub shop\nhub forum\n}"
	t.Setenv("SHORT_KEY", "short")
	const nothing = `comet_backend is told nothing to do; write piggyback, publish, hold or several of them into its block: comet_backend { piggyback }`
	for _, c := range []struct{ name, globals, site, want string }{
		{"piggyback", "", "comet_backend {\npiggyback\n}", ""},
		{"publish for a path", "", "comet_backend /order.php {\npublish\n}", ""},
		{"hold", "", "comet_backend {\nhold\nphp_concurrency 2\n}", ""},
		{"a bound of nothing", "", "comet_backend {\npublish\nphp_concurrency 2\n}", "php_concurrency is for hold, which is not there"},
		{"none at all", "", "comet_backend {\nhold\nphp_concurrency 0\n}", `"0" is no number from 1`},
		{"a signature", "", "comet_backend {\nhold\ngrip_sig " + tokenKey + "\n}", ""},
		{"a signature of somebody", "", "comet_backend {\nhold\ngrip_sig base64:" + strings.Repeat("k", 43) + " fastly:me\n}", ""},
		{"a signature of nothing", "", "comet_backend {\npublish\ngrip_sig " + tokenKey + "\n}", "grip_sig is for hold, which is not there; write hold into the block as well, at Caddyfile:"},
		{"a signature without a key", "", "comet_backend {\nhold\ngrip_sig\n}", "grip_sig takes a secret and perhaps the iss of the tokens, as in grip_sig {env.GRIP_KEY}, at Caddyfile:"},
		{"Pushpin's usual key", "", "comet_backend {\nhold\ngrip_sig changeme\n}", "grip_sig: key: a secret has 32 bytes or more, and this one 8; make one by: openssl rand -hex 32, at Caddyfile:9"},
		{"a key from nowhere", "", "comet_backend {\nhold\ngrip_sig {env.COMET_NO_SUCH_KEY}\n}", "comet_backend: grip_sig: key: "},
		{"a key from a file that is not there", "", "comet_backend {\nhold\ngrip_sig {file./nowhere/key}\n}", "comet_backend: grip_sig: key: "},
		{"a short key from elsewhere", "", "comet_backend {\nhold\ngrip_sig {env.SHORT_KEY}\n}", "comet_backend: grip_sig: key: a secret has 32 bytes or more, and this one 5"},
		{"a key with braces", "", "comet_backend {\nhold\ngrip_sig " + tokenKey + "{x.y}\n}", "grip_sig: key: it has braces with no known placeholder in them; keep it in a file instead: {file.<path>}"},
		{"nobody signs", "", "comet_backend {\nhold\ngrip_sig {env.SHORT_KEY} \"\"\n}", "grip_sig: the issuer is a name of 1 to 255 bytes"},
		{"both, of a hub", two, "comet_backend {\nhub shop\npublish\npiggyback\n}", ""},
		{"two of them", two, "comet_backend /a {\nhub shop\npublish\n}\ncomet_backend /b {\nhub forum\npublish\n}", ""},
		{"nothing", "", "comet_backend", nothing},
		{"an empty block", "", "comet_backend /x {\n}", nothing},
		{"a hub alone", "", "comet_backend {\nhub default\n}", nothing},
		{"the flag outside the block", "", "comet_backend publish", `comet_backend takes a block, not "publish" beside it: comet_backend { piggyback }`},
		{"the matcher goes first", "", "comet_backend publish /x", `the matcher goes first: comet_backend /x publish`},
		{"unknown", "", "comet_backend {\npiggybak\n}", `unknown subdirective "piggybak" of comet_backend; did you mean "piggyback"?`},
		{"twice", "", "comet_backend {\npublish\npublish\n}", `publish is set twice in comet_backend; keep one`},
		{"with an argument", "", "comet_backend {\npublish on\n}", `publish takes no argument`},
		{"a hub that nobody declared", "", "comet_backend {\nhub shop\npublish\n}", `comet_backend: hub "shop" is not declared; add to the global options: comet { hub shop }`},
		{"no hub where some are declared", two, "comet_backend {\npublish\n}", `comet_backend: no hub is named, and hubs are declared in the global options: add one of forum, shop`},
		{"another than the declared ones", two, "comet_backend {\nhub shpo\npublish\n}", `hub "shpo" is not declared; declared are forum, shop`},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := validate(t, c.globals, ":1 {\n"+c.site+"\n}")
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("the error is\n\t%v\nand should say\n\t%s", err, c.want)
			case strings.Contains(errorText(err), tokenKey):
				t.Errorf("the error tells the key: %v", err)
			}
		})
	}
	form := `{"admin":{"disabled":true},"apps":{"http":{"servers":{"s":{"listen":[":1"],"routes":[{"handle":[%s]}]}}}}}`
	for part, want := range map[string]string{
		`{"handler":"comet_backend"}`:                                                   nothing,
		`{"handler":"comet_backend","piggybak":true}`:                                   `unknown field "piggybak"`,
		`{"handler":"comet_backend","publish":true,"piggyback":true}`:                   "",
		`{"handler":"comet_backend","hold":true,"grip_sig":{"key":"` + tokenKey + `"}}`: "grip_sig: the issuer is a name of 1 to 255 bytes",
		`{"handler":"comet_backend","hold":true,"grip_sig":{"issuer":"a"}}`:             "grip_sig: key: a secret has 32 bytes or more",
	} {
		if err := validateJSON(t, fmt.Appendf(nil, form, part)); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: the error is\n\t%v\nand should say\n\t%s", part, err, want)
		}
	}
}
