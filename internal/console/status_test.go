package console

import (
	"bytes"
	"strings"
	"testing"

	"github.com/caddy-comet/caddy-comet/internal/figures"
)

// TestTheStatusIsPrinted: what a hub has none of takes no room.
func TestTheStatusIsPrinted(t *testing.T) {
	s := few(noon)
	s.Hubs[0].Denied = map[string]uint64{"origin": 2, "limit": 412, "token": 0}
	s.Hubs[1].Denied = map[string]uint64{"limit": 0}
	s.Hubs[1].Store = &figures.Store{Path: "/var/lib/comet/forum.db", Bytes: 4096, Error: "no space left on device"}
	s.Watches[0].LastError = "open a.comet: permission \x1b[2J denied"
	var out bytes.Buffer
	for _, hub := range []string{"", "forum"} {
		if err := PrintStatus(&out, s, hub); err != nil {
			t.Fatal(err)
		}
		out.WriteString("\n")
	}
	golden(t, "status", strings.TrimRight(out.String(), "\n"))
}
