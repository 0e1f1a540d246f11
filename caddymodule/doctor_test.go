package caddymodule

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/doctor"
)

// diagnosis runs `caddy comet doctor` and reads what it found.
func diagnosis(t *testing.T, args ...string) (report doctor.Report, code int) {
	t.Helper()
	out, errs, code := run(t, "", append([]string{"doctor", "--json", "--wait", "1s"}, args...)...)
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("%v: %d %q %q", err, code, out, errs)
	}
	return report, code
}

// finds looks for a finding of the check with a part of its text.
func finds(t *testing.T, r doctor.Report, check string, verdict doctor.Verdict, seen, cure string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.Check == check && f.Verdict == verdict && strings.Contains(f.Seen, seen) && strings.Contains(f.Cure, cure) {
			return
		}
	}
	t.Errorf("%s has not %s %q, %q in\n%+v", check, verdict, seen, cure, r.Findings)
}

// TestTheDoctorVisitsTheSite and sees that all is well, also where a visitor may not
// listen, and in each dialect.
func TestTheDoctorVisitsTheSite(t *testing.T) {
	for name, line := range map[string]string{
		"native": "comet /comet/*", "novcomet": "comet /comet.php* novcomet", "doorbell": "comet /ring/* doorbell",
		"a site that lets nobody listen": "comet /comet/* {\ntoken 0123456789abcdef0123456789abcdef\n}",
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, "", "http://SITE {\nbind 127.0.0.1\n"+line+"\nrespond \"the site\"\n}\nhttp://PUBLISH {\nbind 127.0.0.1\ncomet_publish\n}")
			r, _ := diagnosis(t, "--address", "unix/"+s.dir+"/admin.sock", "http://"+s.site)
			finds(t, r, "server", doctor.OK, "the server runs as", "")
			finds(t, r, "lines", doctor.OK, "is held", "")
			finds(t, r, "publish", doctor.Warn, "posts to http://localhost:", "http://"+s.publish+", http://localhost:")
			finds(t, r, "publish", doctor.OK, "the publish endpoint at "+s.publish+" answers", "")
			finds(t, r, "reach", doctor.OK, "comes to a comet line", "")
			finds(t, r, "streaming", doctor.OK, "one by one", "")
			finds(t, r, "silence", doctor.Unknown, "nothing cuts a request that is silent for 1s", "--wait 35s")
			finds(t, r, "host", doctor.OK, s.site, "")
			if strings.Contains(line, "/comet/*") {
				finds(t, r, "websocket", doctor.OK, "comes through", "")
			}
		})
	}
}

// TestTheDoctorIsContent where there is nothing to do, and says so by its exit code.
func TestTheDoctorIsContent(t *testing.T) {
	s := newServer(t)
	_, port, _ := net.SplitHostPort(s.publish)
	s.reload("comet {\nmax_holds 100\n}", "http://SITE {\nbind 127.0.0.1\ncomet /comet/*\n}\nhttp://PUBLISH, http://localhost:"+port+" {\nbind 127.0.0.1\ncomet_publish\n}")
	r, code := diagnosis(t, "--address", "unix/"+s.dir+"/admin.sock", "http://"+s.site)
	if code != 0 {
		t.Errorf("the exit code is %d: %+v", code, r.Findings)
	}
	for _, f := range r.Findings {
		if f.Verdict != doctor.OK && f.Verdict != doctor.Unknown || f.Page != "" {
			t.Errorf("%+v", f)
		}
	}
}

// TestTheDoctorLooksAtOneHub alone, where one is named.
func TestTheDoctorLooksAtOneHub(t *testing.T) {
	shop, forum := unique("shop"), unique("forum")
	s := start(t, "comet {\nhub "+shop+" {\nwatch DIR/shop/*.comet\nmax_holds 7\n}\nhub "+forum+" {\nwatch DIR/forum/*.comet\nmax_holds 20\n}\n}",
		"http://SITE {\nbind 127.0.0.1\ncomet /shop/* {\nhub "+shop+"\n}\ncomet /ring/* doorbell {\nhub "+shop+"\n}\ncomet /forum/* {\nhub "+forum+"\n}\n}\nhttp://PUBLISH {\nbind 127.0.0.1\ncomet_publish "+forum+" {\nkey 0123456789abcdef\n}\n}")
	address := "unix/" + s.dir + "/admin.sock"
	for _, hub := range []string{shop, forum} {
		r, _ := diagnosis(t, "--address", address, "--hub", hub)
		other := map[string]string{shop: forum, forum: shop}[hub]
		finds(t, r, "lines", doctor.OK, "in the hub "+hub+";", "")
		finds(t, r, "publish", doctor.OK, "events come into the hub "+hub, "")
		finds(t, r, "limits", doctor.OK, "max_holds is 27 altogether", "")
		for _, f := range r.Findings {
			for _, word := range []string{other, "/" + other[:5], s.publish} {
				if strings.Contains(f.Seen, word) && (word != s.publish || hub == shop) {
					t.Errorf("of %s it is said: %s", hub, f.Seen)
				}
			}
		}
	}
	r, _ := diagnosis(t, "--address", address, "--hub", shop)
	finds(t, r, "lines", doctor.OK, "in the hub "+shop+"/doorbell;", "")
	for args, want := range map[string]string{
		"--address " + address + " --hub nosuchhub":     "there is no hub \"nosuchhub\" in the running configuration",
		"--address " + address + " --key-file keys":     "--key-file is not for the doctor",
		"--socket /run/comet/publish/" + shop + ".sock": "--socket is not for the doctor",
	} {
		if out, errs, code := run(t, "", append([]string{"doctor"}, strings.Fields(args)...)...); code == 0 || !strings.Contains(errs, want) {
			t.Errorf("%s: %d %q %q", args, code, out, errs)
		}
	}
}

// TestHubsHaveOneOrder wherever there is a list of them.
func TestHubsHaveOneOrder(t *testing.T) {
	prefix := unique("tenant") + "-"
	var globals, site, want string
	for _, n := range []string{"10", "2", "1"} {
		globals += "hub " + prefix + n + " {\nwatch DIR/" + n + "/*.comet\nmax_holds 10\n}\n"
		site += "comet /" + n + "/* {\nhub " + prefix + n + "\n}\n"
		want = prefix + n + " " + want
	}
	s := start(t, "comet {\n"+globals+"}", "http://SITE {\nbind 127.0.0.1\n"+site+"}")
	order := func(text string) (got string) {
		for _, name := range regexp.MustCompile(regexp.QuoteMeta(prefix)+`\d+`).FindAllString(text, -1) {
			if !strings.HasSuffix(got, name+" ") {
				got += name + " "
			}
		}
		return got
	}
	address := []string{"--address", "unix/" + s.dir + "/admin.sock"}
	status, _, _ := run(t, "", append([]string{"status"}, address...)...)
	_, several, _ := run(t, "", append([]string{"publish", "a"}, address...)...)
	report, _ := diagnosis(t, address...)
	seen := make(map[string]string)
	for _, f := range report.Findings {
		seen[f.Check] += f.Seen + "\n"
	}
	for what, text := range map[string]string{"hubs": strings.Split(status, "\n\n")[0], "which": several, "lines": seen["lines"], "publish": seen["publish"]} {
		if got := order(text); got != want {
			t.Errorf("%s: %s, want %s\n%s", what, got, want, text)
		}
	}
}

// TestTheDoctorsPassOpensNothing but the channel of its own name.
func TestTheDoctorsPassOpensNothing(t *testing.T) {
	s := start(t, "", "http://SITE {\nbind 127.0.0.1\ncomet /comet/* {\ntoken 0123456789abcdef0123456789abcdef\n}\n}\nhttp://PUBLISH {\nbind 127.0.0.1\ncomet_publish\n}")
	admin, base := s.admin(), "http://127.0.0.1/comet/_doctor"
	s.must("orders", "secret")
	var made struct{ Pass string }
	a := send(admin, "POST", base, "")
	if err := json.Unmarshal([]byte(a.body), &made); err != nil || len(made.Pass) < 30 {
		t.Fatalf("%q %v", a.body, err)
	}
	url := "http://" + s.site + "/comet/orders?since=all&wait=0"
	get(url).wants(t, 401, "")
	get(url, doctorHeader, "doctor-guessed").wants(t, 401, "")
	got := get(url, doctorHeader, made.Pass)
	got.wants(t, 200, `"events":[]`)
	send(admin, "POST", "http://127.0.0.1/comet/default/"+made.Pass, "x").wants(t, 200, "cursor")
	get(url, doctorHeader, made.Pass).wants(t, 200, `"channel":"`+made.Pass+`"`)
	get(url+"&as=websocket", doctorHeader, made.Pass).wants(t, 400, "")
	send(admin, "GET", base+"/"+made.Pass, "").wants(t, 200, `"host":"`+s.site+`"`)
	send(admin, "DELETE", base+"/"+made.Pass, "").wants(t, 200, "arrivals")
	get(url, doctorHeader, made.Pass).wants(t, 401, "")
	send(admin, "GET", base+"/"+made.Pass, "").wants(t, 404, "this pass is not known")
	send(admin, "PATCH", base, "").wants(t, 405, "")
}

// TestThereAreFewPasses: the oldest goes for a new one, and each knows few arrivals.
func TestThereAreFewPasses(t *testing.T) {
	s := start(t, "", oneSite)
	names := make([]string, 0, maxPasses+1)
	for range maxPasses + 1 {
		var made struct{ Pass string }
		if err := json.Unmarshal([]byte(send(s.admin(), "POST", "http://127.0.0.1/comet/_doctor", "").body), &made); err != nil {
			t.Fatal(err)
		}
		names = append(names, made.Pass)
	}
	if arrive(names[0], doctor.Arrival{}) {
		t.Error("the oldest pass is still good")
	}
	if old := newPass(time.Now().Add(-passTime - time.Second)); arrive(old, doctor.Arrival{}) {
		t.Error("a pass is good after its time")
	}
	last := names[maxPasses]
	for range 2 * maxArrivals {
		if !arrive(last, doctor.Arrival{}) {
			t.Fatal("the newest pass is not good")
		}
	}
	visits.mu.Lock()
	defer visits.mu.Unlock()
	if n, arrived := len(visits.passes), len(visits.passes[last].arrivals); n != maxPasses || arrived != maxArrivals {
		t.Errorf("%d passes, %d arrivals", n, arrived)
	}
}

// TestTheDoctorSaysWhyItCannotLook where nothing runs, or something else.
func TestTheDoctorSaysWhyItCannotLook(t *testing.T) {
	nobody := freeAddress(t)
	r, code := diagnosis(t, "--address", nobody)
	finds(t, r, "server", doctor.Fail, "no server answers at the admin endpoint "+nobody, "systemctl start caddy-comet")
	if code != 2 {
		t.Errorf("the exit code is %d", code)
	}
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	r, _ = diagnosis(t, "--address", strings.TrimPrefix(other.URL, "http://"))
	finds(t, r, "server", doctor.Fail, "has no comet in it", "another Caddy")

	s := newServer(t)
	if err := loadJSON(`{"admin":{"listen":"unix/` + s.dir + `/admin.sock","config":{"persist":false}}}`); err != nil {
		t.Fatal(err)
	}
	r, _ = diagnosis(t, "--address", "unix/"+s.dir+"/admin.sock")
	finds(t, r, "lines", doctor.Fail, "has no comet line", "comet /comet/*")

	for _, args := range [][]string{{"--wait", "1ms"}, {"--wait", "24h"}, {"--header", "nonsense"}, {"a", "b"}} {
		if out, errs, code := run(t, "", append([]string{"doctor", "--address", nobody}, args...)...); code == 0 || out != "" || errs == "" {
			t.Errorf("%v: %d %q %q", args, code, out, errs)
		}
	}
}

// TestTheDoctorComesFromAnotherMachine, where he sees less and says so.
func TestTheDoctorComesFromAnotherMachine(t *testing.T) {
	s, nobody := start(t, "", simple), freeAddress(t)
	r, code := diagnosis(t, "--address", nobody, "http://"+s.site)
	finds(t, r, "server", doctor.Warn, "only what can be seen from outside", "")
	finds(t, r, "reach", doctor.OK, "is held by a caddy-comet", "")
	finds(t, r, "streaming", doctor.Unknown, "a stream begins at once", "sudo")
	finds(t, r, "silence", doctor.Unknown, "silent for 1s", "")
	finds(t, r, "address", doctor.Unknown, "not known without the admin endpoint", "")
	if code != 1 {
		t.Errorf("the exit code is %d", code)
	}
}

// TestTheRightServerIsFound among the places where one may be.
func TestTheRightServerIsFound(t *testing.T) {
	s, nobody := start(t, "", oneSite), freeAddress(t)
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	stranger, ours := strings.TrimPrefix(other.URL, "http://"), "unix/"+s.dir+"/admin.sock"
	for _, c := range []struct {
		places []string
		want   string
	}{
		{[]string{nobody, ours}, ours}, {[]string{stranger, ours}, ours}, {[]string{ours, stranger}, ours},
		{[]string{nobody, stranger}, stranger}, {[]string{stranger, nobody}, stranger}, {[]string{nobody, "unix//nowhere/admin.sock"}, nobody},
	} {
		if got := findServer(c.places); got.address != c.want || (got.err == nil) != (c.want == ours) {
			t.Errorf("%v: %s %v", c.places, got.address, got.err)
		}
	}
}

// TestTheDoctorSaysWhatAnswersInstead of a comet line.
func TestTheDoctorSaysWhatAnswersInstead(t *testing.T) {
	s := start(t, "", simple)
	address := "unix/" + s.dir + "/admin.sock"
	answer := func(status int, header, body string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) {
			if name, value, ok := strings.Cut(header, ": "); ok {
				w.Header().Set(name, value)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, c := range []struct {
		name       string
		serve      http.HandlerFunc
		seen, cure string
	}{
		{"a redirect to https", answer(301, "Location: https://example.com/comet/?wait=0", ""), "leads to https://example.com/comet/", "doctor https://example.com/comet/"},
		{"a redirect to a login", answer(302, "Location: /login.php?back=1", ""), "asks for a login (302 Found to /login.php?back=1)", "--header"},
		{"a login page", answer(200, "Content-Type: text/html", "<html><title>Sign in</title><input type=\"password\">"), "asks for a login (200 OK, a page with the title Sign in)", "--header"},
		{"basic authentication", answer(401, "WWW-Authenticate: Basic", ""), "asks for a login (401 Unauthorized)", "--header"},
		{"a page", answer(404, "Content-Type: text/html", "<title>\n Not here \x1b[2J</title>"), "by something else than a comet line", "handle block"},
		{"nginx without a server behind it", answer(502, "Server: nginx/1.22", "<title>502"), "502 Bad Gateway: the proxy there does not reach", "nginx"},
		{"another comet", answer(200, "Content-Type: application/json", `{"cursor":"a.1","events":[]}`), "is held by another server than the one at", "--address"},
	} {
		t.Run(c.name, func(t *testing.T) {
			site := httptest.NewServer(c.serve)
			defer site.Close()
			r, code := diagnosis(t, "--address", address, site.URL)
			finds(t, r, "reach", doctor.Fail, c.seen, c.cure)
			if strings.Contains(fmt.Sprint(r), "wait=0") {
				t.Errorf("our own query is shown: %v", r)
			}
			if code != 2 {
				t.Errorf("the exit code is %d", code)
			}
		})
	}
	gone := freeAddress(t)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	defer secure.Close()
	without := httptest.NewUnstartedServer(http.NotFoundHandler())
	without.TLS = &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, errors.New("not yet") }}
	without.StartTLS()
	defer without.Close()
	for _, c := range []struct{ url, seen, cure string }{
		{"http://" + gone, "nobody listens at " + gone, "ss -ltn"},
		{"https://" + s.site, "does not speak TLS", "doctor http://" + s.site},
		{secure.URL, "is signed by nobody whom this machine trusts", "caddy-comet trust"},
		{strings.Replace(without.URL, "127.0.0.1", "localhost", 1), "has no certificate for this name", "journalctl -u caddy-comet"},
		{"http://no-such-name.invalid", "the name no-such-name.invalid is not known", "getent hosts"},
		{"ftp://example.com", `"ftp://example.com" is no address of a site`, "https://"},
	} {
		r, _ := diagnosis(t, "--address", address, c.url)
		finds(t, r, "reach", doctor.Fail, c.seen, c.cure)
	}
}

// TestTheDoctorPrints in words that a terminal may show as they are.
func TestTheDoctorPrints(t *testing.T) {
	s := start(t, "", simple)
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "<title>\x1b[31mred</title>")
	}))
	defer site.Close()
	out, errs, code := run(t, "", "doctor", "--address", "unix/"+s.dir+"/admin.sock", site.URL)
	if code != 2 || strings.Contains(out, "\x1b") || !strings.Contains(out, "FAIL     reach ") ||
		!strings.Contains(out, "see docs/troubleshooting.md#something-else-answers") || !strings.Contains(out, "failures, ") {
		t.Errorf("%d %q %q", code, out, errs)
	}
}

// TestTheDoctorReadsTheConfiguration as Caddy has it.
func TestTheDoctorReadsTheConfiguration(t *testing.T) {
	s := newServer(t)
	config := s.adapt("comet {\nhub shop {\nwatch DIR/shop/*.jsonl lines\n}\nhub forum\n}\nservers {\ntimeouts {\nwrite 3s\n}\n}", `
http://shop.example:PORT {
	comet /comet/* {
		hub shop
		token 0123456789abcdef0123456789abcdef
	}
	comet /ring/* doorbell {
		hub shop
	}
	php_fastcgi unix//run/php/shop.sock {
		env REMOTE_ADDR {client_ip}
		flush_interval -1
	}
}
http://forum.example:PORT {
	handle /live/* {
		comet {
			hub forum
		}
	}
	handle {
		comet_backend {
			hub forum
			publish
		}
		reverse_proxy 127.0.0.1:8080
	}
}
http:// {
	bind unix/DIR/p.sock|0666
	comet_publish shop {
		user nobody
	}
}
http:// {
	bind unix/DIR/p.sock2
	comet_publish forum {
		jwt_key {env.GRIP_KEY} forum
	}
}`)
	got, err := readSetup(config)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.MarshalIndent(got, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	compared := strings.NewReplacer(s.dir, "DIR", s.site[strings.LastIndexByte(s.site, ':'):], ":PORT").Replace(string(text)) + "\n"
	const golden = "testdata/doctor-setup.json"
	if os.Getenv("COMET_UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(compared), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || string(want) != compared {
		t.Errorf("%v: read\n%s", err, compared)
	}
	if _, err := readSetup([]byte("[]")); err == nil {
		t.Error("what is no configuration is read")
	}
}

// TestASiteWithoutANameIsRead as one, whose routes Caddy has side by side.
func TestASiteWithoutANameIsRead(t *testing.T) {
	config := newServer(t).adapt("", `
http://:PORT {
	@hidden path */.*
	error @hidden 404
	comet /comet/*
	php_fastcgi unix//run/php/php-fpm.sock
	file_server
}`)
	got, err := readSetup(config)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Sites) != 1 || !slices.Equal(got.Sites[0].Hubs, []string{"default"}) || !slices.Equal(got.Sites[0].Dial, []string{"unix//run/php/php-fpm.sock"}) {
		t.Errorf("the sites with PHP are %+v in\n%s", got.Sites, config)
	}
}
