package console

import (
	tea "charm.land/bubbletea/v2"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// keys are what the help tells.
var keys = [][2]string{
	{"↑ ↓  k j", "choose a hub or a channel; scroll a listing"},
	{"tab", "from the hubs to the channels and back"},
	{"enter", "on a hub: to its channels; on a channel: follow its events"},
	{"h", "list what is held: in the hub, or on the channel that is chosen"},
	{"s", "sort the table in another order"},
	{"p space", "hold the picture still, and go on"},
	{"esc", "back"},
	{"?", "this page"},
	{"q", "quit"},
}

// key does what a key says.
func (t *Top) key(key string) tea.Cmd {
	switch key {
	case "q", "ctrl+c":
		t.tail.stop()
		return tea.Quit
	case "?":
		if t.screen != help {
			t.back, t.screen = t.screen, help
		} else {
			t.screen = t.back
		}
	case "esc", "backspace", "left":
		return t.leave()
	case "p", "space", " ":
		t.paused = !t.paused
	case "up", "k":
		return t.move(-1)
	case "down", "j":
		return t.move(1)
	case "pgup":
		return t.move(-t.page())
	case "pgdown":
		return t.move(t.page())
	case "tab":
		if t.screen == overview {
			t.focus = 1 - t.focus
			t.first()
		}
	case "s":
		return t.sort()
	case "h":
		if t.screen == overview || t.screen == events {
			t.back, t.screen, t.from, t.holds = t.screen, holding, 0, figures.Holds{}
			return t.see()
		}
	case "enter", "right":
		return t.open()
	}
	return nil
}

// leave goes back.
func (t *Top) leave() tea.Cmd {
	switch t.screen {
	case overview:
		t.focus = onHubs
	case events:
		t.tail.stop()
		t.screen = overview
	case holding, help:
		t.screen = t.back
	}
	return nil
}

// open goes from a hub to its channels, and from a channel to its events.
func (t *Top) open() tea.Cmd {
	switch {
	case t.screen != overview:
	case t.focus == onHubs:
		t.focus = onChannels
		t.first()
	case t.channel != "":
		t.screen, t.from = events, 0
		return t.follow()
	}
	return nil
}

// first chooses the first channel where none is chosen.
func (t *Top) first() {
	if list := t.list.Channels.Channels; t.focus == onChannels && t.channelPlace() < 0 && len(list) > 0 {
		t.channel = list[0].Channel
	}
}

func (t *Top) sort() tea.Cmd {
	switch {
	case t.screen != overview:
	case t.focus == onHubs:
		t.hubs.next()
	default:
		t.by.next()
		t.listBefore = listed{}
		return t.see()
	}
	return nil
}

// move goes down by so many lines.
func (t *Top) move(by int) tea.Cmd {
	switch {
	case t.screen == holding:
		t.from = max(0, t.from+by)
	case t.screen == events: // from the newest
		t.from = max(0, t.from-by)
	case t.screen != overview:
	case t.focus == onHubs:
		if hubs := t.ordered(); len(hubs) > 0 {
			to := hubs[within(t.place()+by, len(hubs))].Hub
			if to != t.hub {
				t.choose(to)
				return t.see()
			}
		}
	default:
		if list := t.list.Channels.Channels; len(list) > 0 {
			t.channel = list[within(t.channelPlace()+by, len(list))].Channel
		}
	}
	return nil
}

func within(i, n int) int { return max(0, min(i, n-1)) }

func (t *Top) page() int { return max(1, t.height-6) }
