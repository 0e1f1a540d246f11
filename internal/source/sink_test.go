package source

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// patience is for machines under load; nothing waits for it to pass.
const patience = 30 * time.Second

// fakeSink remembers what it is told, each as one word: "+channel=data" is
// news, "=channel=data" was there before, "-channel" is gone.
type fakeSink struct {
	max int

	mu      sync.Mutex
	words   []string
	drafts  []hub.Draft
	batches int
	changed chan struct{} // closed and replaced by whatever happens
}

func newSink() *fakeSink { return &fakeSink{max: 1 << 16, changed: make(chan struct{})} }

func (s *fakeSink) note(mark string, drafts ...hub.Draft) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches++
	for _, d := range drafts {
		word := mark + d.Channel
		if len(d.Data) > 0 {
			word += "=" + string(d.Data)
		}
		s.words = append(s.words, word)
		s.drafts = append(s.drafts, d)
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *fakeSink) Publish(drafts []hub.Draft) { s.note("+", drafts...) }
func (s *fakeSink) Observe(drafts []hub.Draft) { s.note("=", drafts...) }
func (s *fakeSink) Gone(channel string)        { s.note("-", hub.Draft{Channel: channel}) }
func (s *fakeSink) MaxEvent() int              { return s.max }

// take returns and forgets what was told.
func (s *fakeSink) take() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	words := s.words
	s.words, s.drafts, s.batches = nil, nil, 0
	return words
}

func (s *fakeSink) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := s.take(); !slices.Equal(got, want) {
		t.Fatalf("told %s, want %s", brief(got), brief(want))
	}
}

// wait waits until ok is content with what was told.
func (s *fakeSink) wait(t *testing.T, what string, ok func(words []string) bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for {
		s.mu.Lock()
		good, changed, words := ok(s.words), s.changed, slices.Clone(s.words)
		s.mu.Unlock()
		if good {
			return
		}
		select {
		case <-changed:
		case <-deadline.C:
			t.Fatalf("waited in vain for %s; told %s", what, brief(words))
		}
	}
}

// waitFor waits for one word and forgets all up to it.
func (s *fakeSink) waitFor(t *testing.T, word string) {
	t.Helper()
	s.wait(t, word, func(words []string) bool { return slices.Contains(words, word) })
	s.mu.Lock()
	defer s.mu.Unlock()
	n := slices.Index(s.words, word) + 1
	s.words, s.drafts = s.words[n:], s.drafts[n:]
}

func brief(words []string) string {
	if len(words) > 20 {
		return fmt.Sprintf("%q … %q (%d)", words[:10], words[len(words)-10:], len(words))
	}
	return fmt.Sprintf("%q", words)
}

// logs is what a logger was told.
type logs struct{ *observer.ObservedLogs }

func newLogs() (*zap.Logger, *logs) {
	core, observed := observer.New(zapcore.InfoLevel)
	return zap.New(core), &logs{observed}
}

// count is how many entries have the text in their message or fields.
func (l *logs) count(text string) int {
	n := 0
	for _, e := range l.All() {
		if strings.Contains(e.Message+fmt.Sprint(e.ContextMap()), text) {
			n++
		}
	}
	return n
}

func (l *logs) expect(t *testing.T, n int, text string) {
	t.Helper()
	if got := l.count(text); got != n {
		t.Fatalf("%d log entries say %q, want %d: %v", got, text, n, l.All())
	}
}
