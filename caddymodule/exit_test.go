package caddymodule

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// holdMany holds polls and streams in another process, and returns where their
// ends come: an empty text for a good one.
func holdMany(t *testing.T, s *server, polls, streams int) <-chan string {
	t.Helper()
	ends := make(chan string, polls+streams)
	for range polls {
		go func() {
			a := get("http://" + s.site + "/comet/exit")
			switch {
			case a.err != nil || a.status != 200 || !strings.HasPrefix(a.body, `{"cursor":"`):
				ends <- fmt.Sprintf("a poll got %d %q %v", a.status, a.body, a.err)
			case a.header.Get("Retry-After") == "":
				ends <- "a poll got no Retry-After"
			default:
				ends <- ""
			}
		}()
	}
	for range streams {
		go func() {
			res, err := plain.Get("http://" + s.site + "/comet/exit?as=sse")
			if err != nil {
				ends <- err.Error()
				return
			}
			defer res.Body.Close()
			b, err := io.ReadAll(bufio.NewReader(res.Body))
			blocks := strings.Split(strings.TrimSuffix(string(b), "\n\n"), "\n\n")
			last := blocks[len(blocks)-1]
			switch {
			case err != nil:
				ends <- "a stream was cut: " + err.Error()
			case len(blocks) < 2 || !strings.Contains(last, "id: ") || !strings.Contains(last, "retry: "):
				ends <- fmt.Sprintf("a stream ended with %q", last)
			default:
				ends <- ""
			}
		}()
	}
	eventually(t, "all are held", func() bool {
		return strings.Contains(send(s.admin(), "GET", "http://127.0.0.1/comet/default/exit", "").body, fmt.Sprintf(`"held":%d,`, polls+streams))
	})
	return ends
}

// TestATerminatedServerAnswersEveryHold within about three seconds, with a
// cursor, whatever generation holds it, and ends well.
func TestATerminatedServerAnswersEveryHold(t *testing.T) {
	for _, c := range []struct {
		name string
		// globals and reload are what is loaded after the holds came.
		globals, reload string
	}{
		{"of the only configuration", "", ""},
		{"of an earlier configuration", "comet {\nhold 20s\n}", simple},
		{"of an earlier one that had the last directive", "comet {\nhold 20s\n}", "http://SITE {\nbind 127.0.0.1\nrespond ok\n}"},
		{"of an earlier one that had the last of comet", "", "http://SITE {\nbind 127.0.0.1\nrespond ok\n}"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newServer(t)
			config := s.dir + "/config.json"
			if err := os.WriteFile(config, s.adapt("", simple), 0o644); err != nil {
				t.Fatal(err)
			}
			p := s.process(config)
			ends := holdMany(t, s, 300, 20)
			if c.reload != "" {
				send(s.admin(), "POST", "http://127.0.0.1/load", string(s.adapt(c.globals, c.reload)), "Content-Type", "application/json").wants(t, 200, "")
			}
			began := time.Now()
			_ = p.cmd.Process.Signal(syscall.SIGTERM)
			for range cap(ends) {
				if end := receive(t, ends); end != "" {
					t.Fatalf("after %s: %s\n%s", time.Since(began), end, s.logs())
				}
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("the last answer came after %s", took)
			}
			if err := receive(t, p.done); err != nil {
				t.Errorf("the process ended with %v", err)
			}
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the process ended after %s", took)
			}
		})
	}
}
