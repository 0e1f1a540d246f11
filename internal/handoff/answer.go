package handoff

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// common is what the answers of requests that were handed over have in common: their
// header is the site's.
type common struct{ own Answer }

func (common) Header(http.Header)                   {}
func (common) Patient() bool                        { return false }
func (common) Limit() int                           { return 0 }
func (common) Class() string                        { return "handed over" }
func (common) Bye(hub.Cursor, time.Duration) []byte { return nil }
func (common) Full(reason string, _ time.Duration) (int, []byte) {
	return http.StatusServiceUnavailable, []byte(reason + "\n")
}

// Poll is the answer of a request that gets one: what is published, or the site's own.
type Poll struct {
	common
	retry bool
}

// NewPoll returns the answer of the modes [Response] and [Retry]; own is the site's.
func NewPoll(mode Mode, own Answer) *Poll {
	own.Header = trimmed(own.Header)
	return &Poll{common{own}, mode == Retry}
}

// cursorHeader tells the client behind which event it is.
const cursorHeader = "Comet-Cursor"

// Transport names the way the answer comes.
func (p *Poll) Transport() string {
	if p.retry {
		return string(Retry)
	}
	return string(Response)
}

// Stream reports that it is none.
func (*Poll) Stream() bool { return false }

// Events, Open and Idle are for others.
func (*Poll) Events(*hub.Delivery) []byte { return nil }
func (*Poll) Open(hub.Cursor) []byte      { return nil }
func (*Poll) Idle(hub.Cursor) []byte      { return nil }

// Own is the site's answer, for when nothing has happened up to a position; the zero
// cursor where that is not known.
func (p *Poll) Own(at hub.Cursor) (int, http.Header, []byte) {
	header := p.own.Header
	if at != (hub.Cursor{}) {
		header = header.Clone()
		header.Set(cursorHeader, at.String())
	}
	return p.own.Status, header, p.own.Body
}

// Choose says what a delivery is to the client: the first event that is an answer is
// it. Where events are lost, the site knows what there is now.
func (p *Poll) Choose(d *hub.Delivery) (status int, header http.Header, body []byte, again bool) {
	if d.Gap || p.retry {
		return 0, nil, nil, true
	}
	for _, e := range d.Events {
		switch f := formsOf(e).Response; {
		case f == nil:
		case f.Action == actionHint:
			return 0, nil, nil, true
		default:
			header = p.over(f.Header)
			header.Set(cursorHeader, hub.Cursor{Epoch: d.Cursor.Epoch, Seq: e.Seq}.String())
			return f.Status, header, f.content(e), false
		}
	}
	return 0, nil, nil, false
}

// aboutBody are headers of the site's answer that say of its body what is not so of
// another.
var aboutBody = []string{"Accept-Ranges", "Content-Encoding", "Content-Md5", "Content-Range", "Digest", "Etag", "Last-Modified", "Repr-Digest"}

// over lays an event's header over the site's.
func (p *Poll) over(own map[string][]string) http.Header {
	header := p.own.Header.Clone()
	for _, name := range aboutBody {
		header.Del(name)
	}
	maps.Copy(header, own)
	return header
}

// trimmed is a header without what only the server can know, and without instructions.
func trimmed(header http.Header) http.Header {
	header = header.Clone()
	if header == nil {
		header = make(http.Header)
	}
	for _, name := range serversOwn {
		header.Del(name)
	}
	for name := range header {
		if strings.HasPrefix(name, http.TrailerPrefix) {
			delete(header, name)
		}
	}
	StripAnswer(header)
	return header
}

// Flow is the answer of a request that gets all that is published, behind what the
// site has said.
type Flow struct {
	common
	beat []byte
	// linked: the site says how it goes on. last are the IDs of what was written last,
	// by channel.
	linked bool
	last   map[string]string
}

// NewFlow returns the answer of an instruction for a stream. Where the instruction
// says nothing of signs of life, an event stream has comments.
func NewFlow(i *Instruction, own Answer) *Flow {
	s := &Flow{common{own}, i.KeepAlive, i.Next != "", nil}
	s.own.Header = trimmed(own.Header)
	h := s.own.Header
	h.Del("Content-Encoding")
	h.Del("Etag")
	h.Del("Last-Modified")
	h.Set("X-Accel-Buffering", "no")
	if control := strings.Join(h.Values("Cache-Control"), ", "); control == "" {
		h.Set("Cache-Control", "no-store, no-transform")
	} else if !strings.Contains(strings.ToLower(control), "no-transform") {
		h.Set("Cache-Control", control+", no-transform")
	}
	if s.beat == nil {
		s.beat = []byte{}
		if mediaType, _, _ := strings.Cut(h.Get("Content-Type"), ";"); strings.EqualFold(strings.TrimSpace(mediaType), "text/event-stream") {
			s.beat = []byte(":\n\n")
		}
	}
	return s
}

// Transport names the way the answer comes. The modes' streams are apart from those of
// other languages.
func (*Flow) Transport() string { return "stream" }

// Stream reports that it is one.
func (*Flow) Stream() bool { return true }

// Dress sets the site's header.
func (s *Flow) Dress(h http.Header) { maps.Copy(h, s.own.Header) }

// Open is what the site has said.
func (s *Flow) Open(hub.Cursor) []byte { return s.own.Body }

// Idle is the sign of life.
func (s *Flow) Idle(hub.Cursor) []byte { return s.beat }

// Events writes what is published, up to what ends the stream.
func (s *Flow) Events(d *hub.Delivery) []byte {
	var b []byte
	for _, e := range d.Events {
		f := formsOf(e).Stream
		if f != nil && f.Action == actionClose {
			break
		}
		if f.sends() {
			b = append(b, f.content(e)...)
		}
	}
	return slices.Clip(b)
}

// Steer says how it goes on: where events are lost, only the site knows.
func (s *Flow) Steer(d *hub.Delivery) (write, over, ask bool) {
	if d.Gap {
		return false, true, s.linked
	}
	for _, e := range d.Events {
		f := formsOf(e).Stream
		if s.linked && e.ID != "" {
			if s.last == nil {
				s.last = make(map[string]string)
			}
			s.last[e.Channel] = e.ID
		}
		switch {
		case f == nil || f.Action == "":
		case f.Action == actionClose:
			return true, true, false
		case f.Action == actionHint && s.linked:
			ask = true
		}
	}
	return true, ask, ask
}

// Lasts are what the site is told when it is asked how the stream goes on: the last IDs
// that the client has.
func (s *Flow) Lasts(i *Instruction) []string {
	now := *i
	now.Channels = slices.Clone(i.Channels)
	for k := range now.Channels {
		c := &now.Channels[k]
		c.PrevID = or(s.last[c.Name], c.PrevID)
	}
	return now.Lasts()
}
