package doctor

import "time"

// Facts are what the running server says of itself, at its admin endpoint.
type Facts struct {
	Process Process `json:"process"`
	Hubs    []Hub   `json:"hubs"`
	Watches []Watch `json:"watches"`
}

// Process is the server's.
type Process struct {
	PID    int   `json:"pid"`
	UID    int   `json:"uid"`
	GID    int   `json:"gid"`
	Groups []int `json:"groups,omitempty"`
	// OpenFiles is how many descriptors it may have, 0 where that is not known.
	OpenFiles uint64 `json:"open_files,omitempty"`
}

// Hub is one hub's settings that matter here.
type Hub struct {
	Name     string `json:"name"`
	MaxHolds int    `json:"max_holds"`
	// MaxChannels is 0 where the server does not tell.
	MaxChannels int           `json:"max_channels,omitempty"`
	Hold        time.Duration `json:"hold"`
	Heartbeat   time.Duration `json:"heartbeat"`
	Held        int           `json:"held"`
	// NoHolds and NoChannels are how many were refused since these limits are what they
	// are, for want of room.
	NoHolds    uint64 `json:"no_holds,omitempty"`
	NoChannels uint64 `json:"no_channels,omitempty"`
}

// Watch is one watch of files.
type Watch struct {
	Hub  string `json:"hub"`
	Glob string `json:"glob"`
	What string `json:"what"`
	// Owner is the number of the user to whom the files must belong, "" for anybody.
	Owner string `json:"owner,omitempty"`
	// Mode is "inotify" or "polling", "" where the directory was never there, and Why
	// the reason.
	Mode      string `json:"mode"`
	Why       string `json:"why"`
	LastError string `json:"last_error,omitempty"`
}

// Arrival is how a request of the doctor's arrived at the server.
type Arrival struct {
	Hub     string `json:"hub"`
	Dialect string `json:"dialect"`
	// Peer is the address of who connected, and Client that of the visitor by Caddy's
	// trusted_proxies.
	Peer   string `json:"peer"`
	Client string `json:"client"`
	TLS    bool   `json:"tls"`
	Proto  string `json:"proto"`
	Host   string `json:"host"`
	// What proxies wrote.
	ForwardedFor   string `json:"forwarded_for,omitempty"`
	ForwardedProto string `json:"forwarded_proto,omitempty"`
	Via            string `json:"via,omitempty"`
	// Upgrade is the protocol that the request wants to go over to.
	Upgrade string `json:"upgrade,omitempty"`
}

// Setup is what the running configuration has of ours, and of what stands behind.
type Setup struct {
	Lines      []Line
	Publishers []Publisher
	Sites      []Site
	// Backends are the hubs in which PHP may publish by its answers' headers.
	Backends []string
	Servers  []Server
}

// Line is a comet directive.
type Line struct {
	Dialect, Hub string
	// Listen are its server's addresses. Hosts and Paths are what it matches; none is
	// any.
	Listen, Hosts, Paths []string
	// Guards say who may listen: authorize, token. Empty is everybody.
	Guards []string
}

// Publisher is a comet_publish directive.
type Publisher struct {
	Hub           string
	Listen, Hosts []string
	Users         []string
	Keys          bool
}

// Site is where a route leads to PHP.
type Site struct {
	Hosts []string
	// Hubs are those of its comet lines.
	Hubs []string
	// Dial are the addresses of php-fpm, or of another server where Proxy is true.
	Dial  []string
	Proxy bool
	// Streams: what PHP sends goes out at once (flush_interval -1).
	Streams bool
	// Env are the variables that the configuration sets for PHP.
	Env map[string]string
}

// Server is one of Caddy's.
type Server struct {
	Listen       []string
	WriteTimeout time.Duration
	Comet        bool
}
