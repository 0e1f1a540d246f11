package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/caddy-comet/caddy-comet/internal/access"
)

const (
	// jwksEvery is how old a set of keys from an address may be.
	jwksEvery = 5 * time.Minute
	// maxJWKS is how many bytes it may have.
	maxJWKS = 1 << 20
)

// checkJWKS reports why a set of keys cannot be there. "" is none.
func checkJWKS(where string) error {
	if where == "" || filepath.IsAbs(where) {
		return nil
	}
	u, err := url.Parse(where)
	if err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http" && loopbackHost(u.Host)) {
		return nil
	}
	return fmt.Errorf("token: jwks %s: an absolute path is needed, or an address of https, for whoever changes the keys on their way may sign any token", where)
}

// newJWKS returns the set of keys, nil where there is none. Nothing is read yet.
func newJWKS(where string, logger *zap.Logger) (*access.JWKS, error) {
	if where == "" {
		return nil, nil
	}
	from := where
	if u, err := url.Parse(where); err == nil {
		from = u.Redacted()
	}
	set := &access.JWKS{Failed: func(err error) {
		logger.Error("the keys that tokens are signed with cannot be had; those of last time go on, if there are any", zap.String("from", from), zap.Error(err))
	}}
	if filepath.IsAbs(where) {
		if _, err := os.Stat(where); err != nil {
			return nil, fmt.Errorf("token: jwks: %w", err)
		}
		set.Every = access.JWKSPause
		set.Get = func(context.Context) ([]byte, error) {
			f, err := os.Open(where)
			if err != nil {
				return nil, err
			}
			defer f.Close()
			return bounded(f)
		}
		return set, nil
	}
	set.Every = jwksEvery
	client := &http.Client{CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if len(via) > 3 {
			return errors.New("it redirects and redirects")
		}
		return checkJWKS(r.URL.String())
	}}
	set.Get = func(ctx context.Context) ([]byte, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
		if err != nil {
			return nil, err
		}
		res, err := client.Do(r)
		if err != nil {
			return nil, err
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("the answer is %s", res.Status)
		}
		return bounded(res.Body)
	}
	return set, nil
}

// bounded reads a set of keys.
func bounded(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxJWKS+1))
	if err == nil && len(text) > maxJWKS {
		err = fmt.Errorf("it has more than %d bytes", maxJWKS)
	}
	return text, err
}
