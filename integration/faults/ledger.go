package faults

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Ledger is what publishers know of their events. An event is known by its token,
// which begins with its channel and ends with its publisher's count.
type Ledger struct {
	mu     sync.Mutex
	events map[string]*entry
	// order is in which each publisher published, by the token without its count.
	order map[string][]string
	// epochs are those that there were, in order.
	epochs []string
	// heard counts which follower's words had a token.
	heard map[string]int
}

// entry is an event as its publisher knows it.
type entry struct {
	channel string
	// certain: the publisher was told that it happened. Where it was not, it may
	// have happened or not.
	certain bool
	// cursors are those that the publisher was told, mostly one.
	cursors []string
}

// NewLedger returns an empty one.
func NewLedger() *Ledger {
	return &Ledger{events: make(map[string]*entry), order: make(map[string][]string), heard: make(map[string]int)}
}

// Token names a publisher's n-th event.
func Token(channel, publisher string, n int) string {
	return channel + "/" + publisher + "/" + strconv.Itoa(n)
}

func publisherOf(token string) string { return token[:strings.LastIndexByte(token, '/')] }
func channelOf(token string) string   { return token[:strings.IndexByte(token, '/')] }

// Epoch says that cursors of another epoch are later than all before.
func (l *Ledger) Epoch(cursor string) {
	epoch, _, _ := strings.Cut(cursor, ".")
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.epochs, epoch) {
		l.epochs = append(l.epochs, epoch)
	}
}

// Try says that an event is about to be published.
func (l *Ledger) Try(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.events[token] == nil {
		l.events[token] = &entry{channel: channelOf(token)}
		l.order[publisherOf(token)] = append(l.order[publisherOf(token)], token)
	}
}

// Told says that it happened, and where, "" where the publisher cannot know.
func (l *Ledger) Told(token, cursor string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.events[token]
	e.certain = true
	if cursor != "" && !slices.Contains(e.cursors, cursor) {
		e.cursors = append(e.cursors, cursor)
	}
}

// Heard is how many followers have a token.
func (l *Ledger) Heard(token string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.heard[token]
}

func (l *Ledger) hear(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.heard[token]++
}

// Certain is how many events are known to have happened.
func (l *Ledger) Certain() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range l.events {
		if e.certain {
			n++
		}
	}
	return n
}

// Record is what one follower got.
type Record struct {
	Name     string
	Channels []string
	// Start is the cursor with which it began.
	Start  string
	Events []Heard
	Gaps   []Hole
	// Complaints are what no server should say.
	Complaints []string
	// Answers were complete, Cut ended before their time.
	Answers, Cut int
}

// Heard is an event as a follower got it.
type Heard struct{ Cursor, Channel, Token string }

// Hole is a told gap: what is behind From, up to To.
type Hole struct{ From, To string }

// Law is what a round promises.
type Law struct {
	// History is how many events each channel keeps at least, so that a gap may
	// leave out only what so many followed. 0: there may be no gap.
	History int
	// Restarts: the server began anew, without its history.
	Restarts bool
}

// place is a cursor's place in time.
type place struct {
	epoch int
	seq   uint64
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.epoch, q.epoch), cmp.Compare(p.seq, q.seq))
}

func (l *Ledger) place(cursor string) (place, error) {
	epoch, seq, ok := strings.Cut(cursor, ".")
	n, err := strconv.ParseUint(seq, 10, 64)
	i := slices.Index(l.epochs, epoch)
	if !ok || err != nil || i < 0 {
		return place{}, fmt.Errorf("%q is no cursor of this server", cursor)
	}
	return place{i, n}, nil
}

// judgement is the work of [Ledger.Judge].
type judgement struct {
	*Ledger
	law Law
	// where a token happened, and what at a place.
	where    map[string][]place
	what     map[place]string
	channels map[string][]place
	verdicts []string
}

// maxVerdicts is how many are kept: where one thing is wrong, much is.
const maxVerdicts = 40

func (j *judgement) wrong(format string, args ...any) {
	if len(j.verdicts) < maxVerdicts {
		j.verdicts = append(j.verdicts, fmt.Sprintf(format, args...))
	}
}

// Judge says what is wrong with what followers got. All of them must have come to
// the end of their channels.
func (l *Ledger) Judge(law Law, records []*Record) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	j := &judgement{Ledger: l, law: law, where: make(map[string][]place), what: make(map[place]string), channels: make(map[string][]place)}
	for token, e := range l.events {
		for _, c := range e.cursors {
			j.happened("its publisher", token, c)
		}
	}
	for _, r := range records {
		for _, complaint := range r.Complaints {
			j.wrong("%s: %s", r.Name, complaint)
		}
		for _, h := range r.Events {
			if e := l.events[h.Token]; e == nil {
				j.wrong("%s: got %s at %s, which nobody published", r.Name, h.Token, h.Cursor)
			} else {
				j.happened(r.Name, h.Token, h.Cursor)
			}
		}
	}
	for token, places := range j.where {
		channel := l.events[token].channel
		j.channels[channel] = append(j.channels[channel], places...)
	}
	for _, places := range j.channels {
		slices.SortFunc(places, place.compare)
	}
	j.publishers()
	for _, r := range records {
		j.follower(r)
	}
	return j.verdicts
}

// happened notes an event at its place. It has one, and only one has it.
func (j *judgement) happened(who, token, cursor string) {
	p, err := j.place(cursor)
	if err != nil {
		j.wrong("%s: %s: %v", who, token, err)
		return
	}
	if other, ok := j.what[p]; ok && other != token {
		j.wrong("%s: %s and %s are both at %s", who, token, other, cursor)
		return
	}
	j.what[p] = token
	if slices.Contains(j.where[token], p) {
		return
	}
	for _, other := range j.where[token] {
		if other.epoch == p.epoch || !j.law.Restarts {
			j.wrong("%s: %s happened twice, at %v and %v", who, token, other, p)
		}
	}
	j.where[token] = append(j.where[token], p)
}

// publishers checks that what each published one after the other happened so.
func (j *judgement) publishers() {
	for publisher, tokens := range j.order {
		last, lastToken := place{epoch: -1}, ""
		for _, token := range tokens {
			places := j.where[token]
			// What was given up may have happened at any time.
			if len(places) != 1 || !j.events[token].certain {
				continue
			}
			if places[0].compare(last) <= 0 {
				j.wrong("publisher %s: %s is not behind %s", publisher, token, lastToken)
			}
			last, lastToken = places[0], token
		}
	}
}

// follower checks one record against what happened.
func (j *judgement) follower(r *Record) {
	start, err := j.place(r.Start)
	if err != nil {
		j.wrong("%s: began with %v", r.Name, err)
		return
	}
	got := make(map[place]bool, len(r.Events))
	last := start
	for _, h := range r.Events {
		p, err := j.place(h.Cursor)
		if err != nil {
			continue // told above
		}
		channel := channelOf(h.Token)
		switch {
		case got[p]:
			j.wrong("%s: got %s at %s twice", r.Name, h.Token, h.Cursor)
		case p.compare(last) <= 0:
			j.wrong("%s: got %s at %s behind %v", r.Name, h.Token, h.Cursor, last)
		case h.Channel != "" && h.Channel != channel:
			j.wrong("%s: got %s on channel %s", r.Name, h.Token, h.Channel)
		case !slices.Contains(r.Channels, channel):
			j.wrong("%s: got %s, and did not ask for it", r.Name, h.Token)
		}
		got[p] = true
		if p.compare(last) > 0 {
			last = p
		}
	}
	if len(r.Gaps) > 0 && j.law.History == 0 && !j.law.Restarts {
		j.wrong("%s: was told of a gap %v, and there may be none", r.Name, r.Gaps[0])
	}
	for _, channel := range r.Channels {
		all := j.channels[channel]
		for i, p := range all {
			if p.compare(last) > 0 {
				break // it has stopped listening; that it came to the end others check
			}
			if p.compare(start) > 0 && !got[p] && !j.excused(r, p, all[i+1:]) {
				j.wrong("%s: never got %s at %v; its gaps are %v", r.Name, j.what[p], p, r.Gaps)
			}
		}
	}
	// What is certain, and nobody knows where it happened, is lost.
	for token, e := range j.events {
		if e.certain && len(j.where[token]) == 0 && slices.Contains(r.Channels, e.channel) && len(r.Gaps) == 0 {
			j.wrong("%s: never got %s, which happened", r.Name, token)
		}
	}
}

// excused reports whether a gap was told that covers a place, and that may do so:
// because of what came later, or because the server began anew.
func (j *judgement) excused(r *Record, p place, later []place) bool {
	for _, g := range r.Gaps {
		from, err := j.place(g.From)
		to, err2 := j.place(g.To)
		if err != nil || err2 != nil || p.compare(from) <= 0 || p.compare(to) > 0 {
			continue
		}
		if to.epoch > from.epoch || j.law.History > 0 && len(later) >= j.law.History {
			return true
		}
	}
	return false
}
