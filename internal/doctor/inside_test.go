package doctor

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

const debianPool = `; a comment
[global]
error_log = /var/log/php.log
[shop]
user = shop
listen = /run/php/$pool.sock
pm.status_path = /status
php_admin_value[open_basedir] = /srv/www/shop:/run/comet/shop
[www]
user = www-data
listen = /run/php/php8.2-fpm.sock
php_admin_value[output_buffering] = 0
[port]
listen = 127.0.0.1:9000
`

var debian = map[string]string{
	"/etc/php/8.2/fpm/pool.d/all.conf":     debianPool,
	"/etc/php/8.2/fpm/php.ini":             "[PHP]\nerror_reporting = E_ALL & ~E_DEPRECATED\noutput_buffering = 4096\n",
	"/etc/php/8.2/fpm/conf.d/20-curl.ini":  "extension=curl.so\n",
	"/etc/php/8.2/fpm/pool.d/binary.conf":  "\x00\xff[",
	"/etc/php/8.2/fpm/pool.d/nothing.conf": "",
}

// TestPoolsAreFound by the address that the Caddyfile has.
func TestPoolsAreFound(t *testing.T) {
	m := newMachine(t, debian)
	pools := Pools(m.fs)
	if len(pools) != 3 {
		t.Fatalf("%+v", pools)
	}
	for dial, want := range map[string]string{
		"unix//run/php/shop.sock": "shop", "unix//run/php/php-fpm.sock": "www", "127.0.0.1:9000": "port", "localhost:9000": "port",
		"unix//run/php/other.sock": "", "127.0.0.1:9001": "",
	} {
		name := ""
		for _, p := range poolsAt(m, pools, dial) {
			name += p.Name
		}
		if name != want {
			t.Errorf("%s: %q, want %q", dial, name, want)
		}
	}
	for i, want := range []string{"4096", "0", "4096"} {
		if got, _ := pools[i].setting(m.fs, "output_buffering"); got != want {
			t.Errorf("%s: output_buffering %q, want %q", pools[i].Name, got, want)
		}
	}
}

// TestPHPIsLookedAt behind the server.
func TestPHPIsLookedAt(t *testing.T) {
	m := newMachine(t, debian)
	for _, socket := range []string{"/run/php/shop.sock", "/run/php/closed.sock"} {
		if err := m.fs.MkdirAll(socket, 0o755); err != nil { // anything that is there
			t.Fatal(err)
		}
	}
	m.denied = []string{"caddy w /run/php/closed.sock"}
	php, facts := &PHP{Pools: Pools(m.fs)}, &Facts{Process: Process{UID: 900}}
	look := func(s Site) []Finding { return php.Check(m, &Setup{Sites: []Site{s, s}}, facts) }

	found := look(Site{Dial: []string{"unix//run/php/shop.sock"}})
	finds(t, found, OK, "the pool shop at unix//run/php/shop.sock runs as shop (output_buffering 4096", "")
	if len(found) != 1 {
		t.Errorf("each is told of once: %+v", found)
	}
	finds(t, look(Site{Dial: []string{"unix//run/php/shop.sock"}, Streams: true}), Warn, "PHP collects 4096 bytes", "php_admin_value[output_buffering] = 0   ; in /etc/php/8.2/fpm/pool.d/all.conf")
	finds(t, look(Site{Dial: []string{"unix//run/php/gone.sock"}}), Fail, "php-fpm cannot be reached at unix//run/php/gone.sock", "systemctl start")
	finds(t, look(Site{Dial: []string{"unix//run/php/closed.sock"}}), Fail, "the server's user caddy may not connect", "listen.owner = caddy")
	finds(t, look(Site{Dial: []string{"127.0.0.1:9999"}}), Unknown, "no pool file", "--fpm-config")
	if found := look(Site{Dial: []string{"127.0.0.1:8080"}, Proxy: true}); len(found) != 0 {
		t.Errorf("what is no php-fpm: %+v", found)
	}
}

// TestDirectoriesGetTheExactCure for whose they are and where.
func TestDirectoriesGetTheExactCure(t *testing.T) {
	setup := &Setup{Sites: []Site{{Hubs: []string{"shop"}, Dial: []string{"unix//run/php/shop.sock"}}}}
	for _, c := range []struct {
		name    string
		watch   Watch
		denied  []string
		closed  bool
		phpUser string
		verdict Verdict
		seen    string
		cure    string
	}{
		{name: "all is well", watch: Watch{Glob: "/run/comet/shop/*.jsonl", Mode: "inotify"}, verdict: OK, seen: "PHP's user shop can write in /run/comet/shop"},
		{name: "inotify", watch: Watch{Glob: "/run/comet/shop/*.jsonl", Mode: "inotify"}, verdict: OK, seen: "by inotify, at once"},
		{name: "missing in memory", watch: Watch{Glob: "/run/comet/new/*.comet"}, verdict: Fail, seen: "the watched directory /run/comet/new is not there",
			cure: "echo 'd /run/comet/new 2750 shop 4200900 -' >> /etc/tmpfiles.d/comet.conf && systemd-tmpfiles --create comet.conf"},
		{name: "missing on the disk", watch: Watch{Glob: "/srv/new/*.comet"}, verdict: Fail, seen: "/srv/new is not there", cure: "install -d -o shop -g 4200900 -m 2750 /srv/new"},
		{name: "not writable", watch: Watch{Glob: "/srv/other/*.comet"}, denied: []string{"shop wx /srv/other"}, verdict: Fail,
			seen: "PHP's user shop cannot write in /srv/other", cure: "setfacl -m u:shop:rwx /srv/other"},
		{name: "not to be entered above", watch: Watch{Glob: "/srv/other/*.comet"}, denied: []string{"shop wx /srv/other", "shop x /srv"}, verdict: Fail,
			seen: "cannot write", cure: "setfacl -m u:shop:x /srv\nsetfacl -m u:shop:rwx /srv/other"},
		{name: "the user by name", watch: Watch{Glob: "/srv/other/*.comet"}, denied: []string{"www-data wx /srv/other"}, phpUser: "www-data", verdict: Fail, seen: "PHP's user www-data cannot write"},
		{name: "the owner", watch: Watch{Glob: "/srv/other/*.comet", Owner: "33"}, verdict: OK, seen: "PHP's user www-data can write"},
		{name: "not readable", watch: Watch{Glob: "/srv/other/*.comet"}, denied: []string{"caddy rx /srv/other"}, verdict: Fail,
			seen: "the server's user caddy cannot read /srv/other", cure: "setfacl -m u:caddy:rx /srv/other && setfacl -d -m u:caddy:r /srv/other"},
		{name: "not to be known", watch: Watch{Glob: "/srv/other/*.comet"}, closed: true, verdict: Unknown, seen: "only root can find out", cure: "sudo "},
		{name: "no pool", watch: Watch{Hub: "forum", Glob: "/srv/other/*.comet"}, verdict: Unknown, seen: "as which user PHP writes", cure: "--php-user"},
		{name: "a network's", watch: Watch{Glob: "/srv/other/*.comet", Mode: "polling", Why: "file system nfs"}, verdict: Warn, seen: "file system nfs", cure: "/run/comet/other/*.comet"},
		{name: "no watches left", watch: Watch{Glob: "/srv/other/*.comet", Mode: "polling", Why: "no space left on device"}, verdict: Warn, seen: "no space left", cure: "sysctl -w fs.inotify"},
		{name: "below tmp", watch: Watch{Glob: "/tmp/a/*.comet"}, verdict: Warn, seen: "/tmp/a is below /tmp", cure: "watch /run/comet/a/*.comet"},
		{name: "trouble", watch: Watch{Glob: "/srv/other/*.comet", LastError: "cannot read watched file"}, verdict: Warn, seen: "cannot read watched file", cure: "journalctl"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newMachine(t, debian)
			for _, dir := range []string{"/run/comet/shop", "/srv/other", "/tmp/a"} {
				if err := m.fs.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
			}
			m.denied, m.open = c.denied, !c.closed
			if c.watch.Hub == "" {
				c.watch.Hub = "shop"
			}
			facts := &Facts{Process: Process{UID: 900, GID: 4200900}, Watches: []Watch{c.watch}}
			found := Files(m, setup, facts, &PHP{Pools: Pools(m.fs), User: c.phpUser})
			finds(t, found, c.verdict, c.seen, c.cure)
			if c.verdict == OK && worst(found...) != OK {
				t.Errorf("not all is well: %+v", found)
			}
		})
	}
}

// TestLinesAreListed with what mixes and what cuts them.
func TestLinesAreListed(t *testing.T) {
	finds(t, Lines(new(Setup), new(Facts)), Fail, "no comet line", "comet /comet/*")
	line := func(hub, host string) Line {
		return Line{Dialect: "native", Hub: hub, Listen: []string{":443"}, Hosts: []string{host}, Paths: []string{"/comet/*"}, Guards: []string{"token"}}
	}
	found := Lines(&Setup{Lines: []Line{line("default", "a.example"), line("default", "b.example")}, Servers: []Server{{Listen: []string{":443"}, WriteTimeout: time.Minute, Comet: true}, {WriteTimeout: 1}}},
		&Facts{Hubs: []Hub{{Name: "default", Held: 3}}})
	finds(t, found, OK, "a.example /comet/* on :443 is held (native) in the hub default; who may listen: token", "")
	finds(t, found, Warn, "the sites a.example, b.example share the hub default", "hub shop")
	finds(t, found, Warn, "the server on :443 cuts held requests after its write timeout of 1m0s", "write 1m0s")
	finds(t, found, OK, "3 requests are held now", "")
	if worst(Lines(&Setup{Lines: []Line{line("shop", "a.example"), line("forum", "b.example")}}, new(Facts))...) != OK {
		t.Error("two hubs are not fine")
	}
}

// TestLimitsAreCompared with what the hubs may hold.
func TestLimitsAreCompared(t *testing.T) {
	m := newMachine(t, map[string]string{"/proc/sys/net/core/somaxconn": "128\n", "/proc/sys/fs/file-max": "9223372036854775807\n", "/proc/sys/net/netfilter/nf_conntrack_max": "nonsense"})
	hubs := []Hub{{Name: "a", MaxHolds: 3000}, {Name: "b", MaxHolds: 4000}, {Name: "a/doorbell", MaxHolds: 3000}}
	found := Limits(m, &Facts{Hubs: hubs, Process: Process{OpenFiles: 7999}})
	finds(t, found, Warn, "the server may have 7999 files open, and max_holds is 7000 altogether", "LimitNOFILE")
	finds(t, found, Warn, "net.core.somaxconn is 128", "echo 'net.core.somaxconn = 1024' >> /etc/sysctl.d/90-comet.conf")
	if len(found) != 2 {
		t.Errorf("%+v", found)
	}
	full := []Hub{{Name: "a", MaxHolds: 341, NoHolds: 12}, {Name: "b", MaxHolds: 10, MaxChannels: 40, NoChannels: 3}, {Name: "a/doorbell", MaxHolds: 341, MaxChannels: 50, NoChannels: 1}, {Name: "c", MaxHolds: 5}}
	found = Full(&Facts{Hubs: full})
	finds(t, found, Warn, "the hub a has refused 12 requests for want of room: max_holds is 341", "max_holds 682   # in the block of the hub a;")
	finds(t, found, Warn, "the hub b has refused 3 requests for want of room: max_channels is 40", "max_channels 80   # in the block of the hub b;")
	finds(t, found, Warn, "the hub a/doorbell has refused 1 requests for want of room: the count of keep is 50", "keep 10m 100   # in the block of the doorbell line of the hub a")
	if len(found) != 3 {
		t.Errorf("%+v", found)
	}
	finds(t, Limits(m, &Facts{Hubs: hubs, Process: Process{OpenFiles: 8000}}), OK, "8000 files", "")
	finds(t, Limits(m, &Facts{Hubs: hubs}), Unknown, "not told by this system", "")
	if n := openFiles(strings.NewReader("Limit   Soft  Hard\nMax open files            1024                 524288               files \n")); n != 1024 {
		t.Errorf("%d", n)
	}
	if ThisProcess().PID == 0 {
		t.Error("we are nobody")
	}
}

// TestPublishersAreTried by each name that PHP may use.
func TestPublishersAreTried(t *testing.T) {
	m := newMachine(t, debian)
	m.denied = []string{"shop w /run/p.sock"}
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.Host, "127.0.0.1") {
			w.WriteHeader(http.StatusForbidden) // which is an answer
			_, _ = w.Write([]byte(`{"error":"no"}`))
		}
	}))
	defer endpoint.Close()
	address := strings.TrimPrefix(endpoint.URL, "http://")
	php := &PHP{Pools: Pools(m.fs)}
	setup := &Setup{
		Publishers: []Publisher{{Hub: "shop", Listen: []string{address}, Hosts: []string{"127.0.0.1"}}, {Hub: "shop", Listen: []string{"unix//run/p.sock"}, Users: []string{"forum"}}},
		Sites:      []Site{{Hubs: []string{"shop"}, Dial: []string{"unix//run/php/shop.sock"}}},
		Backends:   []string{"back"},
	}
	found := Publish(m, setup, &Facts{Hubs: []Hub{{Name: "shop"}, {Name: "back"}, {Name: "empty"}, {Name: "empty/doorbell"}}}, php)
	finds(t, found, OK, "the hub shop by posts to "+address+" (whoever on this machine reaches it), posts to unix//run/p.sock (the users forum)", "")
	finds(t, found, OK, "the hub back by headers of PHP's answers", "")
	finds(t, found, Warn, "nothing publishes in the hub empty:", "comet_publish")
	finds(t, found, Warn, "posts to http://localhost:"+portOf(address)+" get an empty 200", "http://127.0.0.1:"+portOf(address)+", http://localhost:")
	finds(t, found, OK, "the publish endpoint at "+address+" answers", "")
	finds(t, found, Fail, "the user shop may not connect to the socket /run/p.sock", "|0666")
	finds(t, found, Warn, "runs as shop, who is not among those who may publish at /run/p.sock: forum", "user shop")
	finds(t, found, Fail, "the publish endpoint /run/p.sock does not answer: no such file or directory", "journalctl")
}

// TestHubsHaveOneOrder in what the server tells and in its configuration.
func TestHubsHaveOneOrder(t *testing.T) {
	setup := &Setup{
		Lines:      []Line{{Hub: "t10", Dialect: "b"}, {Hub: "t10", Dialect: "a"}, {Hub: "t2"}, {Hub: "t1"}},
		Publishers: []Publisher{{Hub: "t10"}, {Hub: "t1"}, {Hub: "t2"}},
		Sites:      []Site{{Hubs: []string{"t10"}}, {Hubs: []string{"t2"}}, {}},
		Backends:   []string{"t10", "t2"},
	}
	facts := &Facts{Hubs: []Hub{{Name: "t10"}, {Name: "t2"}}, Watches: []Watch{{Hub: "t10"}, {Hub: "t2", Glob: "/b10"}, {Hub: "t2", Glob: "/b9"}}}
	facts.Sort()
	got := fmt.Sprint(setup.Ordered(), facts.Hubs[0].Name, facts.Watches[0].Glob, facts.Watches[2].Hub)
	want := fmt.Sprint(&Setup{
		Lines:      []Line{{Hub: "t1"}, {Hub: "t2"}, {Hub: "t10", Dialect: "b"}, {Hub: "t10", Dialect: "a"}},
		Publishers: []Publisher{{Hub: "t1"}, {Hub: "t2"}, {Hub: "t10"}},
		Sites:      []Site{{}, {Hubs: []string{"t2"}}, {Hubs: []string{"t10"}}},
		Backends:   []string{"t2", "t10"},
	}, "t2", "/b9", "t10")
	if got != want || setup.Lines[0].Hub != "t10" {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}
