// Package figures is what a running server tells of itself, in its JSON form: the admin
// endpoint and comet_publish write it, the commands and the terminal view read it. It has
// no session, token or data of an event in it.
package figures

import "time"

// Status is what there is at /comet/ of the admin endpoint, and of one hub at /_status of
// its comet_publish.
type Status struct {
	// Time is the server's, of this answer.
	Time time.Time `json:"time"`
	// Process is nil where one hub alone is told of.
	Process *Process `json:"process,omitempty"`
	Hubs    []Hub    `json:"hubs"`
	Watches []Watch  `json:"watches"`
}

// Process is the server's process.
type Process struct {
	Started    time.Time `json:"started"`
	Goroutines int       `json:"goroutines"`
	// MemoryBytes is what Go has of the system for the process.
	MemoryBytes int64 `json:"memory_bytes"`
	// Descriptors are open of MaxDescriptors. 0 where the system does not tell.
	Descriptors    int   `json:"descriptors,omitempty"`
	MaxDescriptors int64 `json:"max_descriptors,omitempty"`
}

// Hub is one hub. What ends in a count of something that happened counts since the process
// knows the hub.
type Hub struct {
	Hub           string `json:"hub"`
	Cursor        string `json:"cursor"`
	Held          int    `json:"held"`
	Channels      int    `json:"channels"`
	History       int    `json:"history"`
	HistoryBytes  int64  `json:"history_bytes"`
	InFlightBytes int64  `json:"in_flight_bytes"`
	Opened        uint64 `json:"opened"`
	Delivered     uint64 `json:"delivered"`
	// Published are the events by source.
	Published map[string]uint64 `json:"published"`
	// Denied are requests and events that were refused, by reason.
	Denied map[string]uint64 `json:"denied,omitempty"`
	// Written counts the events that have reached their last reader.
	Written Written `json:"written"`
	Limits  Limits  `json:"limits"`
	// Kinds are what is and was held, by dialect and transport.
	Kinds []Kind `json:"kinds,omitempty"`
	Store *Store `json:"store,omitempty"`
}

// Written is how long publishing took, to the last write, of all events together.
type Written struct {
	Events  uint64  `json:"events"`
	Seconds float64 `json:"seconds"`
}

// Limits are a hub's in force, by their options' names.
type Limits struct {
	MaxHolds    int   `json:"max_holds"`
	MaxChannels int   `json:"max_channels"`
	MaxHistory  int64 `json:"max_history"`
	MaxInFlight int64 `json:"max_in_flight"`
}

// Kind is what holds of one dialect and transport have in common.
type Kind struct {
	Dialect   string `json:"dialect"`
	Transport string `json:"transport"`
	Held      int    `json:"held"`
	Parked    int    `json:"parked"`
	Opened    uint64 `json:"opened"`
	// Answered are those that ended, by outcome.
	Answered map[string]uint64 `json:"answered,omitempty"`
}

// Store is how a hub's store is doing.
type Store struct {
	Path  string `json:"path"`
	Bytes int64  `json:"bytes"`
	// Error is why it takes nothing now.
	Error string `json:"error,omitempty"`
}

// Watch is how a file watch is doing.
type Watch struct {
	Hub  string `json:"hub"`
	Glob string `json:"glob"`
	What string `json:"what"`
	// Mode is inotify or polling, and empty while the directory was never there. Why says
	// why it is that.
	Mode  string `json:"mode"`
	Why   string `json:"why"`
	Files int    `json:"files"`
	// LastError is the last thing that went wrong and was not mended since.
	LastError string `json:"last_error,omitempty"`
	// Overflows is how often inotify lost events, in the whole process.
	Overflows int64 `json:"overflows"`
}

// Channels is a listing of a hub's channels.
type Channels struct {
	Hub      string    `json:"hub"`
	Cursor   string    `json:"cursor"`
	Held     int       `json:"held"`
	Channels []Channel `json:"channels"`
	// More is how many are not listed.
	More int `json:"more,omitempty"`
}

// Channel is one channel.
type Channel struct {
	Channel string `json:"channel"`
	Held    int    `json:"held"`
	// Cursor is that of the newest event that is kept.
	Cursor string `json:"cursor"`
	// Events is how many there were since the channel is known.
	Events  uint64 `json:"events"`
	History int    `json:"history"`
	Bytes   int64  `json:"bytes"`
}

// Hold is one request that is held.
type Hold struct {
	Hub string `json:"hub"`
	// Channels are the first that it follows, MoreChannels is how many there are besides.
	Channels     []string `json:"channels"`
	MoreChannels int      `json:"more_channels,omitempty"`
	Dialect      string   `json:"dialect"`
	Transport    string   `json:"transport"`
	// User is the name by which the site, a token or Caddy knows the visitor.
	User string `json:"user,omitempty"`
	// Client is the visitor's address by Caddy's trusted_proxies, empty on a Unix socket.
	Client string `json:"client,omitempty"`
	// Age is for how long it is held, in seconds.
	Age float64 `json:"age"`
	// Parked: it costs no goroutine.
	Parked bool `json:"parked"`
}

// Holds is a listing of holds, in no order.
type Holds struct {
	Holds []Hold `json:"holds"`
	// More is how many are not listed, because of limit.
	More int `json:"more"`
}
