package caddymodule

import (
	"os"
	"strings"
	"syscall"
	"testing"
)

// TestATerminatedServerGivesTheSitesOwnAnswer to each request that was handed over.
func TestATerminatedServerGivesTheSitesOwnAnswer(t *testing.T) {
	site := behind(t, says("own", "Comet-Hold", "retry", "Comet-Channel", "exit"))
	s := newServer(t)
	config := s.dir + "/config.json"
	if err := os.WriteFile(config, s.adapt("", around("hold", site)), 0o644); err != nil {
		t.Fatal(err)
	}
	p := s.process(config)
	parked, posted := s.getting("/"), make(chan answer, 1)
	go func() { posted <- send(plain, "POST", "http://"+s.site+"/", "x") }()
	eventually(t, "both are held", func() bool {
		return strings.Contains(send(s.admin(), "GET", "http://127.0.0.1/comet/default/exit", "").body, `"held":2,`)
	})
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	receive(t, parked).wants(t, 200, "own")
	receive(t, posted).wants(t, 200, "own")
	if err := receive(t, p.done); err != nil {
		t.Errorf("the process ended with %v", err)
	}
}
