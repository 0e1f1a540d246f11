package caddymodule

import (
	"strings"
	"testing"
)

// TestWarningsAtStart has what works, and most likely not as meant.
func TestWarningsAtStart(t *testing.T) {
	const (
		rewrites = "a rewrite or try_files runs before comet"
		timeout  = "write timeout cuts held requests"
		tmp      = "watched files may be invisible"
		shared   = "all comet directives share one hub"
		open     = "every user who may enter the socket's directory publishes here"
		closed   = "only the server's own user may connect to a socket without a mode"
	)
	all := []string{rewrites, timeout, tmp, shared, open, closed}
	door := func(socket, block string) string {
		return "http:// {\nbind " + socket + "\ncomet_publish h {\n" + block + "\n}\n}"
	}
	site := func(body string) string { return "http://SITE {\nbind 127.0.0.1\nroot DIR\n" + body + "\n}" }
	for _, c := range []struct {
		name, globals, sites string
		want                 []string
	}{
		{"nothing to say", "", site("comet /comet/*"), nil},
		{"try_files", "", site("try_files {path} /index.php\ncomet /comet/*"), []string{rewrites}},
		{"rewrite", "", site("rewrite /old /new\ncomet /comet/*"), []string{rewrites}},
		{"rewrite to comet", "", site("rewrite /clock.php /comet/time?as=frame&callback=parent.tick\ncomet /comet/*"), nil},
		{"rewrite to another comet", "", site("rewrite /old /new/x\ncomet /comet/*\ncomet /new/*"), []string{shared}},
		{"rewrite to comet in a handle", "", site("rewrite /clock.php /comet/time\nhandle /comet/* {\ncomet\n}"), nil},
		{"rewrite past comet in a handle", "", site("handle /app/* {\nrewrite /app/index.php\ncomet /app/comet/*\n}"), []string{rewrites}},
		{"in a route", "", site("route {\nrewrite * /index.php\ncomet /comet/*\n}"), []string{rewrites}},
		{"the handle recipe", "", site("handle /comet/* {\ncomet\n}\nhandle {\ntry_files {path} /index.php\nrespond ok\n}"), nil},
		{"php_fastcgi comes later", "", site("comet /comet/*\nphp_fastcgi 127.0.0.1:1"), nil},
		{"a prefix taken off on purpose", "", site("handle_path /app/* {\ncomet /comet/*\n}"), nil},
		{"another site rewrites", "", site("comet /comet/*") + "\nhttp://PUBLISH {\nbind 127.0.0.1\nrewrite * /x\n}", nil},
		{"write timeout", "servers {\ntimeouts {\nwrite 10s\n}\n}", site("comet /comet/*"), []string{timeout}},
		{"write timeout where nothing is held", "servers {\ntimeouts {\nwrite 10s\n}\n}", site("comet_publish"), nil},
		{"/tmp", "", site("comet novcomet {\nwatch /tmp/nothing-here-*.comet\n}"), []string{tmp}},
		{"a socket for all", "comet {\nhub h\n}", door("unix/SOCKET|0666", ""), []string{open}},
		{"a socket for a group", "comet {\nhub h\n}", door("unix/SOCKET|0660", ""), nil},
		{"a socket for all and a key", "comet {\nhub h\n}", door("unix/SOCKET|0666", "key 0123456789abcdef"), nil},
		{"a socket for all where one is named", "comet {\nhub h\n}", door("unix/SOCKET|0666", "user 1003"), nil},
		{"a socket for none where one is named", "comet {\nhub h\n}", door("unix/SOCKET", "user 1003"), []string{closed}},
		{"one hub for two", "", site("comet /a/*\ncomet /b/*"), []string{shared}},
		{"one declared hub for two", "comet {\nhub h\n}", site("comet /a/* {\nhub h\n}\ncomet /b/* {\nhub h\n}"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, c.globals, c.sites)
			logs := s.logs()
			for _, text := range all {
				want := 0
				for _, w := range c.want {
					if w == text {
						want = 1
					}
				}
				if got := strings.Count(logs, text); got != want {
					t.Errorf("%q is said %d times; want %d", text, got, want)
				}
			}
			for line := range strings.Lines(logs) {
				if strings.Contains(line, shared) && strings.Count(line, `"native on `+s.site+`"`) != 2 {
					t.Errorf("it does not name them: %s", line)
				}
				for _, text := range all {
					if strings.Contains(line, text) && !strings.Contains(line, `"logger":"comet"`) && !strings.Contains(line, `"logger":"http.handlers.comet_publish"`) {
						t.Errorf("by another logger: %s", line)
					}
				}
			}
		})
	}
}

// TestAccessLogsSayHowAHoldEnded, and no log names a channel.
func TestAccessLogsSayHowAHoldEnded(t *testing.T) {
	name := unique("logged")
	s := start(t, "debug", "http://SITE {\nbind 127.0.0.1\nlog\ncomet /comet/*\n}")
	get("http://"+s.site+"/comet/"+name+"?wait=0").wants(t, 200, "events")
	eventually(t, "the access log", func() bool { return strings.Contains(s.logs(), `"comet":"timeout"`) })
	for line := range strings.Lines(s.logs()) {
		if strings.Contains(line, "held request ended") && (!strings.Contains(line, `"logger":"http.handlers.comet"`) || strings.Contains(line, name)) {
			t.Errorf("logged as %s", line)
		}
	}
	if !strings.Contains(s.logs(), "held request ended") {
		t.Error("nothing at the level debug")
	}
}
