package caddymodule

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"
	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/access"
	"github.com/caddy-comet/caddy-comet/internal/hold"
	"github.com/caddy-comet/caddy-comet/internal/hub"
	"github.com/caddy-comet/caddy-comet/internal/log"
	"github.com/caddy-comet/caddy-comet/internal/park"
	"github.com/caddy-comet/caddy-comet/internal/presence"
	"github.com/caddy-comet/caddy-comet/internal/source"
)

// hubs are the hubs of the process by name. Each config generation that
// mentions a hub has one reference to it; a generation that ends gives its
// references back only after the history's age, so that a hub which a reload
// removed and another brings back has lost nothing.
var hubs = caddy.NewUsagePool()

// sharedHub is a hub in the pool. It is keyed by its name alone: settings
// change with generations, the hub stays.
type sharedHub struct {
	name string
	*hub.Hub
	stored
	// decisions are the site's about who may listen. They outlive configurations.
	decisions *access.Decisions
	// members are who is there.
	members *presence.Members
	// shares are what is held for each visitor.
	shares access.Shares
	losses losses
	// pace bounds what publishers send.
	pace pace
}

// Destruct ends the hub when nobody refers to it any more.
func (s *sharedHub) Destruct() error {
	err := s.Close()
	if lot := process.lot.Load(); lot != nil {
		hold.Retire(lot, s.Hub)
	}
	return err
}

// referHub returns the hub of that name with one more reference. A new one that has
// a store waits until a start opens it: whoever comes before must not meet a hub
// that has forgotten everything, and Caddy starts its apps in no order.
func referHub(name string, hasStore bool) (*sharedHub, error) {
	v, _, err := hubs.LoadOrNew(name, func() (caddy.Destructor, error) {
		meterHub(name)
		memory := log.NewMemory(nil)
		h, err := hub.New(hub.Config{
			Log:    memory,
			Limits: hub.DefaultLimits(),
			Waits:  hasStore,
			OnFanout: func(d time.Duration) {
				metrics().publishSeconds.WithLabelValues(name).Observe(d.Seconds())
			},
		})
		if err != nil {
			return nil, err
		}
		return &sharedHub{name: name, Hub: h, stored: stored{log: memory, begun: !hasStore}, decisions: access.NewDecisions(hub.DefaultLimits().Holds, nil), members: newMembers(name, h)}, nil
	})
	if err != nil {
		return nil, err
	}
	return v.(*sharedHub), nil
}

// releaseHub gives a reference back after linger.
func releaseHub(name string, linger time.Duration) {
	if linger <= 0 {
		_, _ = hubs.Delete(name)
		return
	}
	time.AfterFunc(linger, func() { _, _ = hubs.Delete(name) })
}

// findHub returns the hub of that name if a configuration mentions it.
func findHub(name string) (*sharedHub, bool) {
	for _, s := range runningHubs() {
		if s.name == name {
			return s, true
		}
	}
	return nil, false
}

// process is what generations share besides the hubs.
var process struct {
	mu sync.Mutex
	// running are the started generations, the newest last. During a reload
	// there are two.
	running []*App
	// files watches files for all hubs. It is made when the first generation
	// starts.
	files *source.Files
	// logs are the newest generation's, for what is nobody's own.
	logs atomic.Pointer[loggers]

	// lot is where connections are parked, nil as long as none was.
	lot atomic.Pointer[park.Lot]

	// stop is closed when the process ends.
	stop     chan struct{}
	stopOnce sync.Once
}

func init() {
	process.stop = make(chan struct{})
	nop := zap.NewNop()
	process.logs.Store(&loggers{files: nop, stores: nop, holds: nop, backend: nop, access: nop, seldom: new(seldom)})
	// For the holds of a generation that nobody followed; the others are answered by
	// the newest one's end.
	caddy.OnExit(func(context.Context) {
		stopHolds()
		drainParked()
	})
}

// loggers are those by which a generation logs what may outlive it.
type loggers struct {
	files, stores, holds, backend, access *zap.Logger
	seldom                                *seldom
}

func loggersOf(ctx caddy.Context) loggers {
	return loggers{
		files:   noting(ctx.Logger(new(App)).Named("files")),
		stores:  noting(ctx.Logger(new(App)).Named("store")),
		holds:   noting(ctx.Logger(new(Comet))),
		backend: noting(ctx.Logger(new(Backend))),
		access:  ctx.Logger(httpApp{}).Named("log.access"),
		seldom:  new(seldom),
	}
}

// setLoggerLocked has what lives longer than a generation log where the newest
// running one does: an older one's files may be closed.
func setLoggerLocked() {
	if len(process.running) == 0 {
		return
	}
	newest := process.running[len(process.running)-1].logs
	process.logs.Store(&newest)
	process.files.SetLogger(logs().files)
}

// logs are the loggers now in force.
func logs() *loggers { return process.logs.Load() }

// stopHolds has every hold of every generation answered.
func stopHolds() {
	process.stopOnce.Do(func() {
		close(process.stop)
		if lot := process.lot.Load(); lot != nil {
			lot.Stop()
		}
	})
}

// theLot is where connections are parked, made when the first is. nil if that
// cannot be.
var theLot = sync.OnceValue(func() *park.Lot {
	lot, err := park.New(func(reason any, stack []byte) {
		fail(ofHolds, "", "a parked connection was closed because of a mistake in this program; please report it",
			zap.Any("reason", reason), zap.ByteString("stack", stack))
	}, noDescriptors)
	if err != nil {
		logs().holds.Error("connections cannot be parked; held requests cost a goroutine each", zap.Error(err))
		return nil
	}
	process.lot.Store(lot)
	select {
	case <-process.stop:
		lot.Stop()
	default:
	}
	return lot
})

// noDescriptors says why new visitors wait. Who is held already is not harmed.
func noDescriptors() {
	metrics().shortages.Inc()
	warn(ofHolds, "", "hardly a file descriptor is left: new connections wait until others end; raise LimitNOFILE in the service's unit (or ulimit -n), or lower max_holds")
}

// newestApp is the newest started generation, nil if none is.
func newestApp() *App {
	process.mu.Lock()
	defer process.mu.Unlock()
	if len(process.running) == 0 {
		return nil
	}
	return process.running[len(process.running)-1]
}

// runningHubs returns the hubs of the newest started generation, in the order
// of their names.
func runningHubs() []*sharedHub {
	if app := newestApp(); app != nil {
		return app.sharedHubs()
	}
	return nil
}

// watching returns the state of all file watches.
func watching() []source.Status {
	process.mu.Lock()
	files := process.files
	process.mu.Unlock()
	if files == nil {
		return nil
	}
	return files.Status()
}
