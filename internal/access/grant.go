package access

import (
	"errors"
	"fmt"
	"strings"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// Grant is the right to listen.
type Grant struct {
	// Who has it, since when and until when. All holds by one grant share it.
	Who *hub.Who
	// Channels are those that may be followed. nil where the grant is of what was
	// asked for, whatever that was.
	Channels Patterns
}

// Narrow returns those of the channels that may be followed, and the others.
func (g Grant) Narrow(channels []string) (allowed, denied []string) {
	if g.Channels == nil {
		return channels, nil
	}
	for _, name := range channels {
		if g.Channels.Match(name) {
			allowed = append(allowed, name)
		} else {
			denied = append(denied, name)
		}
	}
	return allowed, denied
}

// Patterns name channels. A `*` in one stands for any characters, or none.
type Patterns []string

// maxPatterns is how many there may be, maxPattern how long each.
const (
	maxPatterns = 1000
	maxPattern  = 255
)

// ErrPatterns says that a list of channels cannot be read.
var ErrPatterns = errors.New("a list of channels cannot be read")

// ParsePatterns reads names and patterns, each as it stands. The error is an
// [ErrPatterns].
func ParsePatterns(names []string) (Patterns, error) {
	if len(names) > maxPatterns {
		return nil, fmt.Errorf("%w: %d are too many, %d are the most; use patterns, as in user-42-*", ErrPatterns, len(names), maxPatterns)
	}
	p := make(Patterns, 0, len(names))
	for _, name := range names {
		if len(name) > maxPattern {
			return nil, fmt.Errorf("%w: a name has %d bytes, and %d are the most", ErrPatterns, len(name), maxPattern)
		}
		if err := hub.CheckChannel(name); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrPatterns, err)
		}
		p = append(p, strings.Clone(name))
	}
	return p, nil
}

// Match reports whether one of the patterns names the channel.
func (p Patterns) Match(channel string) bool {
	for _, pattern := range p {
		if match(pattern, channel) {
			return true
		}
	}
	return false
}

// match takes time in proportion to the two lengths: after each star the first place
// where the next piece fits is as good as any later one.
func match(pattern, name string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == name
	}
	name, ok := strings.CutPrefix(name, head)
	for ok {
		piece, more, another := strings.Cut(rest, "*")
		if !another {
			return strings.HasSuffix(name, piece)
		}
		_, name, ok = strings.Cut(name, piece)
		rest = more
	}
	return false
}
