package caddymodule

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/caddy-comet/caddy-comet/internal/dialect"
	"github.com/caddy-comet/caddy-comet/internal/doctor"
	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// visits are those of the doctor (`caddy comet doctor <url>`), who comes from outside
// as a visitor does. He shows a pass, which only the admin endpoint gives away, and
// may then listen at any comet line, to the channel of the pass's name alone: so he
// sees how bytes travel without a right to hear anything, and is told how his request
// arrived.
var visits struct {
	mu     sync.Mutex
	passes map[string]*pass
}

type pass struct {
	ends     time.Time
	arrivals []doctor.Arrival
}

const (
	doctorHeader = "Comet-Doctor"
	// doctorName is the admin endpoint's path for the doctor, which no hub can have.
	doctorName = "_doctor"
	// passTime is how long a pass is good for, and maxVisit how long a visit may be
	// silent.
	passTime = 15 * time.Minute
	maxVisit = 10 * time.Minute
	// maxPasses are known at once, and maxArrivals of each.
	maxPasses, maxArrivals = 16, 16
)

// newPass makes a pass. Another one goes where there are too many.
func newPass(now time.Time) string {
	visits.mu.Lock()
	defer visits.mu.Unlock()
	if visits.passes == nil {
		visits.passes = make(map[string]*pass)
	}
	oldest := ""
	for name, p := range visits.passes {
		if p.ends.Before(now) {
			delete(visits.passes, name)
			continue
		}
		if oldest == "" || p.ends.Before(visits.passes[oldest].ends) {
			oldest = name
		}
	}
	if len(visits.passes) >= maxPasses {
		delete(visits.passes, oldest)
	}
	name := "doctor-" + rand.Text()
	visits.passes[name] = &pass{ends: now.Add(passTime)}
	return name
}

// arrive enters an arrival, and reports whether the request's pass is good.
func arrive(name string, a doctor.Arrival) bool {
	visits.mu.Lock()
	defer visits.mu.Unlock()
	p := visits.passes[name]
	if p == nil || p.ends.Before(time.Now()) {
		return false
	}
	if len(p.arrivals) < maxArrivals {
		p.arrivals = append(p.arrivals, a)
	}
	return true
}

// visit holds a request of the doctor's, and reports whether it is one.
func (c *Comet) visit(w http.ResponseWriter, r *http.Request) bool {
	name := r.Header.Get(doctorHeader)
	if name == "" || !arrive(name, c.arrival(r)) {
		return false
	}
	native, err := dialect.New(nativeDialect, dialect.Options{Channels: []string{name}})
	if err != nil {
		return false
	}
	ask, err := native.Read(r)
	if err == nil {
		h := hold.Hold{
			Hub: c.use.hub.Hub, Channels: ask.Channels, Since: ask.Since, Answer: ask.Answer,
			Wait: c.use.settings.hold(), Heartbeat: c.use.settings.heartbeat(),
			Ends: hold.Ends{Stop: process.stop, Retire: c.app.retire},
		}
		if ask.Wait != dialect.Default {
			h.Wait = min(ask.Wait, maxVisit) // longer than a visitor's, to see what cuts it
		}
		if _, talks := ask.Answer.(hold.Talk); talks {
			err = errors.New("the doctor does not come by WebSocket")
		} else if report, failed := h.Serve(w, r); report.Abort {
			panic(http.ErrAbortHandler)
		} else {
			err = failed
		}
	}
	if err != nil {
		writeText(w, http.StatusBadRequest, err.Error())
	}
	return true
}

// arrival is how a request came here.
func (c *Comet) arrival(r *http.Request) doctor.Arrival {
	a := doctor.Arrival{
		Hub: c.use.hub.name, Dialect: c.Dialect, Peer: r.RemoteAddr, TLS: r.TLS != nil, Proto: r.Proto, Host: r.Host,
		ForwardedFor:   strings.Join(r.Header.Values("X-Forwarded-For"), ", "),
		ForwardedProto: r.Header.Get("X-Forwarded-Proto"), Via: strings.Join(r.Header.Values("Via"), ", "),
		Upgrade: r.Header.Get("Upgrade"),
	}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		a.Peer = host
	}
	a.Client, _ = caddyhttp.GetVar(r.Context(), caddyhttp.ClientIPVarKey).(string)
	return a
}

// serveDoctor is what the admin endpoint has for the doctor:
//
//	GET    /comet/_doctor          what the process is and what its hubs are told
//	POST   /comet/_doctor          a new pass
//	GET    /comet/_doctor/<pass>   how the requests with this pass arrived
//	DELETE /comet/_doctor/<pass>   the pass is no longer needed
func serveDoctor(w http.ResponseWriter, r *http.Request, name string) {
	if name == "" {
		if allow(w, r, http.MethodGet, http.MethodHead, http.MethodPost) {
			if r.Method == http.MethodPost {
				writeJSON(w, http.StatusOK, map[string]string{"pass": newPass(time.Now())})
				return
			}
			writeJSON(w, http.StatusOK, facts())
		}
		return
	}
	if !allow(w, r, http.MethodGet, http.MethodHead, http.MethodDelete) {
		return
	}
	visits.mu.Lock()
	p := visits.passes[name]
	arrivals := []doctor.Arrival{}
	if p != nil {
		arrivals = append(arrivals, p.arrivals...)
	}
	if r.Method == http.MethodDelete {
		delete(visits.passes, name)
	}
	visits.mu.Unlock()
	if p == nil {
		writeError(w, http.StatusNotFound, errors.New("this pass is not known, or no longer"))
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"arrivals": arrivals})
}

// facts are those of the newest configuration that runs.
func facts() doctor.Facts {
	f := doctor.Facts{Process: doctor.ThisProcess(), Hubs: []doctor.Hub{}, Watches: []doctor.Watch{}}
	a := newestApp()
	if a == nil {
		return f
	}
	owners := make(map[string]string)
	for name, use := range a.uses {
		stats, limits := use.hub.Stats(), use.limitsInForce()
		f.Hubs = append(f.Hubs, doctor.Hub{
			Name: name, MaxHolds: limits.Holds, MaxChannels: limits.Channels, Hold: use.settings.hold(), Heartbeat: use.settings.heartbeat(),
			Held: stats.Holds, NoHolds: stats.Full.Holds, NoChannels: stats.Full.Channels,
		})
		for _, w := range use.watches {
			owners[fmt.Sprint(name, "\x00", w.Glob, "\x00", w.What)] = w.Owner
		}
	}
	for _, s := range watching() {
		if owner, ours := owners[fmt.Sprint(s.Hub, "\x00", s.Glob, "\x00", s.What)]; ours {
			f.Watches = append(f.Watches, doctor.Watch{
				Hub: s.Hub, Glob: s.Glob, What: string(s.What), Owner: owner, Mode: s.Mode, Why: s.Why, LastError: s.LastError,
			})
		}
	}
	f.Sort()
	return f
}
