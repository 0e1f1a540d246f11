package caddymodule

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/caddy-comet/caddy-comet/internal/access"
	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// holdsName is the endpoint's name for the hub's holds.
const holdsName = "_holds"

// serveHolds lists holds, or ends them:
//
//	GET /_holds?channel=orders
//	DELETE /_holds?user=42
//	DELETE /_holds?session=<the session cookie's value>&channel=orders
//
// Who is all that is named is not heard of again until the site, or a newer token,
// has let him in anew.
func (e endpoint) serveHolds(w http.ResponseWriter, r *http.Request) {
	if !allow(w, r, http.MethodGet, http.MethodHead, http.MethodDelete) {
		return
	}
	if r.Method != http.MethodDelete {
		listHolds(w, r, e.hub.withNamespaces())
		return
	}
	k, err := readKick(r.URL.RawQuery)
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	metrics().kicks.WithLabelValues(e.hub.name).Inc()
	ended := 0
	for _, h := range e.hub.withNamespaces() {
		n, err := h.Kick(k)
		if err != nil {
			writeError(w, http.StatusServiceUnavailable, err)
			return
		}
		ended += n
	}
	writeJSON(w, http.StatusOK, map[string]int{"ended": ended})
}

func readKick(query string) (k hub.Kick, err error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return k, fmt.Errorf("the query cannot be read: %w", err)
	}
	fields := map[string]*string{"user": &k.User, "session": &k.Session, "channel": &k.Channel}
	for name, given := range values {
		to := fields[name]
		switch {
		case to == nil:
			return k, fmt.Errorf("%.40q is none of user, session and channel", name)
		case len(given) > 1 || given[0] == "":
			return k, fmt.Errorf("%s is to have one value", name)
		}
		*to = given[0]
	}
	if k.Session != "" {
		k.Session = access.Digest(k.Session)
	}
	if k == (hub.Kick{}) {
		return k, errors.New("say whose holds are to end: ?user=42, ?session=… or ?channel=…, or several of them for who is all of it")
	}
	return k, nil
}

// withNamespaces is the hub and what it has of a kind of its own, such as event
// variables.
func (s *sharedHub) withNamespaces() []*sharedHub {
	all := []*sharedHub{s}
	if bells, ok := findHub(s.name + doorbellNamespace); ok {
		all = append(all, bells)
	}
	return all
}
