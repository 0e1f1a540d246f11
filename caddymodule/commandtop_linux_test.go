package caddymodule

import (
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestTopTakesTheTerminalAndGivesItBack: on a real one, which util-linux's script makes,
// it draws, obeys keys and leaves the screen as it was.
func TestTopTakesTheTerminalAndGivesItBack(t *testing.T) {
	_, shop, _, admin := looking(t)
	caddy, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	for _, colour := range []string{"NO_COLOR=", "NO_COLOR=1"} {
		line := colour + " " + caddy + " comet top --interval 200ms --hub " + shop + " --address " + admin
		cmd := exec.CommandContext(t.Context(), "script", "-qefc", "stty rows 24 cols 80; TERM=xterm-256color "+line, "/dev/null")
		keys, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatalf("%v: is util-linux installed? (integration/install.sh tools)", err)
		}
		screen := make(chan string, 1000)
		go func() {
			defer close(screen)
			b := make([]byte, 64<<10)
			for {
				n, err := stdout.Read(b)
				screen <- string(b[:n])
				if err != nil {
					return
				}
			}
		}()
		var all strings.Builder
		shows := func(want string) {
			t.Helper()
			after := time.After(deadline)
			for from := all.Len(); !strings.Contains(all.String()[from:], want); {
				select {
				case more, ok := <-screen:
					if !ok {
						t.Fatalf("it ended before it showed %q: %q", want, all.String())
					}
					all.WriteString(more)
				case <-after:
					t.Fatalf("it never showed %q: %q", want, all.String())
				}
			}
		}
		shows("native/poll")
		_, _ = io.WriteString(keys, "h")
		shows("held in " + shop)
		_, _ = io.WriteString(keys, "?")
		shows("this page")
		_, _ = io.WriteString(keys, "q")
		shows("\x1b[?1049l")
		for more := range screen {
			all.WriteString(more)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended by %v", err)
		}
		if got := all.String(); !strings.Contains(got, "\x1b[?1049h") || strings.Contains(got, "\x1b[36") != (colour == "NO_COLOR=") {
			t.Errorf("%q: %q", colour, got)
		}
	}
}
