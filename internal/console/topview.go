package console

import (
	"fmt"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"
)

// The least terminal that there is a picture for.
const (
	leastWidth  = 40
	leastHeight = 10
)

// draw is the picture: as many lines as the terminal has, or as it takes where height is
// 0, none wider than the terminal.
func (t *Top) draw() string {
	if t.width < leastWidth || t.height > 0 && t.height < leastHeight {
		return ansi.Truncate("make the window larger", max(t.width, 1), "")
	}
	var lines []string
	foot := "↑↓ choose  tab table  enter follow  h holds  s sort  p pause  ? help  q quit"
	switch t.screen {
	case overview:
		lines = t.overview()
	case events:
		lines, foot = t.events(), "↑↓ scroll  h holds of the channel  p pause  esc back  ? help  q quit"
	case holding:
		lines, foot = t.holding(), "↑↓ scroll  p pause  esc back  ? help  q quit"
	case help:
		lines, foot = t.help(), "esc back  q quit"
	}
	if t.height > 0 {
		lines = lines[:min(len(lines), t.height-1)]
		for len(lines) < t.height-1 {
			lines = append(lines, "")
		}
		lines = append(lines, faint.Render(foot))
	}
	for i := range lines {
		lines[i] = ansi.Truncate(lines[i], t.width, "…")
	}
	return strings.Join(lines, "\n")
}

// head are the lines that all screens have.
func (t *Top) head() []string {
	left := bold.Render("caddy comet top") + "  " + Plain(t.feed.Name)
	right := "every " + t.interval.String()
	if p := t.now.Process; p != nil {
		left += "  up " + ago(t.now.Time.Sub(p.Started))
	}
	if t.paused {
		right = near.Render("paused")
	}
	if !t.now.Time.IsZero() {
		right = t.now.Time.Local().Format("15:04:05") + "  " + right
	}
	lines := []string{spread(left, right, t.width)}
	if t.err != nil {
		lines = append(lines, bad.Render("no news: "+t.err.Error()))
	}
	return lines
}

// spread puts two texts to the ends of a line.
func spread(left, right string, width int) string {
	gap := width - ansi.StringWidth(left) - ansi.StringWidth(right)
	if gap < 2 {
		left = ansi.Truncate(left, max(0, width-ansi.StringWidth(right)-2), "…")
		gap = max(2, width-ansi.StringWidth(left)-ansi.StringWidth(right))
	}
	return left + strings.Repeat(" ", gap) + right
}

// totals are the figures of everything.
func (t *Top) totals() []string {
	held, aside, channels := 0, 0, 0
	for _, h := range t.now.Hubs {
		held, aside, channels = held+h.Held, aside+parked(h), channels+h.Channels
	}
	share := ""
	if held > 0 {
		share = fmt.Sprintf(" (%d%%)", percent(int64(aside), int64(held)))
	}
	lag := "-"
	if ms := t.lag(); ms >= 0 {
		lag = fmt.Sprintf("%.1f ms", ms)
	}
	lines := []string{
		fmt.Sprintf("held %s  parked %s%s  channels %s  publish to last write %s",
			bold.Render(number(held)), number(aside), share, number(channels), lag),
		fmt.Sprintf("a second: events %s  deliveries %s  opened %s  refused %s",
			bold.Render(perSecond(t.total(published))), perSecond(t.total(delivered)), perSecond(t.total(opened)), alarm(t.total(denied))),
	}
	if p := t.now.Process; p != nil {
		line := fmt.Sprintf("memory %s  goroutines %s", size(p.MemoryBytes), number(p.Goroutines))
		if p.Descriptors > 0 {
			line += fmt.Sprintf("  descriptors %s of %s", number(p.Descriptors), number(p.MaxDescriptors))
		}
		lines = append(lines, line)
	}
	return lines
}

func alarm(r float64) string {
	if r > 0 {
		return bad.Render(perSecond(r))
	}
	return perSecond(r)
}

// table is a part of the overview.
type table struct {
	title string
	// order says in which the rows are, " by name".
	order   string
	columns []column
	rows    [][]string
	// styles are those of rows that are not plain.
	styles map[int]lipgloss.Style
	// mark is the row that is chosen, below 0 for none; here says that the arrows move it.
	mark int
	here bool
	// more is how many rows there are that were not asked for.
	more int
}

// lines are the table in at most so many lines, of which the marked row is one. The first
// column takes what room there is.
func (p table) lines(most, width int) []string {
	columns := append([]column(nil), p.columns...)
	rest := 0
	for _, c := range columns[1:] {
		rest += c.width + 2
	}
	columns[0].width = max(columns[0].width, min(width-rest-2, 60))
	title := fmt.Sprintf("%s (%s)%s", p.title, number(len(p.rows)+p.more), p.order)
	lines := []string{"  " + heading.Render(row(columns, append([]string{title}, titlesOf(columns[1:])...)))}
	from := max(0, p.mark-(most-1)+1)
	for i := from; i < len(p.rows) && len(lines) < most; i++ {
		cells := append([]string(nil), p.rows[i]...)
		cells[0] = ansi.Truncate(cells[0], columns[0].width, "…")
		line := row(columns, cells)
		style, styled := p.styles[i]
		switch {
		case i == p.mark && p.here:
			line = chosen.Render("▸ " + line)
		case i == p.mark:
			line = "▸ " + line
		default:
			line = "  " + line
		}
		if styled && !(i == p.mark && p.here) {
			line = style.Render(line)
		}
		lines = append(lines, line)
	}
	return lines
}

func titlesOf(columns []column) []string {
	out := make([]string, len(columns))
	for i, c := range columns {
		out[i] = c.title
	}
	return out
}

func (t *Top) help() []string {
	lines := append(t.head(), "")
	for _, k := range keys {
		lines = append(lines, fmt.Sprintf("  %s  %s", bold.Render(fmt.Sprintf("%-9s", k[0])), k[1]))
	}
	return append(lines, "",
		"  parked        held by a connection alone, without a goroutine",
		"  holds, sent   how much of max_holds and max_in_flight is in use",
		"  event, quiet  holds that ended by an event, or by none in their time",
		"  gone          holds whose client went away",
		"  other         those that were refused, too slow, kicked and so on")
}

// events is the channel that is followed.
func (t *Top) events() []string {
	lines := t.head()
	about := "channel " + tint(t.channel).Bold(true).Render(Plain(t.channel)) + " of " + t.hub
	if i := t.channelPlace(); i >= 0 {
		c := t.list.Channels.Channels[i]
		about += fmt.Sprintf("  held %s  events %s/s  kept %s (%s)", number(c.Held), perSecond(t.channelRate(c)), number(c.History), size(c.Bytes))
	}
	lines = append(lines, about, "")
	if t.tail.err != nil {
		lines = append(lines, bad.Render("no news: "+t.tail.err.Error()))
	}
	if t.tail.lost {
		lines = append(lines, near.Render("events are lost: not all that happened is kept"))
	}
	if len(t.tail.events) == 0 {
		return append(lines, faint.Render("nothing is kept; waiting for the next event"))
	}
	room := max(1, t.height-1-len(lines))
	t.from = min(t.from, max(0, len(t.tail.events)-room))
	last := len(t.tail.events) - t.from
	for _, e := range t.tail.events[max(0, last-room):last] {
		e.Channel = t.channel
		lines = append(lines, e.line(0))
	}
	return lines
}

// holding is a listing of holds.
func (t *Top) holding() []string {
	w := t.which()
	about := "held in " + t.hub
	if w.Channel != "" {
		about = "held on " + Plain(w.Channel) + " of " + t.hub
	}
	n := len(t.holds.Holds)
	about += ": " + number(n+t.holds.More)
	if t.holds.More > 0 {
		about += fmt.Sprintf(", of which %d are here", n)
	}
	columns := holdColumns[1:] // the hub is known
	lines := append(t.head(), bold.Render(about), "", heading.Render(titles(columns)))
	room := max(1, t.height-1-len(lines))
	t.from = min(t.from, max(0, n-room))
	for _, h := range t.holds.Holds[t.from:min(n, t.from+room)] {
		lines = append(lines, row(columns, holdCells(h)[1:]))
	}
	return lines
}
