//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// selfCheck holds one NovComet poll, lets PHP touch the file over the site's own page, and prints what came of it.
func selfCheck(ctx context.Context, with *side, s *sampler) error {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	before, err := s.readHeld(ctx)
	if err != nil {
		return fmt.Errorf("asking comet_publish: %w", err)
	}

	type outcome struct {
		at   time.Time
		told bool
		err  error
	}
	answered := make(chan outcome, 1)
	go func() {
		told, err := with.poll(ctx, map[string]int64{"customAlert": 0}) // 0: from now on
		answered <- outcome{time.Now(), told, err}
	}()
	for held := before; held <= before; {
		if !sleep(ctx, 10*time.Millisecond) {
			return errors.New("comet.php?subscribed[customAlert]=0 is not held by caddy-comet")
		}
		if held, err = s.readHeld(ctx); err != nil {
			return fmt.Errorf("asking comet_publish: %w", err)
		}
	}
	fpm, err := s.fpm["with"].read(ctx)
	if err != nil {
		return err
	}
	touched, err := askPHPToTouch(ctx, with.base)
	if err != nil {
		return err
	}
	out := <-answered
	switch {
	case out.err != nil:
		return fmt.Errorf("the held poll: %w", out.err)
	case !out.told:
		return errors.New("the held poll ended without PHP's touch")
	}
	took := float64(out.at.Sub(touched).Microseconds()) / 1000
	fmt.Printf("PHP's touch → held poll answered: %.1f ms; PHP workers busy meanwhile: %d of %d\n", took, fpm.Active, fpm.MaxChildren)
	return nil
}

// askPHPToTouch gives the time at which PHP says that it touched; it is this machine's clock.
func askPHPToTouch(ctx context.Context, base string) (time.Time, error) {
	form := url.Values{"way": {"touch"}, "channel": {"customAlert"}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/publish.php", strings.NewReader(form.Encode()))
	if err != nil {
		return time.Time{}, err
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := probes.Do(request)
	if err != nil {
		return time.Time{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 64<<10))
	if err != nil {
		return time.Time{}, err
	}
	if response.StatusCode != http.StatusOK {
		return time.Time{}, fmt.Errorf("publish.php answered %s: %.200s", response.Status, body)
	}
	return parseTouched(body)
}

func parseTouched(body []byte) (time.Time, error) {
	var said struct {
		At float64 `json:"at"` // PHP's microtime(true)
	}
	if err := json.Unmarshal(body, &said); err != nil || said.At == 0 {
		return time.Time{}, fmt.Errorf("publish.php did not say when: %.200s", body)
	}
	return time.UnixMicro(int64(said.At * 1e6)), nil
}
