package faults

import (
	"strings"
	"testing"
)

// book is a ledger of one channel's five events, and a follower that got them all.
func book() (*Ledger, *Record) {
	l := NewLedger()
	l.Epoch("e.0")
	r := &Record{Name: "f", Channels: []string{"a"}, Start: "e.0"}
	for n, cursor := range []string{"e.1", "e.2", "e.3", "e.4", "e.5"} {
		token := Token("a", "p", n)
		l.Try(token)
		l.Told(token, cursor)
		r.Events = append(r.Events, Heard{cursor, "a", token})
	}
	return l, r
}

func TestTheLedgerSeesWhatIsWrong(t *testing.T) {
	for _, c := range []struct {
		name string
		law  Law
		make func(l *Ledger, r *Record)
		want string // "" for nothing
	}{
		{"nothing", Law{}, func(*Ledger, *Record) {}, ""},
		{"lost", Law{}, func(_ *Ledger, r *Record) { r.Events = append(r.Events[:2:2], r.Events[3:]...) }, "never got a/p/2"},
		{"the first lost", Law{}, func(_ *Ledger, r *Record) { r.Events = r.Events[1:] }, "never got a/p/0"},
		{"doubled", Law{}, func(_ *Ledger, r *Record) { r.Events = append(r.Events, r.Events[4]) }, "twice"},
		{"in another order", Law{}, func(_ *Ledger, r *Record) { r.Events[1], r.Events[2] = r.Events[2], r.Events[1] }, "behind"},
		{"another's", Law{}, func(l *Ledger, r *Record) {
			l.Try("b/p/0")
			r.Events = append(r.Events, Heard{"e.6", "b", "b/p/0"})
		}, "did not ask"},
		{"on the wrong channel", Law{}, func(_ *Ledger, r *Record) { r.Events[1].Channel = "b" }, "on channel b"},
		{"never published", Law{}, func(_ *Ledger, r *Record) { r.Events = append(r.Events, Heard{"e.6", "a", "a/p/9"}) }, "nobody published"},
		{"elsewhere than its publisher was told", Law{}, func(_ *Ledger, r *Record) { r.Events[4].Cursor = "e.7" }, "happened twice"},
		{"two at one place", Law{}, func(l *Ledger, r *Record) {
			l.Try("a/q/0")
			l.Told("a/q/0", "e.5")
		}, "are both at e.5"},
		{"a gap where there may be none", Law{}, func(_ *Ledger, r *Record) {
			r.Events, r.Gaps = r.Events[1:], []Hole{{"e.0", "e.1"}}
		}, "there may be none"},
		{"a gap that history allows", Law{History: 4}, func(_ *Ledger, r *Record) {
			r.Events, r.Gaps = r.Events[1:], []Hole{{"e.0", "e.1"}}
		}, ""},
		{"a gap over what is kept", Law{History: 4}, func(_ *Ledger, r *Record) {
			r.Events, r.Gaps = r.Events[2:], []Hole{{"e.0", "e.2"}}
		}, "never got a/p/1"},
		{"a gap, and more is missing", Law{History: 1}, func(_ *Ledger, r *Record) {
			r.Events, r.Gaps = r.Events[3:], []Hole{{"e.0", "e.2"}}
		}, "never got a/p/2"},
		{"a new server", Law{Restarts: true}, func(l *Ledger, r *Record) {
			l.Epoch("d.0")
			l.Try("a/p/5")
			l.Told("a/p/5", "d.1")
			r.Events = append(r.Events[:3:3], Heard{"d.1", "a", "a/p/5"})
			r.Gaps = []Hole{{"e.3", "d.0"}}
		}, ""},
		{"a new server, and no word of it", Law{Restarts: true}, func(l *Ledger, r *Record) {
			l.Epoch("d.0")
			l.Try("a/p/5")
			l.Told("a/p/5", "d.1")
			r.Events = append(r.Events[:3:3], Heard{"d.1", "a", "a/p/5"})
		}, "never got a/p/3"},
		{"what its publisher gave up, and did not happen", Law{}, func(l *Ledger, r *Record) { l.Try("a/q/0") }, ""},
		{"what its publisher gave up, and did happen", Law{}, func(l *Ledger, r *Record) {
			l.Try("a/q/0")
			r.Events = append(r.Events, Heard{"e.6", "a", "a/q/0"})
		}, ""},
		{"a written line that nobody got", Law{}, func(l *Ledger, r *Record) {
			l.Try("a/file/0")
			l.Told("a/file/0", "")
		}, "never got a/file/0"},
		{"a publisher's own order", Law{}, func(l *Ledger, r *Record) {
			for _, token := range []string{"a/file/0", "a/file/1"} {
				l.Try(token)
				l.Told(token, "")
			}
			r.Events = append(r.Events, Heard{"e.6", "a", "a/file/1"}, Heard{"e.7", "a", "a/file/0"})
		}, "publisher a/file"},
		{"a complaint", Law{}, func(_ *Ledger, r *Record) { r.Complaints = []string{"no JSON"} }, "no JSON"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, r := book()
			c.make(l, r)
			switch got := strings.Join(l.Judge(c.law, []*Record{r}), "\n"); {
			case c.want == "" && got != "":
				t.Errorf("was judged wrong: %s", got)
			case !strings.Contains(got, c.want):
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// What one follower has seen happen, the others must have too.
func TestWhatOneFollowerGotTheOthersMustHave(t *testing.T) {
	l, r := book()
	l.Try("a/q/0")
	other := *r
	other.Name = "other"
	other.Start = "e.0"
	last := Heard{"e.7", "a", "a/p/5"}
	l.Try("a/p/5")
	l.Told("a/p/5", "e.7")
	r.Events = append(r.Events, Heard{"e.6", "a", "a/q/0"}, last)
	other.Events = append(other.Events[:5:5], last)
	if got := strings.Join(l.Judge(Law{}, []*Record{r, &other}), "\n"); !strings.Contains(got, "other: never got a/q/0") || strings.Contains(got, "f: ") {
		t.Errorf("got %q", got)
	}
}
