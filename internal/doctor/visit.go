package doctor

import (
	"fmt"
	"net/http"
	"sync"
)

// Visit is all that is seen from outside, in order.
func (o *Outside) Visit() (found []Finding) {
	if o.Admin != nil {
		if err := o.newPass(); err != nil {
			found = append(found, unknown("reach", "", "the server expects no visit of the doctor's: %s", err))
		}
	}
	defer func() { o.leave() }()
	reach, arrival, on := o.Reach()
	found = append(found, reach...)
	if !on {
		return found
	}
	hub := ""
	if arrival != nil {
		hub = arrival.Hub
	}
	// Both wait, so they do it at once; each has a pass of its own, or the one's events
	// would end the other's silence.
	quiet := *o
	var silence Finding
	var wg sync.WaitGroup
	if o.pass != "" {
		if err := quiet.newPass(); err != nil {
			return append(found, unknown("silence", "", "the server expects no second visit: %s", err))
		}
		defer func() { quiet.leave() }()
	}
	wg.Go(func() { silence = quiet.Silence(hub) })
	found = append(found, o.Streaming(hub), o.Version())
	wg.Wait()
	found = append(found, silence)
	if arrival != nil && arrival.Dialect == "native" {
		found = append(found, o.WebSocket())
	}
	if arrival != nil {
		found = append(found, o.Seen(arrival, o.pretend())...)
	} else {
		found = append(found, unknown("address", fmt.Sprintf("sudo caddy-comet comet doctor %s   # on the server itself", o.shown()), "what PHP sees of a visitor is not known without the admin endpoint"))
	}
	return found
}

// leave gives the pass back.
func (o *Outside) leave() {
	if o.pass != "" {
		_ = o.Admin.Do(http.MethodDelete, "/comet/_doctor/"+o.pass, nil, nil, new(tailed))
	}
}
