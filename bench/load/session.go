//go:build linux

package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// session is a connection of HTTP/2, which the visitors of one browser share. Each
// asks as it would by HTTP/1.1 and is given answers in the same form.
type session struct {
	visitors []*conn
	framer   *http2.Framer
	in, out  bytes.Buffer
	block    bytes.Buffer
	encoder  *hpack.Encoder
	next     uint32 // stream
	open     map[uint32]*exchange
}

// exchange is one request and what has come of its answer.
type exchange struct {
	visitor *conn
	answer
}

// window is what a browser's is about: more than the answers of a whole run.
const window = 12 << 20

// newSession begins a connection: the preface waits to be written.
func newSession() *session {
	s := &session{next: 1, open: make(map[uint32]*exchange)}
	s.framer = http2.NewFramer(&s.out, &s.in)
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	s.encoder = hpack.NewEncoder(&s.block)
	s.out.WriteString(http2.ClientPreface)
	// Writing to a buffer does not fail.
	_ = s.framer.WriteSettings(
		http2.Setting{ID: http2.SettingEnablePush, Val: 0}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: window})
	_ = s.framer.WriteWindowUpdate(0, window)
	return s
}

// ask adds a visitor's request, written as for HTTP/1.1, to what waits to be written.
func (s *session) ask(c *conn, request []byte) {
	line, fields, _ := strings.Cut(string(request), "\r\n")
	method, rest, _ := strings.Cut(line, " ")
	path, _, _ := strings.Cut(rest, " ")
	var host string
	var headers []hpack.HeaderField
	for field := range strings.SplitSeq(strings.TrimSpace(fields), "\r\n") {
		name, value, _ := strings.Cut(field, ": ")
		if name == "Host" {
			host = value
			continue
		}
		headers = append(headers, hpack.HeaderField{Name: strings.ToLower(name), Value: value})
	}
	s.block.Reset()
	for _, f := range append([]hpack.HeaderField{
		{Name: ":method", Value: method}, {Name: ":scheme", Value: "https"},
		{Name: ":authority", Value: host}, {Name: ":path", Value: path},
	}, headers...) {
		_ = s.encoder.WriteField(f)
	}
	s.open[s.next] = &exchange{visitor: c}
	_ = s.framer.WriteHeaders(http2.HeadersFrameParam{
		StreamID: s.next, BlockFragment: s.block.Bytes(), EndStream: true, EndHeaders: true,
	})
	s.next += 2
}

// written returns what waits to be written, once.
func (s *session) written() []byte {
	b := bytes.Clone(s.out.Bytes())
	s.out.Reset()
	return b
}

// frameHeader is the length of what each frame begins with, by its own length.
const frameHeader = 9

// take reads what has come and gives each whole answer to got.
func (s *session) take(data []byte, got func(*conn, answer)) error {
	s.in.Write(data)
	for s.in.Len() >= frameHeader {
		b := s.in.Bytes()
		if length := int(binary.BigEndian.Uint32(b) >> 8); len(b) < frameHeader+length {
			break
		}
		f, err := s.framer.ReadFrame()
		if err != nil {
			return err
		}
		if err := s.frame(f, got); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) frame(f http2.Frame, got func(*conn, answer)) error {
	e := s.open[f.Header().StreamID]
	ends := false
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			_ = s.framer.WriteSettingsAck()
		}
	case *http2.PingFrame:
		if !f.IsAck() {
			_ = s.framer.WritePing(true, f.Data)
		}
	case *http2.MetaHeadersFrame:
		if e != nil {
			e.head = head(f)
		}
		ends = f.StreamEnded()
	case *http2.DataFrame:
		if e != nil {
			e.body = append(e.body, f.Data()...)
		}
		ends = f.StreamEnded()
	case *http2.RSTStreamFrame, *http2.GoAwayFrame:
		return fmt.Errorf("the server sends %v", f)
	}
	if ends && e != nil {
		delete(s.open, f.Header().StreamID)
		got(e.visitor, e.answer)
	}
	return nil
}

// head is an answer's head as HTTP/1.1 has it.
func head(f *http2.MetaHeadersFrame) []byte {
	b := fmt.Appendf(nil, "HTTP/1.1 %s\r\n", f.PseudoValue("status"))
	for _, field := range f.RegularFields() {
		b = fmt.Appendf(b, "%s: %s\r\n", http.CanonicalHeaderKey(field.Name), field.Value)
	}
	return b
}
