package caddymodule

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// lines are a log file's, without what is another each time.
func lines(t *testing.T, file string) (out []string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if d, ok := entry["duration"].(float64); !ok || d < 0 {
			t.Errorf("a line's duration: %v", entry["duration"])
		}
		for _, name := range []string{"ts", "duration", "size"} { // a body has the cursor, whose length is not always the same
			delete(entry, name)
		}
		delete(entry["request"].(map[string]any), "remote_port")
		if h := entry["resp_headers"].(map[string]any); h["Content-Length"] != nil {
			h["Content-Length"] = "some"
		}
		sorted, _ := json.Marshal(entry)
		out = append(out, string(sorted))
	}
	return out
}

// logging is a site with two logs, and one for what names it.
const logging = `
http://:PORT {
	bind 127.0.0.1
	log {
		level DEBUG
		output file DIR/LOG {
			roll_disabled
		}
	}
	log other {
		output file DIR/LOG.other {
			roll_disabled
		}
		no_hostname
	}
	log_skip /n/skipped*
	log_name /n/named* other
	@quiet path /n/quiet*
	vars @quiet log_level DEBUG
	log_append /n/* kept yes
	header Set-Cookie secret=1
	basic_auth /n/private* {
		bob $2a$04$Nm85Rk6NhIMXKWOJqwH3nuI2exychqO/NDiO1uMEJK8auNgDOaFl2
	}
	rewrite /old/* /n{path}
	comet /n/* {
		hub HUB
	}
}`

// TestAParkedHoldHasOneAccessLogLine, at its end, and it is the one that its
// goroutine would have written.
func TestAParkedHoldHasOneAccessLogLine(t *testing.T) {
	play := func(park string) (own, other []string) {
		s := newServer(t)
		hub, file := unique("log"), unique("access")
		site := strings.NewReplacer("LOG", file, "HUB", hub, "log_append /n/* kept yes", "").Replace(logging)
		s.reload("comet {\npark "+park+"\nhub "+hub+"\n}", site)
		path := s.dir + "/" + file
		want, wantOther := 0, 0
		one := func(name, query string, how string, header ...string) {
			t.Helper()
			w := s.dial("tcp")
			w.asks(name+query, append(header, "Cookie: secret=1", "User-Agent: test")...)
			channel := name[strings.LastIndexByte(name, '/')+1:]
			switch how {
			case "time-out":
				w.hears().wants(t, "200", `"events":[]`)
			default:
				held(t, hub, channel, 1)
				n := 0
				if park == "on" {
					n = 1
				}
				parks(t, hub, 1, n)
				if len(lines(t, path)) != want || len(lines(t, path+".other")) != wantOther {
					t.Errorf("%s: a line ahead of the end", name)
				}
				if how != "gone" {
					publishes(t, hub, event(channel, "here"))
					w.hearsUntil("here").wants(t, "200", "here")
				}
				w.c.Close()
			}
			switch {
			case strings.Contains(name, "skipped"):
			case strings.Contains(name, "named"):
				wantOther++
			default:
				want++
			}
			parks(t, hub, 0, 0)
			eventually(t, name+query+" has its line", func() bool {
				return len(lines(t, path)) >= want && len(lines(t, path+".other")) >= wantOther
			})
		}
		one("/n/a", "", "event")
		one("/n/a", "?wait=1", "time-out")
		one("/n/a", "", "gone")
		one("/n/a", "?as=sse", "event")
		one("/n/a", "?as=sse", "gone")
		one("/n/skipped", "", "event")
		one("/n/named", "", "event")
		one("/n/quiet", "", "event")
		one("/n/private", "", "event", "Authorization: Basic Ym9iOnNlY3JldA==")
		one("/old/rewritten", "?x=y", "event")
		own, other = lines(t, path), lines(t, path+".other")
		if len(own) != want || len(other) != wantOther {
			t.Errorf("park %s: %d and %d lines; want %d and %d", park, len(own), len(other), want, wantOther)
		}
		return own, other
	}
	parkedLines, parkedOther := play("on")
	plainLines, plainOther := play("off")
	parkedLines, plainLines = append(parkedLines, parkedOther...), append(plainLines, plainOther...)
	if !slices.Equal(parkedLines, plainLines) {
		for i := range min(len(parkedLines), len(plainLines)) {
			if parkedLines[i] != plainLines[i] {
				t.Errorf("line %d\nparked:     %s\nnot parked: %s", i, parkedLines[i], plainLines[i])
			}
		}
	}
	for _, line := range parkedLines {
		if strings.Contains(line, "secret") || strings.Contains(line, "Ym9i") {
			t.Errorf("a secret: %s", line)
		}
	}
}

// TestAParkedHoldIsLoggedWhereTheNewConfigurationLogs.
func TestAParkedHoldIsLoggedWhereTheNewConfigurationLogs(t *testing.T) {
	s := newServer(t)
	hub := unique("log")
	site := strings.NewReplacer("HUB", hub, "log_append /n/* kept yes", "").Replace(logging)
	globals := "comet {\nhub " + hub + "\n}"
	s.reload(globals, strings.ReplaceAll(site, "LOG", "before"))
	w := s.dial("tcp")
	w.asks("/n/a")
	parks(t, hub, 1, 1)
	s.reload(globals, strings.ReplaceAll(site, "LOG", "after"))
	publishes(t, hub, event("a", "here"))
	w.hears().wants(t, "200", "here")
	eventually(t, "the line", func() bool { return len(lines(t, s.dir+"/after")) == 1 })
	if n := len(lines(t, s.dir+"/before")); n != 0 {
		t.Errorf("%d lines where the old one logged", n)
	}
}

// TestEachParkedHoldIsCountedOnce by its outcome.
func TestEachParkedHoldIsCountedOnce(t *testing.T) {
	hub := unique("counted")
	s := start(t, "comet {\nhub "+hub+" {\nmax_holds 3\n}\n}", "http://SITE {\nbind 127.0.0.1\ncomet /n/* {\nhub "+hub+"\n}\n}")
	wires := make([]*wire, 3)
	for i := range wires {
		wires[i] = s.dial("tcp")
		wires[i].asks("/n/a" + []string{"?wait=1", "", "?as=sse"}[i])
	}
	parks(t, hub, 3, 3)
	denied := s.dial("tcp")
	denied.asks("/n/b")
	denied.hears().wants(t, "503", "too many held requests")
	wires[0].hears().wants(t, "200", `"events":[]`)
	publishes(t, hub, event("a", "here"))
	wires[1].hears().wants(t, "200", "here")
	wires[2].hearsUntil("here")
	wires[2].c.Close()
	parks(t, hub, 0, 0)
	eventually(t, "all four are counted", func() bool { return metric(t, "caddy_comet_answered_total", hub) == 4 })
	text := send(s.admin(), "GET", "http://127.0.0.1/metrics", "").body
	for outcome, transport := range map[string]string{"timeout": "poll", "event": "poll", "client_gone": "sse", "denied": "poll"} {
		if want := fmt.Sprintf(`caddy_comet_answered_total{dialect="native",hub=%q,outcome=%q,transport=%q} 1`, hub, outcome, transport); !strings.Contains(text, want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
}
