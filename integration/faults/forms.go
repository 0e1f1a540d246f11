package faults

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/dialect/ssetest"
)

// answer is the native poll's.
type answer struct {
	Cursor string
	Gap    bool
	Events []event
}

type event struct {
	Channel, Cursor string
	Data            json.RawMessage
}

func readPoll(b []byte) (answer, error) {
	var a answer
	err := json.Unmarshal(b, &a)
	if err == nil && a.Cursor == "" {
		err = errors.New("it has no cursor")
	}
	return a, err
}

// polled takes a whole poll's answer.
func (f *Follower) polled(b []byte) {
	a, err := readPoll(b)
	if err != nil {
		f.complain("a whole answer cannot be read: %v: %.200q", err, b)
		return
	}
	if a.Gap {
		// Of several channels, any may have lost something up to the answer's end.
		upTo := a.Cursor
		if len(a.Events) > 0 && len(f.Channels) == 1 {
			upTo = before(a.Events[0].Cursor)
		}
		f.told(word{cursor: f.at, gap: true, upTo: upTo})
	}
	for _, e := range a.Events {
		f.told(word{cursor: e.Cursor, channel: e.Channel, data: e.Data})
	}
	f.at = a.Cursor
}

// before is the cursor before an event's.
func before(cursor string) string {
	epoch, seq, _ := strings.Cut(cursor, ".")
	n, _ := strconv.ParseUint(seq, 10, 64)
	return epoch + "." + strconv.FormatUint(max(n, 1)-1, 10)
}

// poll is one long poll after the other.
type poll struct {
	// query stands ahead of the position.
	query string
}

func (p poll) ask(f *Follower) *http.Request { return f.request("?" + p.query + "since=" + f.at) }

func (poll) hear(f *Follower, res *http.Response) error {
	b, err := io.ReadAll(res.Body)
	if err == nil {
		f.polled(b)
	}
	return err
}

// jsonp is a poll by script elements.
type jsonp struct{}

func (jsonp) ask(f *Follower) *http.Request { return f.request("?callback=app.told&since=" + f.at) }

func (jsonp) hear(f *Follower, res *http.Response) error {
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	inner, begins := bytes.CutPrefix(b, []byte("/**/app.told("))
	inner, ends := bytes.CutSuffix(inner, []byte(");\n"))
	if !begins || !ends {
		f.complain("a whole answer is no call: %.200q", b)
		return nil
	}
	f.polled(inner)
	return nil
}

// pieces reads an answer, and gives take what is ahead of each delim. The answer ends
// well behind a piece of which take says that it is the last, or where take wants no
// more.
func pieces(body io.Reader, delim string, take func(piece []byte) (last, more bool)) error {
	var rest []byte
	var last, more bool
	b := make([]byte, 8<<10)
	for {
		n, err := body.Read(b)
		rest = append(rest, b[:n]...)
		for {
			piece, after, found := bytes.Cut(rest, []byte(delim))
			if !found {
				break
			}
			if last, more = take(piece); !more {
				return nil
			}
			rest = after
		}
		if err == io.EOF && last {
			return nil
		}
		if err == io.EOF {
			return errEnd
		}
		if err != nil {
			return err
		}
	}
}

// sse is an EventSource: its address stays, and where it goes on says
// Last-Event-ID.
type sse struct{}

func (sse) ask(f *Follower) *http.Request {
	r := f.request("?since=" + f.first)
	r.Header.Set("Accept", "text/event-stream")
	if f.at != f.first {
		r.Header.Set("Last-Event-ID", f.at)
	}
	return r
}

func (sse) hear(f *Follower, res *http.Response) error {
	if t := res.Header.Get("Content-Type"); t != "text/event-stream" {
		f.complain("an event stream is %q", t)
		return nil
	}
	return pieces(res.Body, "\n\n", func(block []byte) (last, more bool) {
		s := ssetest.Parse(append(bytes.Clone(block), "\n\n"...))
		if s.Retry > 0 {
			f.retry = s.Retry
		}
		for _, m := range s.Messages {
			switch m.Type {
			case "gap":
				f.told(word{cursor: m.ID, gap: true, upTo: m.ID})
			default:
				f.told(word{cursor: m.ID, data: json.RawMessage(m.Data)})
			}
		}
		if len(s.Messages) == 0 && s.ID != "" {
			f.at = s.ID
		}
		return s.Retry > 0, !f.done() // the first block has one, too; the last must
	})
}

// position is what streams of JSON say besides events.
type position struct {
	event
	Gap   bool
	Retry *int
}

// line takes one JSON object of a stream and reports whether it is the last.
func (f *Follower) line(b []byte) (last bool) {
	if b = bytes.TrimSpace(b); len(b) == 0 {
		return false
	}
	var p position
	switch err := json.Unmarshal(b, &p); {
	case err != nil || p.Cursor == "":
		f.complain("a line cannot be read: %v: %.200q", err, b)
	case p.Channel != "":
		f.told(word{cursor: p.Cursor, channel: p.Channel, data: p.Data})
	case p.Gap:
		f.told(word{cursor: p.Cursor, gap: true, upTo: p.Cursor})
	default:
		f.at = p.Cursor
	}
	if p.Retry != nil {
		f.retry = time.Duration(*p.Retry) * time.Millisecond
	}
	return p.Retry != nil
}

// lines is XHR streaming.
type lines struct{}

func (lines) ask(f *Follower) *http.Request { return f.request("?as=stream&since=" + f.at) }

func (lines) hear(f *Follower, res *http.Response) error {
	return pieces(res.Body, "\n", func(b []byte) (last, more bool) {
		last = f.line(b)
		return last, !f.done()
	})
}

// multipart is multipart/x-mixed-replace.
type multipart struct{}

func (multipart) ask(f *Follower) *http.Request { return f.request("?as=multipart&since=" + f.at) }

func (multipart) hear(f *Follower, res *http.Response) error {
	_, params, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if err != nil || params["boundary"] == "" {
		f.complain("a multipart is %q", res.Header.Get("Content-Type"))
		return nil
	}
	first := true
	return pieces(io.MultiReader(strings.NewReader("\r\n"), res.Body), "\r\n--"+params["boundary"], func(b []byte) (last, more bool) {
		if first {
			first = false
			return false, true
		}
		_, b, _ = bytes.Cut(b, []byte("\r\n\r\n"))
		last = f.line(b)
		return last, !f.done()
	})
}

// frame is the forever frame.
type frame struct{}

func (frame) ask(f *Follower) *http.Request {
	return f.request("?as=frame&callback=parent.app.told&since=" + f.at)
}

var element = regexp.MustCompile(`(?s)^(?:parent\.app\.told\((.*)\);)?c\("([^"]*)"\)(?:;again\((\d+)\))?$`)

func (frame) hear(f *Follower, res *http.Response) error {
	return pieces(res.Body, "</script>\n", func(b []byte) (last, more bool) {
		script := string(b[bytes.LastIndex(b, []byte("<script>"))+len("<script>"):])
		if ms, ok := strings.CutPrefix(script, "again("); ok { // there is no room just now
			n, _ := strconv.Atoi(strings.TrimSuffix(ms, ")"))
			f.retry = time.Duration(n) * time.Millisecond
			return true, true
		}
		m := element.FindStringSubmatch(script)
		if m == nil {
			f.complain("an element cannot be read: %.200q", b)
			return false, false
		}
		if m[1] != "" {
			var p position
			switch err := json.Unmarshal([]byte(m[1]), &p); {
			case err != nil:
				f.complain("a call cannot be read: %v: %.200q", err, m[1])
			case p.Cursor != m[2]:
				f.complain("a call at %s says %s", m[2], p.Cursor)
			default:
				f.line([]byte(m[1]))
			}
		}
		f.at = m[2]
		if last = m[3] != ""; last {
			n, _ := strconv.Atoi(m[3])
			f.retry = time.Duration(n) * time.Millisecond
		}
		return last, !f.done()
	})
}

// page is an ordinary page whose answers say where there is news, by headers. What
// it is, a poll that waits for nothing says.
type page struct{ path string }

func (p page) ask(f *Follower) *http.Request {
	r, err := http.NewRequest(http.MethodGet, strings.TrimSuffix(f.base, "/comet/")+p.path, nil)
	if err != nil {
		panic(err)
	}
	r.Header.Set("Comet-Since", f.at)
	r.Header.Set("Comet-Channels", strings.Join(f.Channels, ","))
	return r
}

func (page) hear(f *Follower, res *http.Response) error {
	if _, err := io.ReadAll(res.Body); err != nil {
		return err
	}
	time.Sleep(20 * time.Millisecond) // a page is not asked for all the time
	cursor := res.Header.Get("Comet-Cursor")
	switch {
	case res.Header.Get("Comet-Error") != "" || cursor == "":
		f.complain("an answer with news says %v", res.Header)
		return nil
	case res.Header.Get("Comet-News") == "":
		f.at = cursor
		return nil
	}
	r, err := http.NewRequestWithContext(res.Request.Context(), http.MethodGet, f.base+strings.Join(f.Channels, ",")+"?wait=0&since="+f.at, nil)
	if err != nil {
		return fmt.Errorf("making the poll: %w", err)
	}
	after, err := f.client.Do(r)
	if err != nil {
		return err
	}
	defer after.Body.Close()
	b, err := io.ReadAll(after.Body)
	if err != nil || after.StatusCode != http.StatusOK {
		return errors.Join(err, errors.New("no poll"))
	}
	had := len(f.Events) + len(f.Gaps)
	if f.polled(b); len(f.Events)+len(f.Gaps) == had {
		f.complain("it was told of news, and there was none: %.200q", b)
	}
	return nil
}
