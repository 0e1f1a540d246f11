package dialect

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// websocket is a stream's lines as the messages of a WebSocket (RFC 6455), whose
// client may change its channels meanwhile.
type websocket struct {
	nativeStream
	// fixed: the channels are.
	fixed bool
	// denied is what goes ahead of all.
	denied string
}

func (websocket) Transport() string  { return "websocket" }
func (websocket) Header(http.Header) {}
func (websocket) Class() string      { return "native websocket" }
func (websocket) Limit() int         { return 0 }

func (w websocket) Open(at hub.Cursor) []byte {
	b := []byte(w.denied)
	if at == (hub.Cursor{}) {
		return b
	}
	return appendPosition(b, at)
}

func (websocket) Idle(at hub.Cursor) []byte { return appendPosition(nil, at) }

// isHandshake reports whether a request wants to begin a WebSocket: by the Upgrade
// of HTTP/1.1 (RFC 6455 section 4.1) or the extended CONNECT of HTTP/2 and 3 (RFC
// 8441, RFC 9220).
func isHandshake(r *http.Request) bool {
	if r.Method == http.MethodConnect {
		return r.Header.Get(":protocol") == "websocket" || r.Proto == "websocket"
	}
	for _, value := range r.Header.Values("Upgrade") {
		for token := range strings.SplitSeq(value, ",") {
			if strings.EqualFold(strings.TrimSpace(token), "websocket") {
				return true
			}
		}
	}
	return false
}

// Hear reads {"subscribe":["a"],"since":"k3f9.42"} and {"unsubscribe":["a"]}, which
// may be one. Without since the channels begin now.
func (w websocket) Hear(message []byte) (leave, join []string, since hub.Since, err error) {
	var said struct {
		Subscribe   []string `json:"subscribe"`
		Unsubscribe []string `json:"unsubscribe"`
		Since       *string  `json:"since"`
	}
	in := json.NewDecoder(bytes.NewReader(message))
	in.DisallowUnknownFields()
	err = in.Decode(&said)
	if _, more := in.Token(); err == nil && more != io.EOF {
		err = errors.New("there is more behind the object")
	}
	switch {
	case err != nil:
		return nil, nil, hub.Since{}, badRequest(`a message is {"subscribe":["a"],"since":"…"} or {"unsubscribe":["a"]}: %s`, shorten(err.Error()))
	case w.fixed:
		return nil, nil, hub.Since{}, badRequest("the channels of this address are fixed")
	case len(said.Subscribe)+len(said.Unsubscribe) == 0:
		return nil, nil, hub.Since{}, badRequest("a message names channels, in subscribe or unsubscribe")
	case len(said.Subscribe) > maxChannels:
		return nil, nil, hub.Since{}, badRequest("%d channels in one message; the limit is %d", len(said.Subscribe), maxChannels)
	}
	for _, name := range said.Subscribe {
		if err := checkNativeName(name); err != nil {
			return nil, nil, hub.Since{}, err
		}
	}
	if said.Since != nil && *said.Since != "" {
		var ask Ask
		if err := ask.begin([]string{*said.Since}, ""); err != nil {
			return nil, nil, hub.Since{}, err
		}
		since = ask.Since
	}
	return said.Unsubscribe, said.Subscribe, since, nil
}

// Joined is {"subscribed":["a"],"cursor":"k3f9.42"}: from there on the channels are
// followed.
func (websocket) Joined(j hub.Joined) []byte {
	return appendChange("subscribed", j.Channels, j.At, j.Gap)
}

// Left is {"unsubscribed":["a"],"cursor":"k3f9.42"}.
func (websocket) Left(channels []string, at hub.Cursor) []byte {
	return appendChange("unsubscribed", channels, at, false)
}

// Denied is {"denied":["a"],"error":"…"}: they are not followed, and why.
func (websocket) Denied(channels []string, reason string) []byte {
	return append(appendDenied(nil, channels, reason), '\n')
}

func appendDenied(b []byte, channels []string, reason string) []byte {
	b = append(b, `{"denied":[`...)
	b = appendNames(b, channels)
	b = append(b, `],"error":`...)
	b = appendString(b, reason)
	return append(b, '}')
}

func appendChange(what string, channels []string, at hub.Cursor, gap bool) []byte {
	b := append([]byte(`{"`+what+`":`), '[')
	b = appendNames(b, channels)
	b = append(b, "],"...)
	b = appendCursor(b, at)
	if gap {
		b = append(b, `,"gap":true`...)
	}
	return append(b, '}', '\n')
}

func appendNames(b []byte, names []string) []byte {
	for i, name := range names {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(b, name)
	}
	return b
}

// errNoHandshake answers who asks for a WebSocket without beginning one.
var errNoHandshake = &Error{http.StatusUpgradeRequired, "as=websocket is for a WebSocket's handshake, which this is not (no Upgrade: websocket); use new WebSocket(…), or another as"}
