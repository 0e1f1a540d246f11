package hold

import (
	"errors"

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
	// Joined answers that channels are followed; Left that they are no more.
	Joined(hub.Joined) []byte
	Left(channels []string, at hub.Cursor) []byte
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

// heard takes what the client says. Nothing is being written.
func (t *talk) heard(b []byte) {
	t.quiet = 0
	err := t.in.hear(b, t.message, t.control)
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
	}
}

// message does what the client wishes.
func (t *talk) message(b []byte) error {
	leave, join, since, err := t.talk.Hear(b)
	if err != nil {
		return &closing{ws.StatusPolicyViolation, err.Error(), BadMessage}
	}
	select {
	case <-t.void:
		t.comeBack()
		return nil
	default:
	}
	if d, _ := t.rest(); d != nil {
		// It is of the channels as they were, so it goes ahead of the answer.
		t.reply = append(t.reply, t.encoded(d)...)
		t.ahead = d
	}
	if len(leave) > 0 {
		if err = t.sub.Leave(leave); err == nil {
			_, at := t.sub.Rest()
			t.reply = t.talk.messages(t.reply, t.talk.Left(leave, at))
		}
	}
	if len(join) > 0 && err == nil {
		var j hub.Joined
		if j, err = t.sub.Join(join, since); err == nil {
			t.reply = t.talk.messages(t.reply, t.talk.Joined(j))
		}
	}
	switch {
	case errors.Is(err, hub.ErrClosed):
		t.comeBack()
	case errors.Is(err, hub.ErrTooManyChannels):
		return &closing{tryLater, err.Error(), Denied}
	case err != nil:
		return &closing{ws.StatusPolicyViolation, err.Error(), Denied}
	}
	return nil
}

// comeBack ends the course soon, for the client to begin another.
func (t *talk) comeBack() {
	if t.end == 0 {
		t.report.Outcome = Retired
		t.end = park.Now()
	}
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
