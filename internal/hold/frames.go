package hold

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// framed writes a [Talk]'s lines as messages on a WebSocket: text frames, which are
// the same for all who get the same.
type framed struct {
	Talk
	// deflate: messages are compressed (RFC 7692), without a memory of those before,
	// so that they are the same still.
	deflate bool
	class   string
}

func frame(t Talk, deflate bool) framed {
	class := t.Class() + " frames"
	if deflate {
		class += " deflate"
	}
	return framed{t, deflate, class}
}

func (f framed) Class() string                 { return f.class }
func (f framed) Events(d *hub.Delivery) []byte { return f.messages(nil, f.Talk.Events(d)) }
func (f framed) Open(at hub.Cursor) []byte     { return f.messages(nil, f.Talk.Open(at)) }

// Idle has the client's end say that it is there, too.
func (f framed) Idle(at hub.Cursor) []byte {
	return appendFrame(f.messages(nil, f.Talk.Idle(at)), ws.NewPingFrame(nil))
}

func (f framed) Bye(at hub.Cursor, retry time.Duration) []byte {
	return appendClose(f.messages(nil, f.Talk.Bye(at, retry)), ws.StatusGoingAway, "come back")
}

// messages appends lines as a message each.
func (f framed) messages(b, lines []byte) []byte {
	for line := range bytes.Lines(lines) {
		frame := ws.NewTextFrame(bytes.TrimSuffix(line, []byte{'\n'}))
		if f.deflate && len(line) >= worthDeflate {
			if small, err := wsflate.CompressFrame(frame); err == nil {
				frame = small
			}
		}
		b = appendFrame(b, frame)
	}
	return b
}

// worthDeflate is how long a message must be to become smaller.
const worthDeflate = 128

func appendFrame(b []byte, f ws.Frame) []byte {
	to := bytes.NewBuffer(b)
	_ = ws.WriteFrame(to, f) // a buffer takes everything
	return to.Bytes()
}

// maxReason is how long the reason of a close may be (RFC 6455 section 5.5).
const maxReason = 123

// appendClose appends a close frame. Some codes must not be sent.
func appendClose(b []byte, code ws.StatusCode, reason string) []byte {
	if len(reason) > maxReason {
		reason = reason[:maxReason]
		for !utf8.ValidString(reason) {
			reason = reason[:len(reason)-1]
		}
	}
	return appendFrame(b, ws.NewCloseFrame(ws.NewCloseFrameBody(code, reason)))
}

// closing is why a WebSocket is closed (RFC 6455 section 7.4).
type closing struct {
	code    ws.StatusCode
	reason  string
	outcome Outcome
}

// tryLater says that there is no room for now (IANA's registry of close codes).
const tryLater ws.StatusCode = 1013

func (c *closing) Error() string { return fmt.Sprintf("%d %s", c.code, c.reason) }

// maxMessage is how long a client's message may be: it names channels.
const maxMessage = 64 << 10

// inbound reads the frames of a client (RFC 6455 section 5), as they come.
type inbound struct {
	// deflate: messages may be compressed.
	deflate bool
	// rest is the beginning of a frame.
	rest []byte
	// budget is when as many frames would be fair as there were.
	budget park.Moment
	// message is the beginning of a message in fragments. begun: there is one, which
	// is compressed or not.
	message           []byte
	begun, compressed bool
}

// hear takes what the client has sent. Each message goes to text, and each control
// frame to control. The error is theirs, or a [*closing].
func (in *inbound) hear(b []byte, text func([]byte) error, control func(ws.OpCode, []byte) error) error {
	if len(in.rest) > 0 {
		b = append(in.rest, b...)
		in.rest = nil
	}
	for len(b) > 0 {
		from := bytes.NewReader(b)
		h, err := ws.ReadHeader(from)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			in.rest = bytes.Clone(b)
			return nil
		case err != nil:
			return &closing{ws.StatusProtocolError, err.Error(), BadMessage}
		}
		if err := in.check(h); err != nil {
			return err
		}
		if int64(from.Len()) < h.Length {
			in.rest = bytes.Clone(b)
			return nil
		}
		if in.floods() {
			return &closing{ws.StatusPolicyViolation, "too many messages in a short time", BadMessage}
		}
		end := len(b) - from.Len() + int(h.Length)
		payload := bytes.Clone(b[len(b)-from.Len() : end])
		b = b[end:]
		ws.Cipher(payload, h.Mask, 0)
		if h.OpCode.IsControl() {
			err = control(h.OpCode, payload)
		} else {
			err = in.piece(h, payload, text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// check looks at a frame before it is there.
func (in *inbound) check(h ws.Header) error {
	state := ws.StateServerSide
	if in.begun {
		state |= ws.StateFragmented
	}
	if in.deflate {
		state |= ws.StateExtended
	}
	switch err := ws.CheckHeader(h, state); {
	case err != nil:
		return &closing{ws.StatusProtocolError, err.Error(), BadMessage}
	case h.Rsv2() || h.Rsv3() || h.Rsv1() && (h.OpCode.IsControl() || h.OpCode == ws.OpContinuation):
		return &closing{ws.StatusProtocolError, ws.ErrProtocolNonZeroRsv.Error(), BadMessage}
	case h.OpCode == ws.OpBinary:
		return &closing{ws.StatusUnsupportedData, "a message is text, a JSON object", BadMessage}
	case h.Length < 0 || h.Length > maxMessage-int64(len(in.message)):
		return tooLong
	}
	return nil
}

// A client may send so many frames at once, and one more for each fair time after.
const (
	fairFrames = 200
	fairTime   = 50 * time.Millisecond
)

// floods counts a frame.
func (in *inbound) floods() bool {
	now := park.Now()
	if in.budget == 0 || in.budget < now {
		in.budget = now
	}
	in.budget += park.Moment(fairTime)
	return in.budget > now+park.Moment(fairFrames*fairTime)
}

var tooLong = &closing{ws.StatusMessageTooBig, fmt.Sprintf("a message has %d bytes at most", maxMessage), BadMessage}

// piece takes a part of a message.
func (in *inbound) piece(h ws.Header, payload []byte, text func([]byte) error) error {
	if h.OpCode != ws.OpContinuation {
		in.compressed = h.Rsv1()
	}
	if in.begun || !h.Fin {
		in.message = append(in.message, payload...)
		payload = in.message
	}
	in.begun = !h.Fin
	if in.begun {
		return nil
	}
	in.message = nil
	if in.compressed {
		var err error
		if payload, err = inflate(payload); err != nil {
			return err
		}
	}
	if !utf8.Valid(payload) {
		return &closing{ws.StatusInvalidFramePayloadData, "a message is UTF-8", BadMessage}
	}
	return text(payload)
}

// inflate takes the compression off a message.
func inflate(b []byte) ([]byte, error) {
	var whole bounded
	switch err := wsflate.DefaultHelper.DecompressTo(&whole, b); {
	case errors.Is(err, tooLong):
		return nil, tooLong
	case err != nil:
		return nil, &closing{ws.StatusInvalidFramePayloadData, "a compressed message cannot be read", BadMessage}
	}
	return whole.b, nil
}

// bounded takes a message.
type bounded struct{ b []byte }

func (w *bounded) Write(b []byte) (int, error) {
	if len(w.b)+len(b) > maxMessage {
		return 0, tooLong
	}
	w.b = append(w.b, b...)
	return len(b), nil
}
