package caddymodule

import (
	"testing"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/park"
)

// As soon as a home has retired, what comes meets the configuration that is in force.
func TestARetiredHomeTriesNothing(t *testing.T) {
	h := newHome(new(caddyhttp.Server), "", zap.NewNop())
	h.retire()
	if h.crew.take(new(park.Trial)) {
		t.Error("its crew took a request")
	}
	receive(t, h.ended)
}
