package hold

import (
	"errors"
	"time"

	"github.com/gobwas/ws"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// Talk is a stream's answer to a client that talks back, on a WebSocket (RFC 6455).
// What it writes goes as text messages, each line as one.
type Talk interface {
	Answer
	// Hear reads a message of the client's: the channels that it wants to leave, and
	// then those to join, from where on. The error is told the client, whose connection
	// ends with it.
	Hear(message []byte) (leave, join []string, since hub.Since, err error)
	// Joined answers that channels are followed; Left that they are no more; Denied that
	// they may not be.
	Joined(hub.Joined) []byte
	Left(channels []string, at hub.Cursor) []byte
	Denied(channels []string, reason string) []byte
}

// Admit says which channels a client may follow beside those that it was let in with.
// Where that is not known yet it returns ask, which may take its time and is called
// elsewhere.
type Admit func(channels []string) (known Admission, ask func() Admission)

// Admission is what became of a wish to follow channels.
type Admission struct {
	Allowed, Denied []string
	// Expires is until when, as in [hub.Who].
	Expires time.Time
	// Reason is why the others were denied, in a sentence.
	Reason string
}

// talk is a stream to a client that talks back.
type talk struct {
	stream
	of   *hub.Hub
	talk framed
	in   inbound
	// void is closed when no more wishes are granted: the configuration by which the
	// client was let in is no longer in force.
	void <-chan struct{}
	// quiet is how often the client was asked for a sign of life since it gave one.
	quiet int
	// reply is what to say next, of which ahead is a part.
	reply []byte
	ahead *hub.Delivery
	pong  []byte
	// admit is nil where every channel may be followed.
	admit Admit
	// aside has a question asked elsewhere, and the client not listened to until then
	// is called, as a step of the course.
	aside func(ask func(), then func())
	// wishes are not granted yet, the first of them because it is asked about. answered
	// is when the answer is there.
	wishes   []wish
	answered *Admission
}

// wish is what a client wants to be changed.
type wish struct {
	leave, join []string
	since       hub.Since
}

// maxQuiet is how many signs of life a client may leave out.
const maxQuiet = 2

// hub is there for who was refused, too, and has no subscription.
func (t *talk) hub() *hub.Hub { return t.of }

// refuse says that, and nothing else.
func (t *talk) refuse(b []byte) {
	t.report.Outcome = Denied
	t.send(nil, b, true)
}

func (t *talk) due() {
	if !t.writing && t.quiet > maxQuiet {
		t.report.Abort = true
		t.finish(ClientGone)
		return
	}
	t.quiet++
	t.stream.due()
}

func (t *talk) news() {
	if !t.writing && t.answered != nil {
		a := *t.answered
		t.answered = nil
		t.say(t.decided(a))
		return
	}
	t.stream.news()
}

// heard takes what the client says. Nothing is being written.
func (t *talk) heard(b []byte) {
	t.quiet = 0
	t.say(t.in.hear(b, t.message, t.control))
}

// say says what there is to say; the error may be a [*closing].
func (t *talk) say(err error) {
	reply := t.reply
	if t.pong != nil { // to the last of several pings (RFC 6455 section 5.5.3)
		reply = appendFrame(reply, ws.NewPongFrame(t.pong))
	}
	d := t.ahead
	t.reply, t.ahead, t.pong = nil, nil, nil
	var end *closing
	switch {
	case errors.As(err, &end):
		t.report.Outcome = end.outcome
		t.leave()
		t.send(d, appendClose(reply, end.code, end.reason), true)
	case len(reply) > 0:
		t.send(d, reply, false)
	case len(t.wishes) > 0:
		t.stream.news() // events go on meanwhile
	}
}

// message notes what the client wishes.
func (t *talk) message(b []byte) error {
	leave, join, since, err := t.talk.Hear(b)
	if err != nil {
		return &closing{ws.StatusPolicyViolation, err.Error(), BadMessage}
	}
	t.wishes = append(t.wishes, wish{leave, join, since})
	if len(t.wishes) > 1 {
		return nil // after those before
	}
	return t.grant()
}

// decided goes on with the wishes, the first of which was asked about.
func (t *talk) decided(a Admission) error {
	w := t.wishes[0]
	t.wishes = t.wishes[1:]
	t.settleAhead()
	if err := t.join(w, a); err != nil {
		return err
	}
	return t.grant()
}

// grant does what the client wishes, up to what must be asked about.
func (t *talk) grant() error {
	for len(t.wishes) > 0 {
		w := t.wishes[0]
		t.settleAhead()
		if err := t.leaveThose(w.leave); err != nil {
			return err
		}
		known := Admission{Allowed: w.join}
		if t.admit != nil && len(w.join) > 0 {
			var ask func() Admission
			if known, ask = t.admit(w.join); ask != nil {
				var a Admission
				t.aside(func() { a = ask() }, func() {
					t.answered = &a
					t.line.ring()
				})
				return nil
			}
		}
		t.wishes = t.wishes[1:]
		if err := t.join(w, known); err != nil {
			return err
		}
	}
	t.wishes = nil
	return nil
}

// settleAhead has what is of the channels as they were go ahead of the answer.
func (t *talk) settleAhead() {
	if d, _ := t.rest(); d != nil {
		t.reply = append(t.reply, t.encoded(d)...)
		t.ahead = d
	}
}

func (t *talk) leaveThose(channels []string) error {
	if len(channels) == 0 || t.isVoid() {
		return nil
	}
	if err := t.sub.Leave(channels); err != nil {
		return t.refused(err)
	}
	_, at := t.sub.Rest()
	t.reply = t.talk.messages(t.reply, t.talk.Left(channels, at))
	return nil
}

// join follows what is allowed.
func (t *talk) join(w wish, a Admission) error {
	if len(w.join) == 0 || t.isVoid() {
		return nil
	}
	if len(a.Allowed) > 0 {
		j, err := t.sub.Join(a.Allowed, w.since)
		if err != nil {
			return t.refused(err)
		}
		t.limit(&hub.Who{Expires: a.Expires})
		t.reply = t.talk.messages(t.reply, t.talk.Joined(j))
	}
	if len(a.Denied) > 0 {
		t.reply = t.talk.messages(t.reply, t.talk.Denied(a.Denied, a.Reason))
	}
	return nil
}

// isVoid reports whether no more wishes are granted; then the client is to come back.
func (t *talk) isVoid() bool {
	select {
	case <-t.void:
		t.goAway(Retired)
		return true
	default:
		return false
	}
}

// refused is what comes of a change that the hub does not make.
func (t *talk) refused(err error) error {
	switch {
	case errors.Is(err, hub.ErrClosed):
		t.goAway(Retired)
		return nil
	case errors.Is(err, hub.ErrKicked):
		t.goAway(Kicked)
		return nil
	case errors.Is(err, hub.ErrTooManyChannels), errors.Is(err, hub.ErrTooManyHolds):
		t.report.Full = fullOf(err)
		return &closing{tryLater, err.Error(), Denied}
	}
	return &closing{ws.StatusPolicyViolation, err.Error(), Denied}
}

// goAway ends the course at once, for the client to begin another.
func (t *talk) goAway(why Outcome) {
	if t.end == 0 {
		t.report.Outcome = why
	}
	t.end = park.Now() // it may have been about to end, later
}

// control answers a control frame.
func (t *talk) control(code ws.OpCode, payload []byte) error {
	switch code {
	case ws.OpPing:
		t.pong = payload
	case ws.OpClose:
		return answerTo(payload)
	}
	return nil
}

// answerTo answers a client's goodbye with what it said.
func answerTo(payload []byte) *closing {
	code, reason := ws.ParseCloseFrameData(payload)
	if len(payload) == 0 {
		return &closing{ws.StatusNormalClosure, "", ClientGone}
	}
	if err := ws.CheckCloseFrameData(code, reason); err != nil {
		return &closing{ws.StatusProtocolError, err.Error(), BadMessage}
	}
	return &closing{code, "", ClientGone}
}
