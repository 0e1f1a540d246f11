package console

import (
	"io"
	"strings"

	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/colorprofile"
)

// The colours are the terminal's own sixteen, so that they are readable on any ground.
var (
	faint   = lipgloss.NewStyle().Faint(true)
	bold    = lipgloss.NewStyle().Bold(true)
	heading = lipgloss.NewStyle().Foreground(lipgloss.Cyan).Bold(true)
	near    = lipgloss.NewStyle().Foreground(lipgloss.Yellow)
	bad     = lipgloss.NewStyle().Foreground(lipgloss.Red).Bold(true)
	chosen  = lipgloss.NewStyle().Reverse(true)

	tints = []lipgloss.Style{
		lipgloss.NewStyle().Foreground(lipgloss.Cyan),
		lipgloss.NewStyle().Foreground(lipgloss.Green),
		lipgloss.NewStyle().Foreground(lipgloss.Yellow),
		lipgloss.NewStyle().Foreground(lipgloss.Blue),
		lipgloss.NewStyle().Foreground(lipgloss.Magenta),
		lipgloss.NewStyle().Foreground(lipgloss.BrightCyan),
		lipgloss.NewStyle().Foreground(lipgloss.BrightMagenta),
	}
)

// tint is a channel's own colour.
func tint(channel string) lipgloss.Style { return tints[place(channel, len(tints))] }

// Colours is a writer that leaves out the colours which its terminal has not, or which
// NO_COLOR in the environment forbids; all of them where it is no terminal.
func Colours(out io.Writer, environ []string) io.Writer {
	w := colorprofile.NewWriter(out, environ)
	for _, e := range environ {
		if value, ok := strings.CutPrefix(e, "NO_COLOR="); ok && value != "" {
			w.Profile = min(w.Profile, colorprofile.ASCII) // whoever else asks for some
		}
	}
	return w
}
