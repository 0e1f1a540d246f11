package faults

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// Kind is what a round does to the server.
type Kind string

// The kinds.
const (
	// Fair leaves the server alone.
	Fair Kind = "fair"
	// Reloads loads one configuration after the other.
	Reloads Kind = "reloads"
	// Gaps keeps little history, and has clients be away for longer.
	Gaps Kind = "gaps"
	// Restarts ends the server, politely or not, and starts it again.
	Restarts Kind = "restarts"
)

// Kinds are all.
var Kinds = []Kind{Fair, Reloads, Gaps, Restarts}

// Round is one server, its clients and its publishers, for a while.
type Round struct {
	Seed Seed
	// Kind is chosen by the seed where it is empty.
	Kind Kind
	// For is how long is published.
	For time.Duration
	// Binary is the server, Dir an empty directory with a short name.
	Binary, Dir string
	// Env is what its environment has besides.
	Env []string
	// Log is told what happens.
	Log io.Writer

	server    *Server
	ledger    *Ledger
	law       Law
	settings  Settings
	weather   Weather
	tally     Tally
	calm      sync.RWMutex
	proxies   map[string]*Proxy
	channels  []string
	writers   []*Writer
	followers []*Follower
	novcomets []*Listener
	chats     []*Listener
	bells     []*Listener
	// rung is the last event variable that is being set.
	rung atomic.Int64

	// removed is how often comet was taken out.
	removed atomic.Int64
	// looked: at most once, at what goes on when somebody waits in vain.
	looked sync.Once

	mu       sync.Mutex
	verdicts []string
}

func (r *Round) wrong(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.verdicts = append(r.verdicts, fmt.Sprintf(format, args...))
}

func (r *Round) logf(format string, args ...any) { fmt.Fprintf(r.Log, format+"\n", args...) }

// Do does the round and returns what is wrong with the server. The error is one of
// the round's own.
func (r *Round) Do(ctx context.Context) (verdicts []string, err error) {
	r.choose()
	r.logf("seed %d, %s: history %s, hold %s, lease %t, %s", r.Seed, r.Kind, r.settings.History, r.settings.Hold, r.settings.Lease, strings.Join(r.Env, " "))
	if r.server, err = NewServer(r.Binary, r.Dir, r.Env); err != nil {
		return nil, err
	}
	for _, dir := range []string{"lines", "touch"} {
		if err := os.Mkdir(filepath.Join(r.Dir, dir), 0o755); err != nil {
			return nil, err
		}
	}
	for _, file := range []string{"touch/news.comet", "touch/nothing.comet"} {
		if err := os.WriteFile(filepath.Join(r.Dir, file), nil, 0o644); err != nil {
			return nil, err
		}
	}
	if err := r.server.Start(r.settings); err != nil {
		return nil, err
	}
	defer func() {
		for _, p := range r.proxies {
			p.Close()
		}
		if err := r.server.Stop(syscall.SIGTERM); err != nil {
			r.wrong("%v", err)
		}
		for _, m := range r.server.Mistakes() {
			r.wrong("%s", m)
		}
		r.server.Close()
		verdicts = r.verdicts
	}()
	return nil, r.play(ctx)
}

// choose takes the round's decisions.
func (r *Round) choose() {
	d := r.Seed.Source("round", 0)
	kind := Kinds[d.IntN(len(Kinds))]
	if r.Kind == "" {
		r.Kind = kind
	}
	r.settings = Settings{History: "100000 10m 50MiB", Hold: between(d, time.Second, 4*time.Second).Truncate(time.Millisecond), Lease: d.IntN(2) == 0}
	r.weather = Weather{Cuts: 0.4 + 0.6*d.Float64(), Least: 30, Most: logUniform(d, 1500, 100000), Slow: 0.3 * d.Float64(), Stall: 2 * time.Second}
	switch r.Kind {
	case Gaps:
		r.law.History = 5
		r.settings.History = "5 10m 50MiB"
		r.weather.Stall = 12 * time.Second
		r.weather.Most = 5000
	case Restarts:
		r.law.Restarts = true
	}
	for n := range 2 + d.IntN(3) {
		r.channels = append(r.channels, fmt.Sprintf("c%d", n))
	}
}

// client returns one of its own, behind a proxy of its own.
func (r *Round) client(place, port string, protocols *http.Protocols) (*http.Client, error) {
	p, err := NewProxy("127.0.0.1:"+port, r.weather, r.Seed, place, &r.tally)
	if err != nil {
		return nil, err
	}
	if r.proxies == nil {
		r.proxies = make(map[string]*Proxy)
	}
	r.proxies[place] = p
	return &http.Client{Transport: &http.Transport{
		Protocols:          protocols,
		DisableCompression: true,
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"},
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", p.Addr())
		},
	}}, nil
}

// way is how clients come to the server.
type way struct {
	name, base, port string
	protocols        *http.Protocols
}

func (r *Round) ways() []way {
	one, two := new(http.Protocols), new(http.Protocols)
	one.SetHTTP1(true)
	two.SetHTTP2(true)
	p := r.server.Ports
	return []way{
		{"parked", "http://127.0.0.1:" + p.Plain, p.Plain, one},
		{"held", "http://127.0.0.1:" + p.Held, p.Held, one},
		{"tls", "https://localhost:" + p.TLS, p.TLS, one},
		{"h2", "https://localhost:" + p.TLS, p.TLS, two},
	}
}

// variable is the n-th event variable.
func (r *Round) variable(n int) string { return fmt.Sprintf("7%015d%06d", uint64(r.Seed)%1e15, n) }

// gather makes all clients.
func (r *Round) gather(cursor string) error {
	back := int64(0)
	if r.Kind == Restarts {
		back = stampAhead
	}
	for _, way := range r.ways() {
		for _, form := range Forms(way.protocols) {
			name := way.name + " " + form
			client, err := r.client(name, way.port, way.protocols)
			if err != nil {
				return err
			}
			d := r.Seed.Source("channels of "+name, 0)
			channels := slices.Clone(r.channels)
			d.Shuffle(len(channels), func(i, j int) { channels[i], channels[j] = channels[j], channels[i] })
			n := 1 + d.IntN(len(channels))
			if r.Kind == Gaps { // so that it is known what a gap may leave out
				n = 1
			}
			r.followers = append(r.followers, NewFollower(name, form, client, way.base+"/comet/", cursor, channels[:n], r.ledger, r.Seed))
		}
		for name, make := range map[string]func(name string, client *http.Client){
			" novcomet": func(name string, client *http.Client) {
				r.novcomets = append(r.novcomets, newNovComet(name, client, way.base, "news", back, r.Seed))
			},
			" chat": func(name string, client *http.Client) {
				r.chats = append(r.chats, newChat(name, client, way.base, back, r.Seed))
			},
			" doorbell": func(name string, client *http.Client) {
				r.bells = append(r.bells, newBell(name, client, way.base, r.variable, &r.rung, r.Seed))
			},
		} {
			client, err := r.client(way.name+name, way.port, way.protocols)
			if err != nil {
				return err
			}
			make(way.name+name, client)
		}
	}
	client, err := r.client("publish poll", r.server.Ports.Publish, nil)
	if err != nil {
		return err
	}
	r.followers = append(r.followers, NewFollower("publish poll", "poll", client, "http://127.0.0.1:"+r.server.Ports.Publish+"/", cursor, r.channels[:1], r.ledger, r.Seed))
	return nil
}

func (r *Round) play(all context.Context) error {
	all, stop := context.WithCancel(all)
	defer stop()
	cursor, err := r.server.Cursor()
	if err != nil {
		return err
	}
	r.ledger = NewLedger()
	r.ledger.Epoch(cursor)
	if err := r.gather(cursor); err != nil {
		return err
	}
	var following, publishing sync.WaitGroup
	silent := func(name string) { r.looked.Do(func() { r.look(name + " hears nothing") }) }
	for _, f := range r.followers {
		f.silent = silent
		following.Go(func() { f.Run(all) })
	}
	for _, l := range slices.Concat(r.novcomets, r.chats, r.bells) {
		l.silent = silent
		following.Go(func() { l.Run(all) })
	}
	now, over := context.WithTimeout(all, r.For)
	defer over()
	if err := r.publish(&publishing, now, all); err != nil {
		return err
	}
	switch r.Kind {
	case Reloads:
		publishing.Go(func() { r.reload(now) })
	case Restarts:
		publishing.Go(func() { r.restart(now) })
	}
	// Who waits until the last has been told waits beyond the round's end, and not with
	// everybody cut again and again.
	<-now.Done()
	for _, p := range r.proxies {
		p.Calm()
	}
	publishing.Wait()
	if err := r.finish(all); err != nil {
		r.wrong("%v", err)
	}
	stop()
	following.Wait()
	r.judge()
	return nil
}

// publish starts all publishers.
func (r *Round) publish(publishing *sync.WaitGroup, now, all context.Context) error {
	base := "http://127.0.0.1:" + r.server.Ports.Publish
	for i, channel := range r.channels {
		for _, name := range []string{"p", "q", "once"}[:1+r.Seed.Source("publishers of "+channel, 0).IntN(3)] {
			client, err := r.client("publisher "+channel+name, r.server.Ports.Publish, nil)
			if err != nil {
				return err
			}
			p := &Poster{
				Channel: channel, Name: name, Client: client, Base: base, Ledger: r.ledger,
				Chance: r.Seed.Source("pace of "+channel+name, 0), Pace: 60 * time.Millisecond, Once: name == "once",
			}
			publishing.Go(func() { p.Run(now, all) })
		}
		if i%2 == 0 {
			w := &Writer{
				Channel: channel, Name: "file", Dir: r.Dir, Ledger: r.ledger,
				Chance: r.Seed.Source("lines of "+channel, 0), Pace: 100 * time.Millisecond, Calm: &r.calm,
			}
			r.writers = append(r.writers, w)
			publishing.Go(func() {
				if err := w.Run(now); err != nil {
					r.wrong("writing lines: %v", err)
				}
			})
		}
	}
	told := all
	if r.law.Restarts || r.Kind == Reloads { // what was last while nobody watched may be told with the next thing only
		told = now
	}
	publishing.Go(func() {
		n, err := touch(now, told, filepath.Join(r.Dir, "touch/news.comet"), r.Seed.Source("touches", 0), r.novcomets)
		if err != nil {
			r.wrong("%v", err)
		}
		for _, l := range r.novcomets {
			if times, _ := l.state(); times > n+1+int(r.removed.Load()) && !r.law.Restarts { // once for what was there each time that somebody began to look
				r.wrong("%s was told %d times of %d touches", l.Name, times, n)
			}
		}
	})
	publishing.Go(func() {
		if err := chat(now, told, filepath.Join(r.Dir, "chat.txt"), r.Seed.Source("chat", 0), r.chats); err != nil {
			r.wrong("%v", err)
		}
	})
	client, err := r.client("ringing", r.server.Ports.Plain, nil)
	if err != nil {
		return err
	}
	publishing.Go(func() {
		err := ring(now, all, client, "http://127.0.0.1:"+r.server.Ports.Plain, r.variable, &r.rung, r.Seed.Source("rings", 0), r.bells)
		if err != nil {
			r.wrong("%v", err)
		}
	})
	return nil
}
