package caddymodule

import (
	"slices"
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

// Who ends after the server, and after all of comet, is logged as the server was told.
func TestARetiredHomeKnowsItsLoggers(t *testing.T) {
	logs := &caddyhttp.ServerLogConfig{LoggerNames: map[string]caddyhttp.StringArray{"a.example": {"log0"}}}
	h := newHome(&caddyhttp.Server{Logs: logs}, "", zap.NewNop())
	h.retire()
	receive(t, h.ended)
	if got := h.loggers(nil, "a.example:80"); !slices.Equal(got, []string{"log0"}) {
		t.Errorf("the loggers are %q", got)
	}
}
