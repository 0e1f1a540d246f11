package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// site is a server that answers as caddy-comet's admin endpoint does.
func site(t *testing.T) (*Remote, *[]string) {
	t.Helper()
	var asked []string
	answers := map[string]any{
		"/comet/": few(noon.Add(time.Second)), "/comet/shop/": fewChannels(1),
		"/comet/forum/": figures.Channels{Hub: "forum", Channels: []figures.Channel{{Channel: "topics"}}},
		"/comet/shop/orders": News{Cursor: "k3f9.1", Events: []json.RawMessage{
			json.RawMessage(`{"channel":"orders","time":"2026-11-22T12:31:05.250Z","type":"sale","data":{"id":42}}`),
		}},
		"/comet/shop/_holds": figures.Holds{Holds: []figures.Hold{
			{Hub: "shop", Channels: []string{"orders"}, Dialect: "native", Transport: "sse", User: "42", Client: "203.0.113.7", Age: 62.5, Parked: true},
			{Hub: "shop", Channels: []string{"orders", "alerts"}, MoreChannels: 7, Dialect: "native", Transport: "poll", Client: "2001:db8::1", Age: 0.2},
		}, More: 210},
	}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.RequestURI())
		if err := json.NewEncoder(w).Encode(answers[r.URL.Path]); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(srv.Close)
	return &Remote{Network: "tcp", Address: srv.Listener.Addr().String(), Name: "localhost:2019"}, &asked
}

// press presses keys one after the other, and has the view learn what each asks for.
func press(top *Top, keys ...string) {
	for _, key := range keys {
		if cmd := top.key(key); cmd != nil {
			top.Update(cmd())
		}
	}
}

// watched is a view of the site.
func watched(t *testing.T) (*Top, *[]string) {
	t.Helper()
	r, asked := site(t)
	top := NewTop(r, "shop", time.Second)
	for range 2 {
		top.Update(top.look()())
	}
	return top, asked
}

// TestTheKeysGoWhereTheySay: where each sequence ends, by the screen, the hub and the
// channel, and what was asked for last.
func TestTheKeysGoWhereTheySay(t *testing.T) {
	for keys, want := range map[string]string{
		"":                             "overview shop -",
		"up":                           "overview forum -",
		"up up up":                     "overview forum -",
		"up down down":                 "overview shop -",
		"tab":                          "overview shop orders",
		"tab down":                     "overview shop alerts",
		"enter j k":                    "overview shop orders",
		"tab pgdown":                   "overview shop room-2",
		"tab tab up tab":               "overview forum topics",
		"enter enter":                  "events shop orders /comet/shop/orders?since=all",
		"enter enter esc":              "overview shop orders",
		"enter down enter":             "events shop alerts /comet/shop/alerts?since=all",
		"h":                            "holds shop - /comet/shop/_holds?limit=200",
		"enter h":                      "holds shop orders /comet/shop/_holds?channel=orders&limit=200",
		"enter enter h":                "holds shop orders /comet/shop/_holds?channel=orders&limit=200",
		"enter enter h esc":            "events shop orders",
		"enter enter h esc esc":        "overview shop orders",
		"?":                            "help shop -",
		"? ?":                          "overview shop -",
		"h ? esc":                      "holds shop -",
		"tab s":                        "overview shop orders /comet/shop/?by=latest&limit=100",
		"tab s s":                      "overview shop orders /comet/shop/?by=events&limit=100",
		"tab s s s s":                  "overview shop orders /comet/shop/?by=held&limit=100",
		"s":                            "overview shop -",
		"x":                            "overview shop -",
		"h h enter tab s":              "holds shop -",
		"p tab s":                      "overview shop orders /comet/shop/?by=latest&limit=100",
		"enter esc up":                 "overview forum -",
		"enter enter ? down up esc":    "events shop orders",
		"enter enter esc enter h left": "events shop orders",
	} {
		t.Run(keys, func(t *testing.T) {
			top, asked := watched(t)
			press(top, strings.Fields(keys)...)
			got := fmt.Sprintf("%s %s %s", [...]string{"overview", "events", "holds", "help"}[top.screen], top.hub, or(top.channel, "-"))
			where, last, _ := cutLast(want)
			if got != where || last != "" && (*asked)[len(*asked)-1] != last {
				t.Errorf("got %s, asked for %q; want %s", got, (*asked)[len(*asked)-1], want)
			}
			picture(t, top)
		})
	}
	top, _ := watched(t)
	for _, key := range []string{"q", "ctrl+c"} {
		if _, ok := top.key(key)().(tea.QuitMsg); !ok {
			t.Errorf("%s is no end", key)
		}
	}
}

// cutLast cuts what was asked for off.
func cutLast(want string) (where, asked string, ok bool) {
	where, asked, ok = strings.Cut(want, " /")
	if ok {
		asked = "/" + asked
	}
	return where, asked, ok
}

// TestTheOtherScreens and how they say what is missing.
func TestTheOtherScreens(t *testing.T) {
	for keys, name := range map[string]string{"enter enter": "events", "h": "holds", "?": "help"} {
		top, _ := watched(t)
		press(top, strings.Fields(keys)...)
		golden(t, name+"-80x24", picture(t, top))
	}
	top, _ := watched(t)
	press(top, "enter", "enter")
	top.Update(heard{of: top.tail.of, news: News{Gap: true}})
	if got := picture(t, top); !strings.Contains(got, "events are lost") {
		t.Error(got)
	}
	top.Update(heard{of: top.tail.of, err: errors.New("it is away")})
	if got := picture(t, top); !strings.Contains(got, "no news: it is away") {
		t.Error(got)
	}
	// What comes late for a channel that was left is not shown.
	press(top, "esc", "down", "enter")
	top.Update(heard{of: top.tail.of - 1, news: News{Events: []json.RawMessage{json.RawMessage(`{"data":"late"}`)}}})
	if got := picture(t, top); strings.Contains(got, "late") {
		t.Error(got)
	}
}

// TestWhatIsReadStaysWhereItIs while more comes, and only so much is kept.
func TestWhatIsReadStaysWhereItIs(t *testing.T) {
	top, _ := watched(t)
	press(top, "enter", "enter")
	n := 0
	come := func(more int) {
		var news News
		for range more {
			n++
			news.Events = append(news.Events, json.RawMessage(fmt.Sprintf(`{"time":"2026-11-22T12:31:05Z","type":"message","data":"number %d."}`, n)))
		}
		top.Update(heard{of: top.tail.of, news: news})
	}
	come(100)
	if got := picture(t, top); !strings.Contains(got, "number 100.") {
		t.Error(got)
	}
	press(top, "up")
	for range 3 {
		if got := picture(t, top); strings.Contains(got, "number 100.") || !strings.Contains(got, "number 99.") {
			t.Error(got)
		}
		come(1)
	}
	press(top, "down", "pgdown", "p")
	come(1)
	if got := picture(t, top); strings.Contains(got, "number 104.") || !strings.Contains(got, "number 103.") {
		t.Error(got)
	}
	come(2 * maxEvents)
	if len(top.tail.events) != maxEvents {
		t.Errorf("%d are kept", len(top.tail.events))
	}
	picture(t, top)
}

// TestAServerThatIsAway leaves the last figures on the screen, and rates begin anew with
// another process.
func TestAServerThatIsAway(t *testing.T) {
	top := seen(few, fewChannels, 80, 24)
	before := picture(t, top)
	top.Update(looked{err: errors.New("no server answers")})
	if got := picture(t, top); !strings.Contains(got, "no news: no server answers") || !strings.Contains(got, "held 215") {
		t.Error(got)
	}
	again := few(noon.Add(9 * time.Second))
	again.Process.Started = noon
	top.Update(looked{status: again})
	if got := picture(t, top); strings.Contains(got, "no news") || !strings.Contains(got, "a second: events -  deliveries -") {
		t.Error(got)
	}
	top.Update(looked{status: nothing(noon)})
	if top.hub != "default" {
		t.Errorf("the hub is %q", top.hub)
	}
	top.Update(looked{status: sight(noon)})
	if got := picture(t, top); !strings.Contains(got, "it has no comet directive") {
		t.Error(got)
	}
	top = seen(few, fewChannels, 80, 24)
	top.paused = true
	top.Update(looked{status: many(noon)})
	_, before, _ = strings.Cut(before, "\n")
	if got := picture(t, top); !strings.HasSuffix(got, before) || !strings.Contains(got, "paused\n") {
		t.Error(got)
	}
}

// TestTheViewFitsEveryWindow that somebody makes, however small, on each screen.
func TestTheViewFitsEveryWindow(t *testing.T) {
	for _, keys := range []string{"", "tab pgdown", "enter enter", "h", "?"} {
		top, _ := watched(t)
		press(top, strings.Fields(keys)...)
		for _, width := range []int{1, leastWidth - 1, leastWidth, 80, 200} {
			for height := 1; height < 60; height += 3 {
				top.Update(tea.WindowSizeMsg{Width: width, Height: height})
				if width >= leastWidth && height >= leastHeight {
					picture(t, top)
				} else if view := top.View().Content; len(view) > width || strings.Contains(view, "\n") {
					t.Errorf("%dx%d: %q", width, height, view)
				}
			}
		}
	}
	top := seen(many, manyChannels, 0, 0)
	for height := leastHeight; height < 60; height++ {
		top.width, top.height = 80, height
		if got := picture(t, top); !strings.Contains(got, "▸ tv") {
			t.Errorf("the hub that is chosen is missing in\n%s", got)
		}
		top.focus, top.channel = onChannels, top.list.Channels.Channels[30].Channel
		if got := picture(t, top); !strings.Contains(got, "▸ channel-xxxx") {
			t.Errorf("the channel that is chosen is missing in\n%s", got)
		}
		top.focus = onHubs
	}
}
