package handoff

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/net/http/httpguts"
)

// instruct is an instruction as a JSON object.
type instruct struct {
	Hold *struct {
		Mode     string `json:"mode"`
		Channels []struct {
			Name    string   `json:"name"`
			PrevID  string   `json:"prev-id"`
			Filters []string `json:"filters"`
		} `json:"channels"`
		Timeout   *int `json:"timeout"`
		KeepAlive *struct {
			Content string `json:"content"`
			Bin     []byte `json:"content-bin"`
			Timeout *int   `json:"timeout"`
		} `json:"keep-alive"`
	} `json:"hold"`
	Response *message `json:"response"`
}

// message is an HTTP answer in JSON.
type message struct {
	Code    *int            `json:"code"`
	Headers json.RawMessage `json:"headers"`
	Body    string          `json:"body"`
	Bin     []byte          `json:"body-bin"`
}

// readBody adds what an answer's body says.
func (i *Instruction) readBody(body []byte) error {
	var in instruct
	if err := json.Unmarshal(body, &in); err != nil {
		return badJSON(err)
	}
	i.Answer = &Answer{Status: http.StatusOK, Header: make(http.Header)}
	if in.Response != nil {
		var err error
		if i.Answer, err = in.Response.answer(); err != nil {
			return fmt.Errorf("response: %w", err)
		}
	}
	h := in.Hold
	if h == nil {
		return nil
	}
	if i.Mode != "" || len(i.Channels) > 0 {
		return errors.New("there is a hold in the headers as well; write one of them")
	}
	if err := readHold(i, []string{or(h.Mode, string(Response))}); err != nil {
		return fmt.Errorf("mode: %w", err)
	}
	for _, c := range h.Channels {
		if len(c.Filters) > 0 {
			return errors.New("there are no filters here; publish on a channel for each kind of visitor")
		}
		if err := i.add(Channel{Name: c.Name, PrevID: c.PrevID}); err != nil {
			return fmt.Errorf("channels: %w", err)
		}
	}
	var err error
	if h.Timeout != nil && i.Mode != Stream {
		if i.Timeout, err = seconds(fmt.Sprint(*h.Timeout)); err != nil {
			return fmt.Errorf("timeout: %w", err)
		}
	}
	if k := h.KeepAlive; k != nil && i.Mode == Stream {
		i.KeepAlive, i.Beat = append([]byte(k.Content), k.Bin...), usualBeat
		if len(i.KeepAlive) == 0 {
			return errors.New("keep-alive: it is empty; what is sent must have a byte at least")
		}
		if k.Timeout != nil {
			if i.Beat, err = seconds(fmt.Sprint(*k.Timeout)); err != nil {
				return fmt.Errorf("keep-alive: %w", err)
			}
		}
	}
	return nil
}

func (m *message) answer() (*Answer, error) {
	a := &Answer{Status: http.StatusOK, Body: append([]byte(m.Body), m.Bin...)}
	if m.Code != nil {
		a.Status = *m.Code
	}
	if a.Status < 200 || a.Status > 599 {
		return nil, errors.New("the code is a status from 200 to 599")
	}
	var err error
	a.Header, err = readHeaders(m.Headers)
	return a, err
}

// serversOwn are headers that only the server can know.
var serversOwn = []string{"Connection", "Content-Length", "Date", "Keep-Alive", "Proxy-Connection", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// maxHeaders is how many headers an answer in JSON may have.
const maxHeaders = 100

// readHeaders reads an object of values, or a list of pairs.
func readHeaders(raw json.RawMessage) (http.Header, error) {
	h := make(http.Header)
	if len(raw) == 0 || string(raw) == "null" {
		return h, nil
	}
	var pairs [][2]string
	if raw[0] == '[' {
		var list [][]string
		if err := json.Unmarshal(raw, &list); err != nil {
			return nil, errors.New("headers are an object, or a list of pairs of texts")
		}
		for _, pair := range list {
			if len(pair) != 2 {
				return nil, errors.New("headers are an object, or a list of pairs of texts")
			}
			pairs = append(pairs, [2]string{pair[0], pair[1]})
		}
	} else {
		var object map[string]string
		if err := json.Unmarshal(raw, &object); err != nil {
			return nil, errors.New("headers are an object of texts, or a list of pairs")
		}
		for name, value := range object {
			pairs = append(pairs, [2]string{name, value})
		}
	}
	if len(pairs) > maxHeaders {
		return nil, fmt.Errorf("there are more than %d headers", maxHeaders)
	}
	for _, pair := range pairs {
		if !httpguts.ValidHeaderFieldName(pair[0]) || !httpguts.ValidHeaderFieldValue(pair[1]) {
			return nil, errors.New("a header has characters that no header may have")
		}
		h.Add(pair[0], pair[1])
	}
	for _, name := range serversOwn {
		h.Del(name)
	}
	StripAnswer(h)
	return h, nil
}

// badJSON says what is wrong with JSON, and nothing of what it was.
func badJSON(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("%s is of the wrong kind", or(kind.Field, "it"))
	}
	return errors.New("it is not valid JSON")
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// Wait is how long a request waits at most.
func (i *Instruction) Wait(usual time.Duration) time.Duration { return or(i.Timeout, usual) }

// Lasts are what a site is told when it is asked again: the last IDs that it knows of.
func (i *Instruction) Lasts() (values []string) {
	for _, c := range i.Channels {
		if value := c.Name + "; last-id=" + c.PrevID; c.PrevID != "" && httpguts.ValidHeaderFieldValue(value) {
			values = append(values, value)
		}
	}
	return values
}
