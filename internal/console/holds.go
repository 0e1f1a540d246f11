package console

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// column is one of a table's: its title, its least width, and whether numbers stand in it.
type column struct {
	title   string
	width   int
	numbers bool
}

// row writes cells in columns. What is too long moves the rest of its line.
func row(columns []column, cells []string) string {
	var b strings.Builder
	for i, c := range columns {
		gap := strings.Repeat(" ", max(0, c.width-ansi.StringWidth(cells[i])))
		switch {
		case c.numbers:
			b.WriteString(gap + cells[i])
		case i == len(columns)-1:
			b.WriteString(cells[i])
		default:
			b.WriteString(cells[i] + gap)
		}
		if i < len(columns)-1 {
			b.WriteString("  ")
		}
	}
	return strings.TrimRight(b.String(), " ")
}

func titles(columns []column) string {
	cells := make([]string, len(columns))
	for i, c := range columns {
		cells[i] = c.title
	}
	return row(columns, cells)
}

var holdColumns = []column{
	{"HUB", 10, false}, {"KIND", 16, false}, {"PARKED", 6, false}, {"AGE", 6, true}, {"CLIENT", 15, false}, {"USER", 10, false}, {"CHANNELS", 8, false},
}

// holdCells is a hold as cells of a line. Nothing is empty, so that a program can count
// the columns.
func holdCells(h figures.Hold) []string {
	parked, channels := "no", make([]string, len(h.Channels))
	if h.Parked {
		parked = "yes"
	}
	for i, c := range h.Channels {
		channels[i] = Plain(c)
	}
	list := strings.Join(channels, ",")
	if h.MoreChannels > 0 {
		list += " and " + strconv.Itoa(h.MoreChannels) + " more"
	}
	dash := func(s string) string {
		if s == "" {
			return "-"
		}
		return Plain(s)
	}
	age := ago(time.Duration(h.Age * float64(time.Second)))
	return []string{h.Hub, kindOf(h.Dialect, h.Transport), parked, age, dash(h.Client), dash(h.User), list}
}

// HoldPrinter writes holds one by one: as a table, or with JSON each as a line.
type HoldPrinter struct {
	Out   io.Writer
	JSON  bool
	lines int
}

// Print writes one.
func (p *HoldPrinter) Print(h figures.Hold) error {
	p.lines++
	if p.JSON {
		return json.NewEncoder(p.Out).Encode(h)
	}
	if p.lines == 1 {
		if _, err := fmt.Fprintln(p.Out, titles(holdColumns)); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(p.Out, row(holdColumns, holdCells(h)))
	return err
}

// Lines is how many were written.
func (p *HoldPrinter) Lines() int { return p.lines }
