package caddymodule

import (
	"strings"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/hold"
)

const (
	fullHolds     = "visitors are refused because as many requests are held as may be; raise max_holds, or max_memory where that decides"
	fullChannels  = "visitors are refused because as many channels are in use as may be; raise max_channels, or max_memory where that decides"
	fullVariables = "visitors are refused because as many event variables are waited for as may be; raise the count of keep"
)

// tellFull logs that a hub has no room for a visitor. A whole crowd may be told of: what
// the line has is looked up only where there is a line.
func tellFull(hub string, what hold.Full) {
	message := fullHolds
	switch {
	case what == hold.NotFull:
		return
	case what == hold.FullChannels && strings.HasSuffix(hub, doorbellNamespace):
		message = fullVariables
	case what == hold.FullChannels:
		message = fullChannels
	}
	logs().seldom.tell(trouble{hub, message}, func(more ...zap.Field) {
		fields := []zap.Field{zap.String("hub", hub)}
		if h, ok := findHub(hub); ok {
			limit := h.Limits().Holds
			if what == hold.FullChannels {
				limit = h.Limits().Channels
			}
			fields = append(fields, zap.Int("limit", limit))
		}
		logs().holds.Warn(message, append(fields, more...)...)
	}, nil)
}
