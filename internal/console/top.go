package console

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// Top is the terminal view of a running server.
type Top struct {
	feed     feed
	interval time.Duration

	width, height int
	screen        screen
	// back is the screen from which the help was asked for.
	back   screen
	focus  focus
	paused bool
	// err is why there is nothing new.
	err error

	// before and now are the last two looks. Rates are between them.
	before, now figures.Status
	// hub is the one that is chosen, hubs their order.
	hub  string
	hubs order

	// list are the first channels of the hub, listBefore those of the look before.
	list, listBefore listed
	by               order
	channel          string

	holds figures.Holds
	// from is the first line of a listing that is shown.
	from int

	tail tail
}

// screen is what fills the terminal.
type screen uint8

const (
	overview screen = iota
	events
	holding
	help
)

// focus is the table in which the arrows move.
type focus uint8

const (
	onHubs focus = iota
	onChannels
)

// order is one of those in which a table can be.
type order struct {
	names []string
	at    int
}

func (o order) name() string { return o.names[o.at] }
func (o *order) next()       { o.at = (o.at + 1) % len(o.names) }

// listed is a listing of channels and when it was made.
type listed struct {
	figures.Channels
	at time.Time
}

// NewTop returns a view that looks so often. hub is the one to begin with, "" for the
// first.
func NewTop(r *Remote, hub string, interval time.Duration) *Top {
	return &Top{
		feed: feed{r}, interval: interval, hub: hub, width: 80, height: 24,
		hubs: order{names: []string{"name", "held", "events"}},
		by:   order{names: []string{"held", "latest", "events", "name"}},
	}
}

// Run shows it until the user has seen enough.
func (t *Top) Run(ctx context.Context) error {
	_, err := tea.NewProgram(t, tea.WithContext(ctx)).Run()
	if ctx.Err() != nil {
		return nil // a signal is an end like any other
	}
	return err
}

// Snapshot writes one picture as text: first is a look, and after the interval there is
// another.
func (t *Top) Snapshot(ctx context.Context, first figures.Status, out io.Writer) error {
	const width = 100
	t.width, t.height = width, 0
	t.looked(first)
	for _, round := range []int{0, 1} {
		if round == 1 {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(t.interval):
			}
			s, err := t.feed.Status(ctx)
			if err != nil {
				return err
			}
			t.looked(s)
		}
		if t.hub == "" {
			continue
		}
		list, err := t.feed.Channels(ctx, t.hub, t.by.name(), maxListed)
		if err != nil {
			return err
		}
		t.listing(list, time.Now())
	}
	_, err := fmt.Fprintln(out, ansi.Strip(t.draw()))
	return err
}

// Init implements [tea.Model].
func (t *Top) Init() tea.Cmd { return t.look() }

// Update implements [tea.Model].
func (t *Top) Update(m tea.Msg) (tea.Model, tea.Cmd) {
	switch m := m.(type) {
	case tea.WindowSizeMsg:
		t.width, t.height = m.Width, m.Height
	case tea.KeyPressMsg:
		return t, t.key(m.String())
	case tick:
		return t, t.look()
	case looked:
		if t.err = m.err; m.err == nil && (!t.paused || m.extra) {
			t.looked(m.status)
			if m.list != nil && m.hub == t.hub {
				t.listing(*m.list, m.at)
			}
			if m.holds != nil {
				t.holds = *m.holds
			}
		}
		if m.extra {
			return t, nil
		}
		return t, tea.Tick(t.interval, func(time.Time) tea.Msg { return tick{} })
	case heard:
		return t, t.hear(m)
	}
	return t, nil
}

// View implements [tea.Model].
func (t *Top) View() tea.View {
	v := tea.NewView(t.draw())
	v.AltScreen = true
	v.WindowTitle = "caddy comet top"
	return v
}

// looked takes a new status. Rates begin anew with a server that does.
func (t *Top) looked(s figures.Status) {
	t.before, t.now = t.now, s
	if p, q := t.before.Process, s.Process; p != nil && q != nil && !p.Started.Equal(q.Started) {
		t.before = figures.Status{}
	}
	if t.place() < 0 {
		t.choose("")
		if len(s.Hubs) > 0 {
			t.choose(slices.MaxFunc(t.ordered(), func(a, b figures.Hub) int { return cmp.Compare(a.Held, b.Held) }).Hub)
		}
	}
}

func (t *Top) listing(c figures.Channels, at time.Time) {
	t.listBefore, t.list = t.list, listed{c, at}
	if t.channelPlace() < 0 {
		t.channel = ""
	}
}

// choose has a hub be the one that is looked at.
func (t *Top) choose(hub string) {
	if t.hub != hub {
		t.hub, t.channel, t.list, t.listBefore = hub, "", listed{}, listed{}
	}
}
