package caddymodule

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// socket is the client's end of a WebSocket.
type socket struct {
	t    *testing.T
	conn net.Conn
	from io.Reader
	// deflate: messages may be compressed.
	deflate bool
}

// spoken is a message of the server's.
type spoken struct {
	Channel      string          `json:"channel"`
	Type         string          `json:"type"`
	Cursor       string          `json:"cursor"`
	Data         json.RawMessage `json:"data"`
	Gap          bool            `json:"gap"`
	Retry        *int            `json:"retry"`
	Subscribed   []string        `json:"subscribed"`
	Unsubscribed []string        `json:"unsubscribed"`
	Denied       []string        `json:"denied"`
	Error        string          `json:"error"`
}

// dialSocket begins a WebSocket, and returns the error where it may not.
func dialSocket(t *testing.T, url string, header ...string) (*socket, error) {
	t.Helper()
	h := make(http.Header)
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	d := ws.Dialer{Header: ws.HandshakeHeaderHTTP(h), TLSConfig: &tls.Config{InsecureSkipVerify: true}}
	if strings.Contains(url, "deflate") {
		d.Extensions = []httphead.Option{wsflate.DefaultParameters.Option()}
	}
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	conn, early, shake, err := d.Dial(ctx, url)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { conn.Close() })
	s := &socket{t: t, conn: conn, from: conn, deflate: len(shake.Extensions) > 0}
	if early != nil {
		s.from = io.MultiReader(early, conn)
	}
	return s, nil
}

// dialed is one that may.
func dialed(t *testing.T, url string, header ...string) *socket {
	t.Helper()
	s, err := dialSocket(t, url, header...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// says sends a message.
func (s *socket) says(text string) {
	s.t.Helper()
	s.sends(ws.NewTextFrame([]byte(text)))
}

// sends sends frames, masked, in one write.
func (s *socket) sends(frames ...ws.Frame) {
	s.t.Helper()
	var b bytes.Buffer
	for _, f := range frames {
		_ = ws.WriteFrame(&b, ws.MaskFrame(f))
	}
	s.raw(b.Bytes())
}

func (s *socket) raw(b []byte) {
	s.t.Helper()
	_ = s.conn.SetWriteDeadline(time.Now().Add(deadline))
	if _, err := s.conn.Write(b); err != nil {
		s.t.Error(err)
	}
}

// frame is the server's next.
func (s *socket) frame() (ws.Frame, error) {
	_ = s.conn.SetReadDeadline(time.Now().Add(deadline))
	h, err := ws.ReadHeader(s.from)
	if err == nil {
		err = ws.CheckHeader(h, ws.StateClientSide|ws.StateExtended)
	}
	f := ws.Frame{Header: h, Payload: make([]byte, h.Length)}
	if err == nil {
		_, err = io.ReadFull(s.from, f.Payload)
	}
	if err == nil && s.deflate && h.Rsv1() {
		f, err = wsflate.DecompressFrame(f)
	}
	return f, err
}

// hears is the next message; pings are answered ahead of it.
func (s *socket) hears() spoken {
	s.t.Helper()
	for {
		f, err := s.frame()
		if err != nil {
			s.t.Fatal(err)
		}
		switch f.Header.OpCode {
		case ws.OpPing:
			s.sends(ws.NewPongFrame(f.Payload))
			continue
		case ws.OpClose:
			code, reason := ws.ParseCloseFrameData(f.Payload)
			s.t.Fatalf("closed with %d %s", code, reason)
		}
		var m spoken
		if err := json.Unmarshal(f.Payload, &m); err != nil {
			s.t.Fatalf("%q: %v", f.Payload, err)
		}
		return m
	}
}

// position is the first message, where there is nothing to catch up with.
func (s *socket) position() string {
	s.t.Helper()
	m := s.hears()
	if m.Cursor == "" || m.Channel != "" || m.Gap {
		s.t.Fatalf("no position: %+v", m)
	}
	return m.Cursor
}

// event is the next message, an event.
func (s *socket) event(channel, data string) spoken {
	s.t.Helper()
	m := s.hears()
	if m.Channel != channel || string(m.Data) != data || m.Cursor == "" {
		s.t.Fatalf("%+v %s, want %s on %s", m, m.Data, data, channel)
	}
	return m
}

// closes waits for the close, and returns what was spoken before.
func (s *socket) closes(code ws.StatusCode, reason string) (last spoken) {
	s.t.Helper()
	for {
		f, err := s.frame()
		switch {
		case err != nil:
			s.t.Fatalf("not closed with %d: %v", code, err)
		case f.Header.OpCode == ws.OpText:
			_ = json.Unmarshal(f.Payload, &last)
		case f.Header.OpCode == ws.OpClose:
			if got, why := ws.ParseCloseFrameData(f.Payload); got != code || !strings.Contains(why, reason) {
				s.t.Fatalf("closed with %d %q, want %d %q", got, why, code, reason)
			}
			if _, err := s.frame(); !errors.Is(err, io.EOF) {
				s.t.Fatalf("the connection is open after the close: %v", err)
			}
			return last
		}
	}
}

// refused begins a WebSocket that is refused, and returns the answer.
func refused(t *testing.T, url string, header ...string) answer {
	t.Helper()
	return send(plain, "GET", url, "", append([]string{
		"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==",
	}, header...)...)
}
