package caddymodule

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/caddy-comet/caddy-comet/internal/handoff"
)

// keptAnswer is an answer of the site that says what is to become of its request. The
// client gets it later, if at all.
type keptAnswer struct {
	status int
	header http.Header
	body   []byte
	// instruction is what it says as far as its header does. err is what is wrong.
	instruction *handoff.Instruction
	err         error
	// large: the body is more than is kept.
	large bool
	// begin, if not nil, begins the answer to the client with a body that is more than is
	// kept: of a stream, which goes on anyway. begun: it has.
	begin func()
	begun bool
}

// newKeptAnswer reads the header of an answer.
func newKeptAnswer(status int, header http.Header) *keptAnswer {
	k := &keptAnswer{status: status, header: header.Clone()}
	if !handoff.InBody(header) {
		k.instruction, k.err = handoff.Read(header, nil)
	} else if status != http.StatusOK {
		k.err = fmt.Errorf("an instruction in an answer's body has the status 200, not %d", status)
	}
	return k
}

// keep takes a piece of the body, and reports whether it is for the client.
func (k *keptAnswer) keep(p []byte) (pass bool) {
	switch {
	case k.begun:
		return true
	case k.large:
	case len(k.body)+len(p) <= handoff.MaxAnswer:
		k.body = append(k.body, p...)
	case k.begin != nil:
		k.begun = true
		k.begin()
		return true
	default:
		k.large = true
	}
	return false
}

// spills reports whether a body of any size may go out at once.
func (k *keptAnswer) spills() bool {
	return k.instruction != nil && k.instruction.Mode == handoff.Stream && k.status == http.StatusOK && encoding(k.header) == ""
}

// read reads what the whole answer says, and what the client gets of it.
func (k *keptAnswer) read() (*handoff.Instruction, handoff.Answer, error) {
	own := handoff.Answer{Status: k.status, Header: k.header, Body: k.body}
	if k.err == nil && k.large {
		k.err = fmt.Errorf("the answer has more than %d bytes; only streams may be larger", handoff.MaxAnswer)
	}
	if k.err != nil {
		return nil, own, k.err
	}
	i := k.instruction
	if i == nil || i.Mode == handoff.Stream {
		// Others get it as they have asked for it.
		if own.Body, k.err = plainBody(own.Header, own.Body); k.err != nil {
			return nil, own, k.err
		}
	}
	if i == nil {
		if i, k.err = handoff.Read(k.header, own.Body); k.err != nil {
			return nil, own, k.err
		}
		own = *i.Answer
	}
	if i.Status != 0 {
		own.Status = i.Status
	}
	return i, own, nil
}

func encoding(h http.Header) string {
	coding := strings.ToLower(strings.Join(h.Values("Content-Encoding"), ","))
	if coding == "identity" {
		return ""
	}
	return coding
}

// plainBody is a body without its compression. PHP compresses where php.ini says so,
// whatever the answer is for.
func plainBody(h http.Header, body []byte) ([]byte, error) {
	switch encoding(h) {
	case "":
		return body, nil
	case "gzip", "x-gzip":
	default:
		return nil, errors.New("the answer is compressed in a way that cannot be read here; switch that off for this address, or use gzip")
	}
	if len(body) == 0 {
		return body, nil
	}
	z, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the answer says that it is gzip, and is not")
	}
	plain, err := io.ReadAll(io.LimitReader(z, handoff.MaxAnswer+1))
	switch {
	case err != nil:
		return nil, errors.New("the answer's gzip is broken")
	case len(plain) > handoff.MaxAnswer:
		return nil, fmt.Errorf("the answer has more than %d bytes", handoff.MaxAnswer)
	}
	return plain, nil
}

// keptBody is a request's body, of which a copy is kept as long as it is small.
type keptBody struct {
	io.ReadCloser
	copy  []byte
	large bool
	ended bool
}

// maxKeptBody is how large the body of a request may be that is asked again.
const maxKeptBody = 64 << 10

// keepBody has a request's body kept, nil where there is none.
func keepBody(r *http.Request) *keptBody {
	if r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0 {
		return nil
	}
	k := &keptBody{ReadCloser: r.Body, large: r.ContentLength > maxKeptBody}
	r.Body = k
	return k
}

func (k *keptBody) Read(b []byte) (int, error) {
	n, err := k.ReadCloser.Read(b)
	switch {
	case k.large:
	case len(k.copy)+n > maxKeptBody:
		k.large, k.copy = true, nil
	default:
		k.copy = append(k.copy, b[:n]...)
	}
	k.ended = k.ended || err == io.EOF
	return n, err
}

// whole returns the body, and whether that is all of it.
func (k *keptBody) whole() ([]byte, bool) {
	if k == nil {
		return nil, true
	}
	return k.copy, k.ended && !k.large
}
