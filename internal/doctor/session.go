package doctor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Session asks for a page of the site twice at once, with the same session and with
// two, and says whether one waits for the other.
func (o *Outside) Session(page, cookie string) Finding {
	if !strings.HasPrefix(page, "/") {
		page = "/" + page
	}
	name, value, _ := strings.Cut(cookie, "=")
	if name == "" {
		name = "PHPSESSID"
	}
	same := name + "=" + value
	if value == "" {
		same = name + "=" + newSession()
	}
	other := name + "=" + newSession()
	alone, err := o.together(page, same)
	if err != nil {
		return unknown("session", "", "%s is not answered: %s", page, shorten(cause(err)))
	}
	ofOne, err := o.together(page, same, same)
	if err != nil {
		return unknown("session", "", "%s is not answered twice at once: %s", page, shorten(cause(err)))
	}
	ofTwo, err := o.together(page, same, other)
	if err != nil {
		return unknown("session", "", "%s is not answered twice at once: %s", page, shorten(cause(err)))
	}
	return judgeSession(page, alone, ofOne, ofTwo)
}

func newSession() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b) // which every session handler takes
}

// together asks for the page once with each of the cookies, all at once, and takes the
// time until the last is answered.
func (o *Outside) together(page string, cookies ...string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 3*patience)
	defer cancel()
	errs := make([]error, len(cookies))
	began := time.Now()
	var wg sync.WaitGroup
	for i, cookie := range cookies {
		wg.Go(func() {
			u := *o.URL
			path, query, _ := strings.Cut(page, "?")
			u.Path, u.RawPath, u.RawQuery = path, "", query
			r, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
			if err != nil {
				errs[i] = err
				return
			}
			r.Header.Set("Cookie", cookie)
			res, err := o.Client.Do(r)
			if err == nil {
				_, err = io.Copy(io.Discard, io.LimitReader(res.Body, maxPage))
				res.Body.Close()
			}
			if err == nil && res.StatusCode >= 400 {
				err = fmt.Errorf("%d %s", res.StatusCode, http.StatusText(res.StatusCode))
			}
			errs[i] = err
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// maxPage is how much of a page is read.
const maxPage = 10 << 20

// noticeable is how long a page takes that others are seen to wait for.
const noticeable = 50 * time.Millisecond

// judgeSession compares how long a page takes alone, twice for one visitor, and for
// two.
func judgeSession(page string, alone, ofOne, ofTwo time.Duration) Finding {
	waits := func(together time.Duration) bool { return together > alone*17/10 }
	switch {
	case alone < noticeable:
		return unknown("session", "caddy-comet comet doctor --page /a-slow-page.php …", "%s is answered after %s, which is too quick to see whether one request waits for another", page, round(alone))
	case waits(ofOne) && waits(ofTwo):
		return oneByOne.found("pm.max_children = 10   ; in the pool's file, as memory allows; then: systemctl restart 'php*-fpm'", page, round(alone), round(ofOne))
	case waits(ofOne):
		return sessionLock.found("session_start(['read_and_close' => true]);   // in PHP, where the session is only read; or session_write_close() as soon as it is written", page, round(alone), round(ofOne))
	}
	return fine("session", "two requests of one visitor to %s do not wait for each other (%s alone, %s together)", page, round(alone), round(ofOne))
}
