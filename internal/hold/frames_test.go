package hold

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
	"github.com/gobwas/ws/wsutil"
)

// What is compressed may come in fragments like all else, is read within bounds, and is
// marked at its beginning alone.
func TestCompressedInPieces(t *testing.T) {
	whole := must(wsflate.CompressFrame(ws.NewTextFrame([]byte(strings.Repeat("{}", 99))))).Payload
	piece := func(op ws.OpCode, rsv byte, fin bool, b []byte) ws.Frame {
		f := ws.NewFrame(op, fin, slices.Clone(b)) // to be masked
		f.Header.Rsv = rsv
		return f
	}
	const rsv1, rsv2, rsv3 = 4, 2, 1
	bomb := must(wsflate.CompressFrame(ws.NewTextFrame(make([]byte, 2<<20))))
	for name, c := range map[string]struct {
		frames []ws.Frame
		code   ws.StatusCode // 0: it is heard
	}{
		"whole":                    {[]ws.Frame{piece(ws.OpText, rsv1, true, whole)}, 0},
		"two":                      {[]ws.Frame{piece(ws.OpText, rsv1, false, whole[:3]), ws.NewPingFrame(nil), piece(ws.OpContinuation, 0, true, whole[3:])}, 0},
		"after one that is not":    {[]ws.Frame{piece(ws.OpText, 0, true, []byte("{}")), piece(ws.OpText, rsv1, true, whole)}, 0},
		"marked once more":         {[]ws.Frame{piece(ws.OpText, rsv1, false, whole[:3]), piece(ws.OpContinuation, rsv1, true, whole[3:])}, 1002},
		"a ping":                   {[]ws.Frame{piece(ws.OpPing, rsv1, true, nil)}, 1002},
		"a second bit":             {[]ws.Frame{piece(ws.OpText, rsv1|rsv2, true, whole)}, 1002},
		"a third bit":              {[]ws.Frame{piece(ws.OpText, rsv3, true, whole)}, 1002},
		"what is not compressed":   {[]ws.Frame{piece(ws.OpText, rsv1, true, []byte("\xff\xff\xff"))}, 1007},
		"what is no UTF-8 inside":  {[]ws.Frame{must(wsflate.CompressFrame(ws.NewTextFrame([]byte("\xff"))))}, 1007},
		"a bomb":                   {[]ws.Frame{bomb}, 1009},
		"a bomb that ends nowhere": {[]ws.Frame{piece(ws.OpText, rsv1, true, bomb.Payload[:len(bomb.Payload)/2])}, 1009},
	} {
		in := inbound{deflate: true}
		var heard []string
		err := in.hear(client(c.frames...), func(b []byte) error {
			heard = append(heard, string(b))
			return nil
		}, func(ws.OpCode, []byte) error { return nil })
		var end *closing
		switch {
		case c.code == 0 && (err != nil || heard[len(heard)-1] != strings.Repeat("{}", 99)):
			t.Errorf("%s: heard %q, and then %v", name, heard, err)
		case c.code != 0 && (!errors.As(err, &end) || end.code != c.code || heard != nil):
			t.Errorf("%s: heard %q, and then %v; want %d", name, heard, err, c.code)
		}
	}
}

func must(f ws.Frame, err error) ws.Frame {
	if err != nil {
		panic(err)
	}
	return f
}

// Reasons may be longer than a close frame has room for.
func TestALongReasonIsCut(t *testing.T) {
	for _, reason := range []string{strings.Repeat("x", 500), strings.Repeat("ü", 300), "x" + strings.Repeat("€", 100)} {
		h, err := ws.ReadHeader(bytes.NewReader(appendClose(nil, ws.StatusPolicyViolation, reason)))
		if err != nil || h.Length > 125 || h.Length < 120 {
			t.Errorf("%d bytes, %v", h.Length, err)
		}
	}
}

// transcript is what a reader makes of bytes: messages and control frames, and at
// which kind of end.
type transcript struct {
	heard []string
	ended bool
}

// ours reads in pieces.
func ours(b []byte, deflate bool, cut *rand.Rand) (t transcript) {
	in := inbound{deflate: deflate}
	for len(b) > 0 {
		n := 1 + cut.IntN(len(b))
		err := in.hear(b[:n], func(m []byte) error {
			t.heard = append(t.heard, "text "+string(m))
			return nil
		}, func(code ws.OpCode, m []byte) error {
			t.heard = append(t.heard, fmt.Sprint(code, " ", string(m)))
			return nil
		})
		if err != nil {
			t.ended = true
			return t
		}
		b = b[n:]
	}
	return t
}

// theirs reads with the library's own reader.
func theirs(b []byte) (t transcript) {
	from := bytes.NewReader(b)
	control := func(h ws.Header, r io.Reader) error {
		m, err := io.ReadAll(r)
		if err == nil && int64(len(m)) < h.Length {
			err = io.ErrUnexpectedEOF
		}
		if err == nil {
			t.heard = append(t.heard, fmt.Sprint(h.OpCode, " ", string(m)))
		}
		return err
	}
	r := wsutil.Reader{Source: from, State: ws.StateServerSide, OnIntermediate: control}
	for {
		h, err := r.NextFrame()
		if err == nil && h.OpCode == ws.OpBinary {
			err = errors.New("binary")
		}
		if err == nil && h.OpCode.IsControl() {
			err = control(h, &r)
			if err == nil {
				continue
			}
		}
		var m []byte
		if err == nil {
			m, err = io.ReadAll(&r)
		}
		if err == nil && !utf8.Valid(m) {
			err = wsutil.ErrInvalidUTF8
		}
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return t
		case err != nil:
			t.ended = true
			return t
		}
		t.heard = append(t.heard, "text "+string(m))
	}
}

// FuzzInbound compares what is made of a client's bytes, which come in any pieces,
// with what the library's reader makes of them at once.
func FuzzInbound(f *testing.F) {
	text := func(s string) ws.Frame { return ws.NewTextFrame([]byte(s)) }
	packed, _ := wsflate.CompressFrame(text(strings.Repeat("hello", 99)))
	for _, b := range [][]byte{
		client(text("{}"), ws.NewPingFrame([]byte("x")), text("ü")),
		client(ws.NewFrame(ws.OpText, false, []byte("{")), ws.NewPongFrame(nil), ws.NewFrame(ws.OpContinuation, true, []byte("}"))),
		client(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye"))),
		client(ws.NewBinaryFrame([]byte{1, 2})),
		client(text(strings.Repeat("x", 70_000))),
		client(text("\xff")),
		client(packed),
		ws.MustCompileFrame(text("bare")),
	} {
		f.Add(b, uint64(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		if len(b) > 1<<20 {
			return
		}
		cut := rand.New(rand.NewPCG(seed, 0))
		a := ours(b, false, cut)
		ours(b, true, cut) // no panic
		want := theirs(b)
		// Ours may end before: it has limits, and judges a frame by its head.
		if len(a.heard) > len(want.heard) || !slices.Equal(a.heard, want.heard[:len(a.heard)]) {
			t.Errorf("heard %q, want %q", a.heard, want.heard)
		}
		if !a.ended && (want.ended || len(a.heard) != len(want.heard)) {
			t.Errorf("heard %q to the end, want %q and then an end: %v", a.heard, want.heard, want.ended)
		}
	})
}
