package caddymodule

import (
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// TestSettingsAreTakenFromTheLevelAbove: built in, for all hubs, for one.
func TestSettingsAreTakenFromTheLevelAbove(t *testing.T) {
	minute := caddy.Duration(time.Minute)
	for _, c := range []struct {
		name      string
		app, hub  Settings
		want      func(*hub.Limits)
		hold      time.Duration
		heartbeat time.Duration
	}{
		{name: "nothing is set", want: func(*hub.Limits) {}},
		{
			name: "all of it for all hubs",
			app: Settings{History: &History{Count: 7, Age: minute, Bytes: 9}, MaxHistory: 10, MaxInFlight: 14, MaxEvent: 11, MaxHolds: 12, MaxChannels: 13,
				Hold: minute, Heartbeat: minute},
			want: func(l *hub.Limits) {
				l.HistoryCount, l.HistoryAge, l.HistoryBytes = 7, time.Minute, 9
				l.TotalBytes, l.EventBytes, l.Holds, l.Channels, l.InFlightBytes = 10, 11, 12, 13, 14
			},
			hold: time.Minute, heartbeat: time.Minute,
		},
		{
			name: "one hub's own",
			app:  Settings{MaxHolds: 5, MaxEvent: 6, Hold: minute},
			hub:  Settings{MaxHolds: 1, Hold: 2 * minute},
			want: func(l *hub.Limits) { l.Holds, l.EventBytes = 1, 6 },
			hold: 2 * time.Minute,
		},
		{
			name: "a part of the history",
			app:  Settings{History: &History{Count: 7, Bytes: 9}},
			hub:  Settings{History: &History{Age: minute}},
			want: func(l *hub.Limits) { l.HistoryCount, l.HistoryAge, l.HistoryBytes = 7, time.Minute, 9 },
		},
		{
			name: "no history",
			app:  Settings{History: &History{Count: -1}},
			want: func(l *hub.Limits) { l.HistoryCount = 0 },
		},
		{
			name: "no history but for one hub",
			app:  Settings{History: &History{Count: -1}},
			hub:  Settings{History: &History{Age: minute}},
			want: func(l *hub.Limits) { l.HistoryAge = time.Minute },
		},
		{
			name: "no history for one hub alone",
			app:  Settings{History: &History{Count: 7}},
			hub:  Settings{History: &History{Count: -1}},
			want: func(l *hub.Limits) { l.HistoryCount = 0 },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			want := hub.DefaultLimits()
			c.want(&want)
			got := c.hub.over(c.app)
			if l := got.limits(); l != want {
				t.Errorf("limits %+v; want %+v", l, want)
			}
			if h := got.hold(); h != or(c.hold, 25*time.Second) {
				t.Errorf("hold %s", h)
			}
			if h := got.heartbeat(); h != or(c.heartbeat, 20*time.Second) {
				t.Errorf("heartbeat %s", h)
			}
		})
	}
}

// TestADirectivesLimitsAreTheHubs where no global block sets them.
func TestADirectivesLimitsAreTheHubs(t *testing.T) {
	start(t, "comet {\nmax_holds 50\n}", "http://SITE {\nbind 127.0.0.1\ncomet /a/* {\nmax_holds 3\n}\ncomet /b/* {\nmax_channels 4\n}\n}")
	h, _ := findHub(defaultHub)
	if l := h.Limits(); l.Holds != 3 || l.Channels != 4 {
		t.Errorf("limits %+v", l)
	}
}

// TestAMistypedWordIsAnsweredWithTheNearest.
func TestAMistypedWordIsAnsweredWithTheNearest(t *testing.T) {
	known := []string{"watch", "hold", "max_holds", "hub"}
	for word, want := range map[string]string{
		"wacth": `; did you mean "watch"?`, "HOLD": `; did you mean "hold"?`, "maxholds": `; did you mean "max_holds"?`,
		"hubb": `; did you mean "hub"?`, "": `; known are hold, hub, max_holds, watch`, "quite_another": `; known are hold, hub, max_holds, watch`,
	} {
		if got := didYouMean(word, known); got != want {
			t.Errorf("%q: %s; want %s", word, got, want)
		}
	}
}
