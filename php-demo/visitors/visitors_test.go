//go:build linux

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAPollReadsAsNovCometWritesIt(t *testing.T) {
	got := pollQuery(map[string]int64{"customAlert": 5, "customAlert2": 6}, time.Unix(7, 0))
	if want := "&subscribed[customAlert]=5&subscribed[customAlert2]=6&7"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAnswersOfNovComet(t *testing.T) {
	for body, want := range map[string]string{
		`{"s":0}`:                             "map[]",
		`{"s":1,"k":{"customAlert":1795252}}`: "map[customAlert:1795252]",
		`{"s":0,"k":{"ignored":1}}`:           "map[]",
	} {
		changed, err := readAnswer([]byte(body))
		if got := fmt.Sprint(changed); err != nil || got != want {
			t.Errorf("%s: got %s, %v; want %s", body, got, err, want)
		}
	}
	if _, err := readAnswer([]byte("<html>502</html>")); err == nil {
		t.Error("a page of HTML passed for an answer")
	}
}

func TestASideIsNeverOverfull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newSide("http://side.invalid", 150)
		s.client = &http.Client{Transport: holding{}}
		for _, want := range []int{100, 150, 150} {
			s.add(ctx, 100)
			if got := s.count(); got != want {
				t.Errorf("%d visitors, want %d", got, want)
			}
		}
		time.Sleep(2 * time.Second)
		if got := s.waiting.Load(); got != 150 {
			t.Errorf("%d polls are open, want 150", got)
		}
		time.Sleep(stay)
		synctest.Wait()
		if got := s.count(); got != 0 {
			t.Errorf("%d visitors are here after their stay", got)
		}
		s.add(ctx, 10)
		s.clear()
		synctest.Wait()
		if got := s.count(); got != 0 {
			t.Errorf("%d visitors are here after all left", got)
		}
		cancel()
	})
}

// holding is a server that never answers.
type holding struct{}

func (holding) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

func TestAWaveCountsThePollsThatWereHeld(t *testing.T) {
	start := time.Now()
	at := func(ms int) time.Time { return start.Add(time.Duration(ms) * time.Millisecond) }
	var w wave
	w.add(at(-900), at(0))
	w.add(at(-100), at(30))
	w.add(at(200), at(210)) // was between two polls
	if w.Count != 2 || w.Later != 1 || !w.First.Equal(at(0)) || !w.Last.Equal(at(30)) {
		t.Errorf("the first wave is %+v", w)
	}
	w.add(at(300), at(2000))
	if w.Count != 1 || w.Later != 0 || !w.First.Equal(at(2000)) {
		t.Errorf("the second wave is %+v", w)
	}
}

func TestTheQueueIsWhatNobodyHasAcceptedYet(t *testing.T) {
	const table = `Num       RefCount Protocol Flags    Type St Inode Path
0000000001c3753d: 00000003 00000000 00000000 0001 02     0 /run/d/without.sock
000000007ef877d8: 00000002 00000000 00010000 0001 01 23383 /run/d/without.sock
00000000bc041f41: 00000003 00000000 00000000 0001 02     0 /run/d/without.sock
00000000aa041f41: 00000003 00000000 00000000 0001 02     0 /run/d/with.sock
00000000ee68e79b: 00000003 00000000 00000000 0001 03 21807 /run/d/without.sock
00000000ee68e79c: 00000003 00000000 00000000 0001 03 21808
`
	if got := countQueued(strings.NewReader(table), "/run/d/without.sock"); got != 2 {
		t.Errorf("got %d, want 2", got)
	}
}

func TestStatusOfPHP(t *testing.T) {
	got, err := parseStatus([]byte(`{"pool":"w","listen queue":3,"idle processes":0,"active processes":2,"total processes":2}`))
	if want := (fpmStatus{Active: 2, ListenQueue: 3, MaxChildren: 2}); err != nil || *got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	for _, body := range []string{`{}`, `File not found.`, ``} {
		if _, err := parseStatus([]byte(body)); err == nil {
			t.Errorf("%q passed for a status", body)
		}
	}
}

func TestHeldIsToldAndNotGuessed(t *testing.T) {
	if got, err := parseHeld([]byte(`{"hub":"default","cursor":"a.1","held":123,"channels":[]}`)); err != nil || got != 123 {
		t.Errorf("got %d, %v; want 123", got, err)
	}
	if _, err := parseHeld([]byte(`{"error":"no"}`)); err == nil {
		t.Error("an answer without a number passed")
	}
}

func TestWhenPHPTouched(t *testing.T) {
	got, err := parseTouched([]byte(`{"at":1795252832.022376,"receivers":null}`))
	if err != nil || got.UnixMicro() != 1795252832022376 {
		t.Errorf("got %v, %v", got.UnixMicro(), err)
	}
	if _, err := parseTouched([]byte(`{"error":"no"}`)); err == nil {
		t.Error("an error passed for a time")
	}
}

func TestOnlyThisSitesPageMayBringVisitors(t *testing.T) {
	for _, test := range []struct {
		header, value string
		want          int
	}{
		{"", "", http.StatusOK}, // curl
		{"Sec-Fetch-Site", "same-origin", http.StatusOK},
		{"Sec-Fetch-Site", "cross-site", http.StatusForbidden},
		{"Origin", "http://demo.test:8080", http.StatusOK},
		{"Origin", "http://elsewhere.test", http.StatusForbidden},
	} {
		d := &demo{sides: map[string]*side{"with": newSide("", 0)}, lifetime: t.Context()}
		r := httptest.NewRequest("POST", "http://demo.test:8080/_demo/visitors?side=with&n=1", nil)
		if test.header != "" {
			r.Header.Set(test.header, test.value)
		}
		w := httptest.NewRecorder()
		d.handler().ServeHTTP(w, r)
		if w.Code != test.want {
			t.Errorf("%s %s: %d, want %d", test.header, test.value, w.Code, test.want)
		}
	}
}

func TestWhatThePageMayAsk(t *testing.T) {
	sides := map[string]*side{"with": newSide("", 5000), "without": newSide("", 500)}
	for query, want := range map[string]int{
		"side=with&n=1":      1,
		"side=without":       100,
		"side=with&n=5000":   5000,
		"side=with&n=5001":   0,
		"side=with&n=0":      0,
		"side=with&n=-1":     0,
		"side=with&n=1e3":    0,
		"side=elsewhere&n=1": 0,
		"n=1":                0,
	} {
		values, _ := url.ParseQuery(query)
		_, n, err := readAdd(sides, values.Get("side"), values.Get("n"))
		if n != want || (err == nil) != (want > 0) {
			t.Errorf("%s: got %d, %v; want %d", query, n, err, want)
		}
	}
}

func TestOnlyPHPIsEnded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	for _, content := range []string{"", "nonsense", "0", "1", "-1", fmt.Sprint(os.Getpid())} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := endFPM(file); err == nil {
			t.Errorf("pid file with %q: something was ended", content)
		}
	}
}
