package samples

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"go.uber.org/zap/zapcore"
)

// Problem is a line of the log that warns, or some of them that say the same.
type Problem struct {
	Time    time.Time `json:"time"`
	Level   string    `json:"level"`
	Message string    `json:"message"`
	// Hub is the one that it is about, empty where it is about none.
	Hub string `json:"hub,omitempty"`
	// Detail are the line's other fields.
	Detail string `json:"detail,omitempty"`
	// Count is how often it was said.
	Count int `json:"count"`
}

const (
	// maxProblems is how many are kept for each hub at most, and altogether eight
	// times as many, so that one tenant's do not push out all others'.
	maxProblems = 20
	// maxDetail bounds a message and its fields, in bytes.
	maxDetail = 400
)

// Problems keeps the last lines that warn. It is a [zapcore.Core], to stand beside that
// of a log. The zero value is ready to use.
type Problems struct {
	mu  sync.Mutex
	all []Problem // the newest last
}

// Of are those of a hub, or all for "", the newest first.
func (p *Problems) Of(hub string) []Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := make([]Problem, 0, maxProblems)
	for _, problem := range slices.Backward(p.all) {
		if (hub == "" || problem.Hub == hub) && len(found) < maxProblems {
			found = append(found, problem)
		}
	}
	return found
}

func (p *Problems) add(n Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	n.Count = 1
	same := func(o Problem) bool { return o.Hub == n.Hub && o.Message == n.Message && o.Level == n.Level }
	if i := slices.IndexFunc(p.all, same); i >= 0 {
		n.Count = p.all[i].Count + 1
		p.all = slices.Delete(p.all, i, i+1)
	}
	p.all = append(p.all, n)
	of, oldest := 0, -1
	for i, o := range p.all {
		if o.Hub == n.Hub {
			of++
			if oldest < 0 {
				oldest = i
			}
		}
	}
	switch {
	case of > maxProblems:
		p.all = slices.Delete(p.all, oldest, oldest+1)
	case len(p.all) > 8*maxProblems:
		p.all = slices.Delete(p.all, 0, 1)
	}
}

// Enabled, With, Check, Write and Sync implement [zapcore.Core].
func (p *Problems) Enabled(l zapcore.Level) bool                   { return l >= zapcore.WarnLevel }
func (p *Problems) With(fields []zapcore.Field) zapcore.Core       { return problemsWith{p, fields} }
func (p *Problems) Write(e zapcore.Entry, f []zapcore.Field) error { return p.write(e, f) }
func (p *Problems) Sync() error                                    { return nil }

func (p *Problems) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if p.Enabled(e.Level) {
		return c.AddCore(e, p)
	}
	return c
}

// problemsWith has the fields that a logger gives to each line.
type problemsWith struct {
	*Problems
	fields []zapcore.Field
}

func (p problemsWith) With(fields []zapcore.Field) zapcore.Core {
	return problemsWith{p.Problems, slices.Concat(p.fields, fields)}
}

func (p problemsWith) Check(e zapcore.Entry, c *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	if p.Enabled(e.Level) {
		return c.AddCore(e, p)
	}
	return c
}

func (p problemsWith) Write(e zapcore.Entry, fields []zapcore.Field) error {
	return p.write(e, slices.Concat(p.fields, fields))
}

func (p *Problems) write(e zapcore.Entry, fields []zapcore.Field) error {
	o := zapcore.NewMapObjectEncoder()
	for _, f := range fields {
		if f.Key != "stack" {
			f.AddTo(o)
		}
	}
	n := Problem{Time: e.Time, Level: e.Level.String(), Message: shortened(e.Message)}
	// What is about event variables is about their hub.
	name, _ := o.Fields["hub"].(string)
	n.Hub, _, _ = strings.Cut(name, "/")
	delete(o.Fields, "hub")
	var detail []string
	for _, key := range slices.Sorted(maps.Keys(o.Fields)) {
		detail = append(detail, fmt.Sprintf("%s: %v", key, o.Fields[key]))
	}
	n.Detail = shortened(strings.Join(detail, ", "))
	p.add(n)
	return nil
}

// shortened bounds a text, at the end of a letter.
func shortened(s string) string {
	if len(s) <= maxDetail {
		return s
	}
	cut := maxDetail
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
