package faults

import (
	"bufio"
	"errors"
	"io"
	"net/http"

	"github.com/gobwas/ws"
)

// websocket is a WebSocket, each of whose messages is as a line of XHR streaming.
type websocket struct{}

func (websocket) ask(f *Follower) *http.Request {
	r := f.request("?since=" + f.at)
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")
	return r
}

func (websocket) hear(f *Follower, res *http.Response) error {
	body, can := res.Body.(io.Writer)
	if res.StatusCode != http.StatusSwitchingProtocols || !can {
		f.complain("the handshake is answered with %d", res.StatusCode)
		return nil
	}
	from := bufio.NewReader(res.Body)
	last := false
	for !f.done() {
		h, err := ws.ReadHeader(from)
		if err == nil {
			err = ws.CheckHeader(h, ws.StateClientSide)
		}
		var payload []byte
		if err == nil {
			payload = make([]byte, h.Length)
			_, err = io.ReadFull(from, payload)
		}
		var wrong ws.ProtocolError
		switch {
		case errors.As(err, &wrong):
			f.complain("a frame: %v", err)
			return nil
		case err != nil:
			return err
		case h.OpCode == ws.OpPing:
			_, _ = body.Write(ws.MustCompileFrame(ws.MaskFrame(ws.NewPongFrame(payload))))
		case h.OpCode == ws.OpText:
			last = f.line(payload)
		case h.OpCode == ws.OpClose:
			switch code, reason := ws.ParseCloseFrameData(payload); {
			case code == 1013, last && code == ws.StatusGoingAway:
				return nil
			default:
				f.complain("closed with %d %s, the last message: %v", code, reason, last)
				return nil
			}
		}
	}
	return nil
}
