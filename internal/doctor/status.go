package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Status reads php-fpm's status page (pm.status_path) and says how its workers are.
func Status(address string) []Finding {
	s, err := readStatus(address)
	if err != nil {
		return []Finding{unknown("php", "pm.status_path = /status   ; in the pool's file, and \"handle /status { php_fastcgi … }\" for this machine alone in the Caddyfile", "php-fpm's status page %s cannot be read: %s", address, shorten(cause(err)))}
	}
	return s.judge()
}

// fpmStatus is what php-fpm says of a pool, in the words of its JSON.
type fpmStatus struct {
	Pool       string `json:"pool"`
	Queue      int    `json:"listen queue"`
	Idle       int    `json:"idle processes"`
	Active     int    `json:"active processes"`
	Total      int    `json:"total processes"`
	MaxReached int    `json:"max children reached"`
}

func readStatus(address string) (*fpmStatus, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("its address begins with http:// or https://")
	}
	u.RawQuery = "json"
	client := http.Client{Timeout: 5 * time.Second}
	res, err := client.Get(u.String())
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%d %s", res.StatusCode, http.StatusText(res.StatusCode))
	}
	s := new(fpmStatus)
	if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(s); err != nil || s.Pool == "" {
		return nil, errors.New("what is there is not php-fpm's status")
	}
	return s, nil
}

func (s *fpmStatus) judge() (found []Finding) {
	cure := "pm.max_children = " + fmt.Sprint(max(10, 2*s.Total)) + "   ; in the file of the pool " + s.Pool + ", as memory allows; which pages take long: request_slowlog_timeout = 5s"
	switch {
	case s.Queue > 0 && s.Idle == 0:
		return []Finding{workersBusy.found(cure, s.Total, s.Pool, s.Queue)}
	case s.MaxReached > 0:
		return []Finding{workersWere.found(cure, s.Pool, s.MaxReached)}
	}
	return []Finding{fine("php", "the pool %s has %d workers, %d at work and %d idle, and nobody waits", s.Pool, s.Total, s.Active, s.Idle)}
}
