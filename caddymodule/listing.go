package caddymodule

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/figures"
	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/park"
)

// parametersOf is what the query of a listing may have, each once.
func parametersOf(query string, known ...string) (map[string]string, error) {
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, fmt.Errorf("the query cannot be read: %w", err)
	}
	one := make(map[string]string)
	for name, given := range values {
		if len(given) > 1 {
			return nil, fmt.Errorf("%.40q is to have one value", name)
		}
		one[name] = given[0]
	}
	for name := range one {
		ok := false
		for _, k := range known {
			ok = ok || k == name
		}
		if !ok {
			return nil, fmt.Errorf("%.40q is no parameter of this address%s", name, didYouMean(name, known))
		}
	}
	return one, nil
}

// limitOf is how many a listing may have; most is the default and, unless it is 0, which
// is no limit, the most.
func limitOf(text string, most int) (int, error) {
	if text == "" {
		return most, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || most > 0 && n > most {
		if most > 0 {
			return 0, fmt.Errorf("limit is to be a number from 1 to %d, as in limit=20", most)
		}
		return 0, fmt.Errorf("limit is to be a number above 0, as in limit=1000")
	}
	return n, nil
}

// orders are those of a listing of channels, besides that of their names.
var orders = map[string]hub.By{"held": hub.ByHeld, "events": hub.ByEvents, "latest": hub.ByLatest}

func describe(i hub.Info) figures.Channel {
	return figures.Channel{
		Channel: i.Channel, Held: i.Held, Cursor: i.Cursor.String(), Events: i.Events,
		History: i.History, Bytes: i.Bytes,
	}
}

// list describes channels:
//
//	GET /?by=held&limit=20
func (e endpoint) list(w http.ResponseWriter, r *http.Request) {
	query, err := parametersOf(r.URL.RawQuery, "by", "limit")
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	limit, err := limitOf(query["limit"], maxListed)
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	var infos []hub.Info
	by, known := orders[query["by"]]
	switch {
	case known:
		infos = e.hub.First(limit, by)
	case query["by"] == "" || query["by"] == "name":
		infos, _ = e.hub.List(limit)
	default:
		writeError(w, http.StatusBadRequest, fmt.Errorf("by is to be name, held, events or latest, not %.40q", query["by"]))
		return
	}
	stats := e.hub.Stats()
	listed := make([]figures.Channel, len(infos))
	for i := range infos {
		listed[i] = describe(infos[i])
	}
	writeJSON(w, http.StatusOK, figures.Channels{
		Hub: e.hub.name, Cursor: stats.Cursor.String(), Held: stats.Holds, Channels: listed,
		More: max(0, stats.Channels-len(listed)),
	})
}

// listHolds writes what is held in hubs, as it finds it, so that many holds need no
// memory and the hub goes on meanwhile:
//
//	GET /_holds?channel=orders&user=42&limit=100
func listHolds(w http.ResponseWriter, r *http.Request, hubs []*sharedHub) {
	query, err := parametersOf(r.URL.RawQuery, "user", "channel", "limit")
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	limit, err := limitOf(query["limit"], 0)
	if err != nil {
		writeError(w, http.StatusBadRequest, err)
		return
	}
	if c := query["channel"]; c != "" {
		if err := hub.CheckChannel(c); err != nil {
			writeError(w, http.StatusBadRequest, err)
			return
		}
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	if r.Method == http.MethodHead {
		return
	}
	out := bufio.NewWriterSize(w, 16<<10)
	listed, more := 0, 0
	separator := `{"holds":[` + "\n"
	for _, h := range hubs {
		h.Holds(hub.Kick{User: query["user"], Channel: query["channel"]}, func(held hub.Held) bool {
			if limit > 0 && listed == limit {
				more++
				return true
			}
			listed++
			b, _ := json.Marshal(h.hold(held)) // it is made of what can be
			_, _ = out.WriteString(separator)
			separator = ",\n"
			_, err = out.Write(b)
			return err == nil
		})
	}
	if listed == 0 {
		_, _ = out.WriteString(separator)
	}
	_, _ = fmt.Fprintf(out, "\n],\"more\":%d}\n", more)
	_ = out.Flush() // a reader who is gone needs nothing
}

// hold describes a hold. One that nobody has noted is of a command that follows channels.
func (s *sharedHub) hold(held hub.Held) figures.Hold {
	f := figures.Hold{
		Hub: s.name, Channels: held.Channels, MoreChannels: held.Follows - len(held.Channels), User: held.User,
		Dialect: "tail", Transport: "poll",
	}
	of, ok := held.Note.(*holder)
	if !ok {
		return f
	}
	f.Dialect, f.Transport, f.Parked = of.page.dialect, of.page.transport, of.aside.Load()
	if of.client.IsValid() {
		f.Client = of.client.String()
	}
	if since := park.Moment(of.since.Load()); since != 0 {
		const unit = time.Millisecond
		f.Age = float64((-since.Left()).Round(unit)/unit) / 1000
	}
	return f
}
