//go:build linux

// Command visitors plays the crowd of the demo's proof: it opens NovComet polls on the two sides (the same PHP files
// with caddy-comet in front and without), and counts what that does to php-fpm and to the time of the home page.
//
// It belongs to the demo and to nothing else. php-demo/run.sh starts it; Caddy gives it the paths /_demo/*.
package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

func main() {
	var (
		socket  = flag.String("socket", "", "unix `path` to serve /_demo/* on")
		with    = flag.String("with", "http://127.0.0.1:8080", "`URL` of the site with caddy-comet")
		without = flag.String("without", "http://127.0.0.1:8081", "`URL` of the site without")
		status  = flag.String("status", "http://127.0.0.1:2021", "`URL` that gives php-fpm's status at /with and /without")
		publish = flag.String("publish", "http://127.0.0.1:2020", "`URL` of comet_publish")

		withSocket    = flag.String("with-fpm", "", "unix `path` that the first php-fpm listens on")
		withoutSocket = flag.String("without-fpm", "", "unix `path` that the second php-fpm listens on")
		pidFile       = flag.String("without-pid", "", "`file` with the pid of the second php-fpm, for its restart")

		check = flag.Bool("check", false, "hold one poll, let PHP touch, print how long the answer took, and end")
	)
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	sides := map[string]*side{
		"with":    newSide(*with, roomFor(5000)),
		"without": newSide(*without, 500),
	}
	sampler := &sampler{
		sides:   sides,
		fpm:     map[string]fpmProbe{"with": {*status + "/with", *withSocket}, "without": {*status + "/without", *withoutSocket}},
		publish: *publish,
	}

	var err error
	if *check {
		err = selfCheck(ctx, sides["with"], sampler)
	} else {
		err = serve(ctx, *socket, &demo{sides: sides, sampler: sampler, withoutPid: *pidFile, lifetime: ctx})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "visitors:", err)
		os.Exit(1)
	}
}

// roomFor lowers a number of visitors to what this process may open; each is one connection.
func roomFor(visitors int) int {
	const ownFiles = 100
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur > uint64(visitors+ownFiles) {
		return visitors
	}
	return max(0, int(limit.Cur)-ownFiles)
}

func serve(ctx context.Context, socket string, d *demo) error {
	if socket == "" {
		return errors.New("-socket is missing; php-demo/run.sh knows what to pass")
	}
	listener, err := net.Listen("unix", socket)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	server := &http.Server{Handler: d.handler(), ReadHeaderTimeout: 5 * time.Second}
	go func() {
		<-ctx.Done()
		server.Close()
	}()
	go d.sampler.run(ctx)
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// demo answers the page's buttons and counters.
type demo struct {
	sides      map[string]*side
	sampler    *sampler
	withoutPid string
	lifetime   context.Context // of the process: visitors outlive the click that brought them
}

func (d *demo) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_demo/stats", d.stats)
	mux.HandleFunc("POST /_demo/visitors", d.add)
	mux.HandleFunc("POST /_demo/visitors/clear", d.clear)
	mux.HandleFunc("POST /_demo/restart", d.restart)
	// Other sites' pages may not press our buttons (Sec-Fetch-Site, and Origin against Host).
	return http.NewCrossOriginProtection().Handler(mux)
}

func (d *demo) stats(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, d.sampler.read(r.Context()))
}

func (d *demo) add(w http.ResponseWriter, r *http.Request) {
	side, n, err := readAdd(d.sides, r.FormValue("side"), r.FormValue("n"))
	if err != nil {
		answer(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
		return
	}
	side.add(d.lifetime, n)
	answer(w, http.StatusOK, map[string]int{"visitors": side.count(), "max": side.room})
}

// readAdd checks what the page asks for. More visitors than there is room for are no mistake: add stops there.
func readAdd(sides map[string]*side, name, number string) (*side, int, error) {
	side := sides[name]
	if side == nil {
		return nil, 0, errors.New(`side is "with" or "without"`)
	}
	n, err := strconv.Atoi(cmp.Or(number, "100"))
	if err != nil || n < 1 || n > 5000 {
		return nil, 0, errors.New("n is a number from 1 to 5000")
	}
	return side, n, nil
}

func (d *demo) clear(w http.ResponseWriter, _ *http.Request) {
	for _, side := range d.sides {
		side.clear()
	}
	answer(w, http.StatusOK, map[string]int{"visitors": 0})
}

// restart ends the php-fpm of the side without us, as its admin would in the end: PHP works off the whole queue of
// visitors who have long left, 40 seconds each. run.sh starts it again.
func (d *demo) restart(w http.ResponseWriter, _ *http.Request) {
	if err := endFPM(d.withoutPid); err != nil {
		answer(w, http.StatusInternalServerError, map[string]string{"error": err.Error()})
		return
	}
	answer(w, http.StatusOK, map[string]bool{"restarting": true})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a browser that left is no one's mistake
}
