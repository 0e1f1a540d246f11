package dialect

import (
	"net/http"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// jsonp is the native poll as a script, for pages of other sites and for
// browsers that know no other way: /**/update({…});
//
// The empty comment keeps the answer from being taken for anything else, such as
// a Flash file, whose first bytes the client chose (CVE-2014-4671).
type jsonp struct {
	once
	callback string
}

func (jsonp) Transport() string    { return "jsonp" }
func (jsonp) Header(h http.Header) { h.Set("Content-Type", "text/javascript; charset=utf-8") }
func (j jsonp) Class() string      { return "native jsonp " + j.callback }

func (j jsonp) Events(d *hub.Delivery) []byte {
	b := append([]byte("/**/"), j.callback...)
	b = append(b, '(')
	b = appendPoll(b, d, inScript)
	return append(b, ");\n"...)
}

func (j jsonp) Idle(at hub.Cursor) []byte                 { return j.Events(&hub.Delivery{Cursor: at}) }
func (j jsonp) Bye(at hub.Cursor, _ time.Duration) []byte { return j.Idle(at) }
