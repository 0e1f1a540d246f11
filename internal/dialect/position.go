package dialect

import (
	"strings"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// Position is where in a query a client's position stands, for polls of which
// the next differs from the last in nothing else.
type Position interface {
	// Param is the parameter whose value is the position.
	Param() string
	// Noise reports whether a parameter's value, as it stands in the query, means
	// nothing.
	Noise(param, value string) bool
	// Since reads a position, as it stands in the query. It reports false for what
	// it does not know: the request must be read as a whole then.
	Since(value string) (hub.Since, bool)
}

// nativePosition is the native dialect's.
type nativePosition struct{}

func (nativePosition) Param() string { return "since" }

// Noise is what jQuery adds so that no cache answers. With some other characters a
// query cannot be read.
func (nativePosition) Noise(param, value string) bool {
	return param == "_" && !strings.ContainsFunc(value, func(r rune) bool {
		return !('0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || r == '.' || r == '-' || r == '_')
	})
}

func (nativePosition) Since(value string) (hub.Since, bool) {
	cursor, err := hub.ParseCursor(value)
	return hub.After(cursor), err == nil
}
