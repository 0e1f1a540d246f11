package console

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"charm.land/lipgloss/v2"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// overview is everything at a glance.
func (t *Top) overview() []string {
	lines := append(t.head(), t.totals()...)
	if len(t.now.Hubs) == 0 {
		return append(lines, "", "the running configuration uses no hub: it has no comet directive")
	}
	if trouble := t.trouble(); len(trouble) > 0 {
		if more := len(trouble) - maxTrouble; more > 0 && t.height > 0 {
			trouble = append(trouble[:maxTrouble-1], bad.Render(fmt.Sprintf("! and %d more", more+1)))
		}
		lines = append(lines, trouble...)
	}
	tables := []table{t.hubTable(), t.kindTable(), t.channelTable(), t.watchTable()}
	heights, apart := t.share(tables, t.height-1-len(lines))
	for i, p := range tables {
		if heights[i] == 0 {
			continue
		}
		if apart {
			lines = append(lines, "")
		}
		lines = append(lines, p.lines(heights[i], t.width)...)
	}
	return lines
}

// maxTrouble is how many lines there are of it.
const maxTrouble = 3

// share says how many lines each table gets of the room, and whether there are empty ones
// between them. The third, which are the channels, gets the rest.
func (t *Top) share(tables []table, room int) (heights []int, apart bool) {
	most := []int{5, 5, 0, 3}
	const large, small = 36, 5
	switch {
	case t.height == 0:
		most = []int{50, 50, 21, 50}
	case t.height >= large:
		most = []int{9, 8, 0, 6}
	}
	heights = make([]int, len(tables))
	used := 0
	for i, p := range tables {
		if n := len(p.rows); n > 0 && i != 2 {
			heights[i] = min(1+n, most[i])
			used += 1 + heights[i]
		}
	}
	if t.height == 0 {
		heights[2] = most[2]
		return heights, true
	}
	if left := room - used - 1; left >= small {
		heights[2] = left
		return heights, true
	}
	heights[2] = 0
	over := -room
	for _, n := range heights {
		over += n
	}
	// Without the empty lines, and then without what is looked at the least.
	const least = 2 // a title and a row
	heights[2] = max(least, -over)
	over += heights[2]
	order := []int{3, 1, 2, 0}
	if t.focus == onChannels {
		order = []int{3, 1, 0, 2}
	}
	for k, i := range order {
		last := k == len(order)-1
		cut := min(max(0, over), heights[i])
		if left := heights[i] - cut; left < least && !last {
			cut = heights[i]
		} else if last {
			cut = min(cut, max(0, heights[i]-least))
		}
		heights[i] -= cut
		over -= cut
	}
	return heights, false
}

// limit is how much of one of a hub's limits is in use.
type limit struct {
	name       string
	used, most int64
	// bytes: they are numbers of bytes.
	bytes bool
}

func limitsOf(h figures.Hub) []limit {
	return []limit{
		{"max_holds", int64(h.Held), int64(h.Limits.MaxHolds), false},
		{"max_in_flight", h.InFlightBytes, h.Limits.MaxInFlight, true},
	}
}

// From these on a limit is near, and worse.
const (
	nearAt  = 75
	worseAt = 90
)

// trouble is what somebody has to look after. Histories and channels are no part of it:
// the oldest go where they are full. The worst comes first.
func (t *Top) trouble() []string {
	var worst, others []string
	say := func(worse bool, format string, args ...any) {
		line := "! " + fmt.Sprintf(format, args...)
		if worse {
			worst = append(worst, bad.Render(line))
		} else {
			others = append(others, near.Render(line))
		}
	}
	if p := t.now.Process; p != nil {
		if used := percent(int64(p.Descriptors), p.MaxDescriptors); used >= nearAt {
			say(used >= worseAt, "descriptors: %d%% of %s; raise LimitNOFILE", used, number(p.MaxDescriptors))
		}
	}
	for _, h := range t.now.Hubs {
		for _, l := range limitsOf(h) {
			if used := percent(l.used, l.most); used >= nearAt {
				most := number(l.most)
				if l.bytes {
					most = size(l.most)
				}
				say(used >= worseAt, "%s: %d%% of %s (%s)", h.Hub, used, l.name, most)
			}
		}
		if h.Store != nil && h.Store.Error != "" {
			say(true, "%s: the store %s: %s", h.Hub, h.Store.Path, Plain(h.Store.Error))
		}
	}
	for _, w := range t.now.Watches {
		if w.LastError != "" {
			say(true, "%s: %s: %s", w.Hub, w.Glob, Plain(w.LastError))
		}
	}
	return append(worst, others...)
}

func (t *Top) hubTable() table {
	p := table{
		title: "HUBS", order: by(t.hubs), mark: t.place(), here: t.focus == onHubs && t.height > 0, styles: make(map[int]lipgloss.Style),
		columns: []column{
			{"HUB", 16, false}, {"HELD", 8, true}, {"PARKED", 6, true}, {"CHANNELS", 8, true}, {"EVENTS/s", 8, true},
			{"DELIV/s", 8, true}, {"HOLDS", 5, true}, {"SENT", 5, true},
		},
	}
	for i, h := range t.ordered() {
		aside := "-"
		if h.Held > 0 {
			aside = fmt.Sprintf("%d%%", percent(int64(parked(h)), int64(h.Held)))
		}
		cells := []string{h.Hub, number(h.Held), aside, number(h.Channels), perSecond(t.hubRate(h, published)), perSecond(t.hubRate(h, delivered))}
		worst := 0
		for _, l := range limitsOf(h) {
			used := percent(l.used, l.most)
			worst = max(worst, used)
			cells = append(cells, fmt.Sprintf("%d%%", used))
		}
		p.rows = append(p.rows, cells)
		switch {
		case worst >= worseAt:
			p.styles[i] = bad
		case worst >= nearAt:
			p.styles[i] = near
		}
	}
	return p
}

// by says in what order a table is.
func by(o order) string { return " by " + o.name() }

func (t *Top) chosenHub() figures.Hub {
	for _, h := range t.now.Hubs {
		if h.Hub == t.hub {
			return h
		}
	}
	return figures.Hub{}
}

func (t *Top) kindTable() table {
	h := t.chosenHub()
	p := table{
		title: "KINDS IN " + strings.ToUpper(h.Hub), mark: -1,
		columns: []column{
			{"KIND", 20, false}, {"HELD", 8, true}, {"PARKED", 6, true}, {"EVENT/s", 8, true}, {"QUIET/s", 8, true},
			{"GONE/s", 8, true}, {"OTHER/s", 8, true},
		},
	}
	kinds := slices.Clone(h.Kinds)
	slices.SortStableFunc(kinds, func(a, b figures.Kind) int { return cmp.Compare(b.Held, a.Held) })
	for _, k := range kinds {
		aside := "-"
		if k.Held > 0 {
			aside = fmt.Sprintf("%d%%", percent(int64(k.Parked), int64(k.Held)))
		}
		p.rows = append(p.rows, []string{
			kindOf(k.Dialect, k.Transport), number(k.Held), aside,
			perSecond(t.answered(h.Hub, k, false, "event")), perSecond(t.answered(h.Hub, k, false, "timeout")),
			perSecond(t.answered(h.Hub, k, false, "client_gone")),
			perSecond(t.answered(h.Hub, k, true, "event", "timeout", "client_gone")),
		})
	}
	return p
}

func (t *Top) channelTable() table {
	p := table{
		title: "CHANNELS", order: by(t.by), mark: t.channelPlace(), here: t.focus == onChannels && t.height > 0, more: t.list.More,
		columns: []column{
			{"CHANNEL", 20, false}, {"HELD", 8, true}, {"EVENTS/s", 8, true}, {"EVENTS", 10, true}, {"KEPT", 6, true}, {"BYTES", 8, true},
		},
	}
	for _, c := range t.list.Channels.Channels {
		p.rows = append(p.rows, []string{
			Plain(c.Channel), number(c.Held), perSecond(t.channelRate(c)), number(c.Events), number(c.History), size(c.Bytes),
		})
	}
	return p
}

func (t *Top) watchTable() table {
	p := table{
		title: "WATCHES", mark: -1, styles: make(map[int]lipgloss.Style),
		columns: []column{{"WATCH", 24, false}, {"HUB", 12, false}, {"WHAT", 8, false}, {"BY", 8, false}, {"FILES", 6, true}},
	}
	for _, w := range t.now.Watches {
		mode := w.Mode
		if mode == "" {
			mode = "nothing"
		}
		if w.LastError != "" {
			p.styles[len(p.rows)] = bad
		}
		p.rows = append(p.rows, []string{w.Glob, w.Hub, w.What, mode, number(w.Files)})
	}
	return p
}
