// Package samples is how a server is doing, now and over the last day: the types that
// a status page or a terminal shows, and what makes rates and times of counters. It
// knows hubs by their figures alone, and neither Caddy nor HTTP.
package samples

import "time"

// Status is how the hubs are doing now.
type Status struct {
	// Time is when the figures were read.
	Time time.Time `json:"time"`
	// Hub is the only one that these are of, empty for all.
	Hub     string `json:"hub,omitempty"`
	Version string `json:"version"`
	// Tail says that the events of channels may be seen, too.
	Tail bool `json:"tail"`
	Recent
	// Held are the requests that wait, Parked those of them that cost no goroutine.
	Held   int `json:"held"`
	Parked int `json:"parked"`
	// Dialects are the held requests by how their clients speak.
	Dialects []Dialect `json:"dialects"`
	// Hubs are those with most held requests, at most MaxHubs. MoreHubs is how many
	// others there are.
	Hubs     []Hub `json:"hubs"`
	MoreHubs int   `json:"more_hubs,omitempty"`
	// Limits are those that are the nearest, at most MaxLimits.
	Limits []Limit `json:"limits"`
	// Watches are file watches, those in trouble first, at most MaxWatches.
	Watches     []Watch `json:"watches"`
	MoreWatches int     `json:"more_watches,omitempty"`
	// Refused are requests and events that were refused since the server began, by why;
	// Ended the held requests that ended, by how.
	Refused map[string]uint64 `json:"refused"`
	Ended   map[string]uint64 `json:"ended"`
	// Problems are the last lines of the log that warn, the newest first.
	Problems []Problem `json:"problems"`
	// Process is the server's own, nil where the figures are of one hub.
	Process *Process `json:"process,omitempty"`
}

// What a Status has at most.
const (
	MaxHubs    = 40
	MaxLimits  = 8
	MaxWatches = 60
)

// Recent is what happened between the last two readings, and since the first.
type Recent struct {
	// Since is when the first was.
	Since time.Time `json:"since"`
	// WorkerSeconds is how long PHP workers would have waited since then, one for each
	// held request.
	WorkerSeconds float64 `json:"worker_seconds"`
	// Requests that came to be held, events and deliveries, each second.
	Requests   float64 `json:"requests"`
	Events     float64 `json:"events"`
	Deliveries float64 `json:"deliveries"`
	// Median and P99 are the seconds from an event to the last answer with it, nil
	// where nobody waited for one.
	Median *float64 `json:"median,omitempty"`
	P99    *float64 `json:"p99,omitempty"`
}

// Dialect is what is held for the clients of one dialect.
type Dialect struct {
	Dialect   string         `json:"dialect"`
	Held      int            `json:"held"`
	Parked    int            `json:"parked"`
	Transport map[string]int `json:"transports"`
}

// Hub is one hub with its event variables.
type Hub struct {
	Hub          string `json:"hub"`
	Held         int    `json:"held"`
	Parked       int    `json:"parked"`
	Channels     int    `json:"channels"`
	History      int    `json:"history"`
	HistoryBytes int64  `json:"history_bytes"`
	InFlight     int64  `json:"in_flight"`
	// The counters, since the hub began.
	Requests   uint64            `json:"requests"`
	Events     uint64            `json:"events"`
	Deliveries uint64            `json:"deliveries"`
	Sources    map[string]uint64 `json:"sources"`
	// Store is where the history is kept, nil where that is memory alone.
	Store    *Store    `json:"store,omitempty"`
	Limits   []Limit   `json:"-"`
	Dialects []Dialect `json:"-"`
	Times    Times     `json:"-"`
}

// Limit is how much of what may be is in use.
type Limit struct {
	// Hub is whose limit it is, empty for the server's.
	Hub string `json:"hub,omitempty"`
	// Name is the option that sets it, or descriptors.
	Name string `json:"name"`
	Used int64  `json:"used"`
	Most int64  `json:"most"`
	// Bytes says that these are bytes.
	Bytes bool `json:"bytes,omitempty"`
}

func (l Limit) share() float64 { return float64(l.Used) / float64(max(l.Most, 1)) }

// Store is the file of a hub's history.
type Store struct {
	Bytes int64  `json:"bytes"`
	Error string `json:"error,omitempty"`
}

// Watch is one file watch.
type Watch struct {
	Hub   string `json:"hub"`
	Glob  string `json:"glob"`
	What  string `json:"what"`
	Mode  string `json:"mode"`
	Why   string `json:"why"`
	Files int    `json:"files"`
	Error string `json:"error,omitempty"`
}

// Process is the server's own.
type Process struct {
	Goroutines int `json:"goroutines"`
	// Memory is what Go has from the system, in bytes.
	Memory uint64 `json:"memory"`
}
