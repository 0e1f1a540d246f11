package dialect

import (
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// doorbell is the dialect of "Comet/AJAX push using PHP or Google App Engine"
// (seed S2): event variables. One is a large number that its user made up. It is
// waited for and it is set; what is set stays so.
//
//	GET  /doorbell/22482 → doorbell(22482); as soon as it is set
//	POST /doorbell/22482 → sets it
//
// It works through a script element from any other site: who knows the number
// learns only that something happened.
type doorbell struct{}

func newDoorbell(o Options) (Dialect, error) {
	if len(o.Channels) > 0 {
		return nil, errors.New("each request names its number; take the channel option out")
	}
	if o.AnswerPublish || o.JSONP {
		return nil, errors.New("it has neither answer_publish nor jsonp: setting is always answered here, and the answer is always a script")
	}
	return doorbell{}, nil
}

// Read implements [Dialect].
func (doorbell) Read(r *http.Request) (Ask, error) {
	path := r.URL.EscapedPath()
	number, err := url.PathUnescape(path[strings.LastIndexByte(path, '/')+1:])
	if err != nil {
		number = ""
	}
	if err := checkNumber(number); err != nil {
		return Ask{Public: true}, err
	}
	if r.Method == http.MethodPost {
		return Ask{Publish: number, Public: true}, nil
	}
	return Ask{Channels: []string{number}, Since: hub.All(), Wait: Default, Answer: doorbellAnswer{number: number}, Public: true}, nil
}

// maxNumber is how many digits an event variable has at most.
const maxNumber = 64

func checkNumber(s string) error {
	if s == "" {
		return badRequest("no number is given; the path's last element is one, as in /doorbell/22482")
	}
	if len(s) > maxNumber {
		return badRequest("the number has %d characters; the limit is %d digits", len(s), maxNumber)
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return badRequest("%s is no number; an event variable has digits and nothing else", shorten(s))
		}
	}
	return nil
}

// doorbellAnswer rings the number as it was asked for.
type doorbellAnswer struct {
	patient
	number string
}

func (doorbellAnswer) Transport() string    { return "script" }
func (doorbellAnswer) Header(h http.Header) { h.Set("Content-Type", "text/javascript; charset=utf-8") }
func (d doorbellAnswer) Class() string      { return "doorbell " + d.number }

// Events rings after a gap too: the number may have been set there, and who is
// rung for nothing looks, and waits again.
func (d doorbellAnswer) Events(*hub.Delivery) []byte {
	return []byte("doorbell(" + d.number + ");")
}
