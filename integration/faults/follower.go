package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Follower is a client that must lose nothing: it asks with the last position
// that it has completely received, and where an answer is cut asks again.
type Follower struct {
	Record
	form   form
	client *http.Client
	// base is the address without the channels, as http://host/comet/.
	base string
	// at is the position. first is the one that the address was made with.
	at, first string
	ledger    *Ledger
	pause     *rand.Rand
	// retry is when the server wants it back.
	retry time.Duration
	// silent is told of a server that is.
	silent func(name string)
	// asked is what it asked for last, and when.
	asked atomic.Value
	// open: the end of these channels has not been heard.
	open map[string]bool
	// Finished is closed when there is none.
	Finished chan struct{}
}

// LastPublisher is the publisher in the token of a channel's last event.
const LastPublisher = "end"

// Forms are the forms that an answer to a follower may have who speaks so.
func Forms(p *http.Protocols) []string {
	forms := []string{"poll", "jsonp", "sse", "stream", "multipart", "frame", "page"}
	if p.HTTP1() {
		forms = append(forms, "websocket")
	}
	return forms
}

var forms = map[string]form{
	"poll": poll{}, "jsonp": jsonp{}, "sse": sse{}, "stream": lines{}, "multipart": multipart{}, "frame": frame{}, "page": page{"/page"}, "websocket": websocket{},
}

// NewFollower returns one that begins at a cursor.
func NewFollower(name, as string, client *http.Client, base, cursor string, channels []string, l *Ledger, seed Seed) *Follower {
	open := make(map[string]bool)
	for _, c := range channels {
		open[c] = true
	}
	return &Follower{
		Record: Record{Name: name, Channels: channels, Start: cursor}, form: forms[as], client: client, base: base,
		at: cursor, first: cursor, ledger: l, pause: seed.Source("pauses of "+name, 0), open: open, Finished: make(chan struct{}),
	}
}

// form is how a client of one form asks and listens.
type form interface {
	// ask makes the request for what is behind the follower's position.
	ask(f *Follower) *http.Request
	// hear tells the follower what the answer says, as far as it is complete. It
	// returns an error of the connection's as it is, and [errEnd] where an answer
	// that ended well did not say so.
	hear(f *Follower, res *http.Response) error
}

var errEnd = errors.New("the answer ended, and did not say where and when to go on")

// word is what an answer says: an event, or a position, perhaps behind a gap.
type word struct {
	cursor, channel string
	// data is the event's, nil where it is none.
	data json.RawMessage
	gap  bool
	// upTo is where the gap ends, cursor where it is empty.
	upTo string
}

// Run follows until the ends of all channels have come, or ctx ends.
func (f *Follower) Run(ctx context.Context) {
	for ctx.Err() == nil && len(f.open) > 0 {
		if !f.once(ctx) {
			f.rest(ctx)
		}
	}
	if len(f.open) == 0 {
		f.after(ctx)
		close(f.Finished)
	}
}

// At is its position, for when it has run.
func (f *Follower) At() string { return f.at }

// rest waits a little: as long as the server said, but not so long that little
// would happen in a minute.
func (f *Follower) rest(ctx context.Context) {
	d := moment(f.pause)
	if f.retry > 0 {
		d += f.retry / 20
	}
	f.retry = 0
	rest(ctx, min(d, time.Second))
}

// once asks once, and reports whether it may at once do so again.
func (f *Follower) once(ctx context.Context) bool {
	ctx, watch, over := watched(ctx, f.Name, f.silent)
	defer over()
	r := f.form.ask(f).WithContext(ctx)
	f.asked.Store(time.Now().Format(time.TimeOnly) + " " + r.URL.String() + " behind " + f.at)
	res, err := f.client.Do(r)
	if err != nil {
		f.lost(ctx)
		return false
	}
	defer res.Body.Close()
	if body := res.Body; res.StatusCode == http.StatusSwitchingProtocols {
		// net/http no longer ends it with its request.
		defer context.AfterFunc(ctx, func() { body.Close() })()
	}
	res.Body = alive{res.Body, watch}
	switch {
	case res.StatusCode == http.StatusServiceUnavailable, res.StatusCode == http.StatusBadGateway, res.StatusCode == http.StatusNotFound:
		_, _ = io.Copy(io.Discard, res.Body) // no room, or the server has no comet just now
		// A connection of HTTP/2 whose handshake meets a reload is told nothing of its
		// server's end (net/http), and stays with a configuration that is gone for as
		// long as it has requests.
		defer f.client.CloseIdleConnections()
		return false
	case res.StatusCode != http.StatusOK && res.StatusCode != http.StatusSwitchingProtocols:
		b, _ := io.ReadAll(io.LimitReader(res.Body, 300))
		f.complain("status %d: %s", res.StatusCode, b)
		return false
	}
	switch err := f.form.hear(f, res); {
	case err == nil:
		f.Answers++
		return f.retry == 0
	case errors.Is(err, errEnd):
		f.complain("%v", err)
	default:
		f.lost(ctx)
	}
	return false
}

func (f *Follower) lost(ctx context.Context) {
	f.Cut++
	if context.Cause(ctx) == errSilent {
		f.complain("the server was silent for %s at %s", silence, f.at)
	}
}

// after asks once more behind the end: there is nothing.
func (f *Follower) after(ctx context.Context) {
	for range 50 {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.base+strings.Join(f.Channels, ",")+"?wait=0&since="+f.at, nil)
		if err != nil {
			panic(err)
		}
		res, err := f.client.Do(r)
		if err == nil {
			var b []byte
			b, err = io.ReadAll(res.Body)
			res.Body.Close()
			if err == nil && res.StatusCode == http.StatusOK {
				f.nothingNew(b)
				return
			}
		}
		f.rest(ctx)
	}
}

// nothingNew takes the answer to who has everything. An event that its publisher
// gave up may still happen.
func (f *Follower) nothingNew(b []byte) {
	a, err := readPoll(b)
	if err != nil || a.Gap {
		f.complain("behind the end at %s it was answered %.200q (%v)", f.at, b, err)
	}
	for _, e := range a.Events {
		if slices.ContainsFunc(f.Events, func(h Heard) bool { return h.Cursor == e.Cursor }) {
			f.complain("behind the end at %s it was told again of %s", f.at, e.Cursor)
		}
	}
}

func (f *Follower) complain(format string, args ...any) {
	if len(f.Complaints) < 5 {
		f.Complaints = append(f.Complaints, fmt.Sprintf(format, args...))
	}
}

// body is what an event's data is here.
type body struct {
	Token string `json:"token"`
	Pad   string `json:"pad"`
}

// Data is the data of the event with a token.
func Data(token string) []byte {
	b, err := json.Marshal(body{token, padding(token)})
	if err != nil {
		panic(err)
	}
	return b
}

// told takes a word that is completely there.
func (f *Follower) told(w word) {
	if w.gap {
		f.Gaps = append(f.Gaps, Hole{f.at, w.upTo})
	}
	if w.data != nil {
		var b body
		switch err := json.Unmarshal(w.data, &b); {
		case err != nil || b.Token == "":
			f.complain("at %s the data is %.80q", w.cursor, w.data)
		case b.Pad != padding(b.Token):
			f.complain("%s is not what was published: %d bytes of padding, not %d", b.Token, len(b.Pad), len(padding(b.Token)))
		default:
			f.Events = append(f.Events, Heard{w.cursor, w.channel, b.Token})
			f.ledger.hear(b.Token)
			if strings.HasSuffix(publisherOf(b.Token), "/"+LastPublisher) {
				delete(f.open, channelOf(b.Token))
			}
		}
	}
	f.at = w.cursor
}

// done reports whether a stream need not be read on.
func (f *Follower) done() bool { return len(f.open) == 0 }

// request is a GET of the channels with a query.
func (f *Follower) request(query string) *http.Request {
	r, err := http.NewRequest(http.MethodGet, f.base+strings.Join(f.Channels, ",")+query, nil)
	if err != nil {
		panic(err)
	}
	return r
}
