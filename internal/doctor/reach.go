package doctor

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Outside is the site as its visitors reach it.
type Outside struct {
	// URL is where a comet line is to answer.
	URL    *url.URL
	Client *http.Client
	// Header is what each request carries besides.
	Header http.Header
	// Admin is the server's, nil where it is not reached: then only what the site says
	// by itself is known.
	Admin Admin
	// Address is Admin's, for people.
	Address string
	Setup   *Setup
	Facts   *Facts
	// Wait is how long a request is to be silent, to see what cuts it.
	Wait time.Duration

	pass string
	// header and proto are those of the first answer.
	header http.Header
	proto  string
}

// patience is how long an answer may take that is due at once.
const patience = 10 * time.Second

// passHeader has the pass of a visit.
const passHeader = "Comet-Doctor"

// ParseURL reads the address of a site, as people write it.
func ParseURL(text string) (*url.URL, *Finding) {
	if !strings.Contains(text, "://") {
		text = "https://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
		f := badURL.found("caddy-comet comet doctor https://example.com", text)
		return nil, &f
	}
	u.Fragment, u.RawFragment = "", ""
	return u, nil
}

// Aim completes the address of a site with the path of one of its comet lines.
func Aim(u *url.URL, setup *Setup) {
	if u.Path != "" && u.Path != "/" {
		return
	}
	u.Path = "/comet/doctor"
	if setup == nil {
		return
	}
	best := -1
	for _, l := range setup.Lines {
		if len(l.Hosts) > 0 && !matches(l.Hosts, u.Hostname()) {
			continue
		}
		rank := 0
		if len(l.Hosts) > 0 {
			rank += 2
		}
		if l.Dialect == "native" {
			rank++
		}
		if rank <= best || len(l.Paths) == 0 {
			continue
		}
		best = rank
		u.Path = pathOf(l.Paths[0])
	}
}

// pathOf is a path that the matcher matches.
func pathOf(pattern string) string {
	if rest, ok := strings.CutSuffix(pattern, "/*"); ok {
		pattern = rest + "/doctor"
	}
	return strings.ReplaceAll(strings.TrimSuffix(pattern, "*"), "*", "doctor")
}

func matches(hosts []string, name string) bool {
	for _, h := range hosts {
		if host, _, err := net.SplitHostPort(h); err == nil {
			h = host
		}
		if rest, wild := strings.CutPrefix(h, "*."); strings.EqualFold(h, name) || wild && strings.HasSuffix(name, "."+rest) {
			return true
		}
	}
	return false
}

// answered is the beginning of an answer.
type answered struct {
	status int
	header http.Header
	proto  string
	body   []byte
	took   time.Duration
}

// get makes a request and reads as much of its answer as matters.
func (o *Outside) get(ctx context.Context, query string) (*answered, error) {
	r := o.request(ctx, query)
	began := time.Now()
	res, err := o.Client.Do(r)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	return &answered{res.StatusCode, res.Header, res.Proto, body, time.Since(began)}, err
}

func (o *Outside) request(ctx context.Context, query string) *http.Request {
	u := *o.URL
	u.RawQuery = query
	r, _ := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil) // which was parsed before
	r.Header = o.Header.Clone()
	if r.Header == nil {
		r.Header = make(http.Header)
	}
	if o.pass != "" {
		r.Header.Set(passHeader, o.pass)
	}
	r.Header.Set("User-Agent", "caddy-comet doctor")
	return r
}

// newPass has the server expect us. Without an admin endpoint there is none.
func (o *Outside) newPass() error {
	var pass struct{ Pass string }
	err := o.Admin.Do(http.MethodPost, "/comet/_doctor", nil, nil, &pass)
	o.pass = pass.Pass
	return err
}

// arrivals are how the requests with our pass arrived.
func (o *Outside) arrivals() []Arrival {
	var a struct{ Arrivals []Arrival }
	_ = o.Admin.Do(http.MethodGet, "/comet/_doctor/"+o.pass, nil, nil, &a)
	return a.Arrivals
}

// Reach says whether a request to the address comes to a comet line. It returns how
// it arrived, where that is known; and whether there is any sense in going on.
func (o *Outside) Reach() (found []Finding, arrival *Arrival, on bool) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	shown := o.shown()
	got, err := o.get(ctx, "wait=0")
	if err != nil {
		return []Finding{explain(err, o.URL)}, nil, false
	}
	o.header, o.proto = got.header, got.proto
	if o.pass != "" {
		if arrivals := o.arrivals(); len(arrivals) > 0 {
			arrival = &arrivals[len(arrivals)-1]
			return []Finding{fine("reach", "%s comes to a comet line (%s) of the hub %s, and is answered after %s", shown, arrival.Dialect, arrival.Hub, round(got.took))}, arrival, true
		}
	}
	if ours(got) {
		if o.pass != "" {
			return []Finding{otherServer.found("caddy-comet comet doctor "+shown+" --address <its admin endpoint>   # on the machine that serves the site", shown, o.Address)}, nil, false
		}
		return []Finding{fine("reach", "%s is held by a caddy-comet, and answered after %s", shown, round(got.took))}, nil, true
	}
	return []Finding{o.foreign(got)}, nil, false
}

// shown is the address without its query, in which there may be a secret.
func (o *Outside) shown() string {
	u := *o.URL
	u.RawQuery = ""
	return u.String()
}

// ours reports whether an answer is that of a poll.
func ours(a *answered) bool {
	return a.status == http.StatusOK && bytes.HasPrefix(bytes.TrimSpace(a.body), []byte(`{"cursor":"`))
}

var (
	loginWord = regexp.MustCompile(`(?i)log-?in|sign-?in|auth|sso|session`)
	htmlTitle = regexp.MustCompile(`(?is)<title[^>]*>\s*(.*?)\s*</title>`)
)

// foreign says what an answer is that is not ours.
func (o *Outside) foreign(a *answered) Finding {
	shown := o.shown()
	status := fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	login := func(how string) Finding {
		return login.found("comet /comet/*   # in the Caddyfile before what asks for the login; or: caddy-comet comet doctor "+shown+" --header 'Cookie: …'", shown, how)
	}
	switch location := a.header.Get("Location"); {
	case a.status >= 300 && a.status < 400 && loginWord.MatchString(location):
		return login(status + " to " + shorten(location))
	case a.status >= 300 && a.status < 400 && location != "":
		to := o.leads(location)
		return leadsAway.found("caddy-comet comet doctor "+to, shown, to)
	case a.status == http.StatusUnauthorized || a.status == http.StatusForbidden || a.status == http.StatusProxyAuthRequired:
		return login(status)
	case a.status >= 502 && a.status <= 504:
		return gateway.found("systemctl status caddy-comet   # on the machine to which "+proxyOf(a.header).name+" passes it on: does it run, at the address that the proxy has?", shown, status)
	}
	what := firstOf(a.header.Get("Content-Type"), "no type")
	if m := htmlTitle.FindSubmatch(a.body); m != nil {
		what = "a page with the title " + shorten(string(m[1]))
		if loginWord.Match(m[1]) || bytes.Contains(bytes.ToLower(a.body), []byte(`type="password"`)) {
			return login(status + ", " + what)
		}
	}
	return notOurs.found("caddy-comet comet doctor "+o.URL.Scheme+"://"+o.URL.Host+"/comet/   # with the path that the comet line matches; rewrites and try_files go into a handle block of their own", shown, status, what)
}

// leads is where a redirection leads, without the query that we asked with.
func (o *Outside) leads(location string) string {
	if u, err := o.URL.Parse(location); err == nil {
		u.RawQuery = ""
		location = u.String()
	}
	return shorten(location)
}

func firstOf(texts ...string) string {
	for _, t := range texts {
		if t != "" {
			return shorten(t)
		}
	}
	return ""
}

// shorten bounds what another server said.
func shorten(s string) string {
	if r := []rune(s); len(r) > 100 {
		return string(r[:100]) + "…"
	}
	return s
}

// noCertificate are the alerts of a server that has none to show: Caddy's and Go's,
// nginx's, OpenSSL's. Their type is not exported.
var noCertificate = regexp.MustCompile(`remote error: tls: (internal error|unrecognized name|handshake failure)$`)

// explain says why there was no answer.
func explain(err error, u *url.URL) Finding {
	var (
		dns        *net.DNSError
		name       x509.HostnameError
		authority  x509.UnknownAuthorityError
		invalid    x509.CertificateInvalidError
		record     tls.RecordHeaderError
		timeout    interface{ Timeout() bool }
		host, site = u.Host, u.Scheme + "://" + u.Host
	)
	switch {
	case errors.As(err, &dns):
		return noName.found("getent hosts "+u.Hostname()+"   # is it spelt as it should be, and has it an A or AAAA record?", u.Hostname())
	case errors.As(err, &name):
		names := firstOf(strings.Join(name.Certificate.DNSNames, ", "), name.Certificate.Subject.CommonName, "no name")
		return certName.found(u.Hostname()+" {   # as the site's address in the Caddyfile: Caddy gets a certificate for it; behind another proxy, in that proxy", host, names)
	case errors.As(err, &authority):
		return certUnknown.found("caddy-comet trust   # where it is Caddy's own (tls internal, localhost), on this machine; else a certificate of a public authority", host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		const day = "2006-01-02"
		return certTime.found("date; journalctl -u caddy-comet | grep -i certificate   # is the clock right, and why is it not renewed?", host, invalid.Cert.NotBefore.Format(day), invalid.Cert.NotAfter.Format(day))
	case noCertificate.MatchString(err.Error()):
		return certMissing.found("journalctl -u caddy-comet | grep -e obtain -e challenge   # is the name in the Caddyfile, and what did the authority say? The first certificate takes a minute", host)
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return noTLS.found("caddy-comet comet doctor http://"+host, site)
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused.found("systemctl status caddy-comet && ss -ltn   # does it run, and at this port?", hostPort(u))
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return noAnswer.found("curl -sv --max-time 10 "+site+"/   # a firewall that drops, a proxy that holds the answer back, or a server that hangs", site, patience)
	}
	return broken.found("curl -sv --max-time 10 "+site+"/", site, shorten(cause(err)))
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
