package samples

import (
	"encoding/json"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

var began = time.Unix(1_795_320_000, 0) // a whole minute

// shop is a hub with these counters, and n held.
func shop(n int, counter uint64) Hub {
	return Hub{
		Hub: "shop", Held: n, Parked: n - 1, Requests: counter, Events: 2 * counter, Deliveries: 10 * counter,
		Dialects: []Dialect{
			{Dialect: "native", Held: n - 1, Parked: n - 1, Transport: map[string]int{"sse": n - 1}},
			{Dialect: Watching, Held: 1, Transport: map[string]int{"sse": 1}},
		},
		Limits: []Limit{{Hub: "shop", Name: "max_holds", Used: int64(n), Most: 100}},
		Times:  Times{Count: counter, Upper: []float64{.01, .1}, Counts: []uint64{counter / 2, counter}},
	}
}

func filled(t *testing.T, r *Recorder, view string, hubs ...Hub) Status {
	t.Helper()
	s := Status{Hub: view}
	r.Fill(&s, hubs)
	return s
}

func history(t *testing.T, r *Recorder, view string, minutes bool) (at []int64, v map[string][]*float64) {
	t.Helper()
	var h struct {
		T []int64
		V map[string][]*float64
	}
	if err := json.Unmarshal(r.History(view, minutes), &h); err != nil {
		t.Fatal(err)
	}
	return h.T, h.V
}

func TestRatesAreOfTheTimeBetweenTwoReadings(t *testing.T) {
	var r Recorder
	if !r.Follow("") {
		t.Error("the first view is not said to be it")
	}
	if r.Follow("shop") {
		t.Error("the second view is said to be the first")
	}
	r.Take(began, []Hub{shop(5, 100)})
	if s := filled(t, &r, "", shop(5, 100)); s.Events != 0 || s.Median != nil || !s.Since.Equal(began) {
		t.Errorf("what a hub has from before counts as of now: %+v", s.Recent)
	}
	// Two seconds later, and another hub is there that has its counters from before.
	forum := Hub{Hub: "forum", Held: 9, Requests: 1000, Events: 1000}
	r.Take(began.Add(2*time.Second), []Hub{forum, shop(5, 200)})
	for _, view := range []string{"", "shop"} {
		s := filled(t, &r, view, forum, shop(5, 200))
		if s.Requests != 50 || s.Events != 100 || s.Deliveries != 500 {
			t.Errorf("%q: %+v", view, s.Recent)
		}
		// Four wait for news, and one looks at the page.
		if s.WorkerSeconds != 8 {
			t.Errorf("%q: %v seconds of workers", view, s.WorkerSeconds)
		}
		if s.Median == nil || math.Abs(*s.Median-.01) > 1e-9 || math.Abs(*s.P99-.0982) > 1e-9 {
			t.Errorf("%q: median %v, p99 %v", view, *s.Median, *s.P99)
		}
	}
	// A hub that began anew does not count backwards.
	r.Take(began.Add(3*time.Second), []Hub{shop(5, 10)})
	if s := filled(t, &r, "shop", shop(5, 10)); s.Events != 0 {
		t.Errorf("%v events a second", s.Events)
	}
}

func TestAViewOfOneHubHasNothingOfOthers(t *testing.T) {
	var r Recorder
	r.Follow("shop")
	forum := Hub{Hub: "forum", Held: 9, Dialects: []Dialect{{Dialect: "secret", Held: 9}}, Limits: []Limit{{Hub: "forum", Name: "max_holds", Used: 9, Most: 10}}}
	r.Take(began, []Hub{forum, shop(5, 100)})
	r.Take(began.Add(time.Second), []Hub{forum, shop(5, 100)})
	text, err := json.Marshal(filled(t, &r, "shop", forum, shop(5, 100)))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range [][]byte{text, r.History("shop", false), r.History("forum", false), r.History("", false)} {
		if strings.Contains(string(b), "forum") || strings.Contains(string(b), "secret") {
			t.Errorf("%s", b)
		}
	}
	if s := filled(t, &r, "shop", forum, shop(5, 100)); s.Held != 5 || s.Parked != 4 || len(s.Limits) != 1 || len(s.Hubs) != 1 {
		t.Errorf("%+v", s)
	}
}

func TestHistoryIsBoundedAndInOrder(t *testing.T) {
	var r Recorder
	r.Follow("")
	const seconds = (Minutes + 10) * 60
	for i := range seconds {
		h := shop(5+i%60, uint64(i))
		if i < 100 {
			h.Dialects = append(h.Dialects, Dialect{Dialect: "gone", Held: 3})
		}
		r.Take(began.Add(time.Duration(i)*time.Second), []Hub{h})
	}
	at, v := history(t, &r, "", false)
	if len(at) != Seconds || at[0] != began.Unix()+seconds-Seconds || at[Seconds-1] != began.Unix()+seconds-1 {
		t.Errorf("%d seconds from %d to %d", len(at), at[0], at[len(at)-1])
	}
	if n := len(v["held native"]); n != Seconds || *v["held native"][0] != 4 || *v["parked"][0] != 4 || *v["held native"][59] != 63 {
		t.Errorf("%d samples of what is held: %v", n, *v["held native"][0])
	}
	if v["held gone"] != nil {
		t.Error("what was there once has a column for ever")
	}
	// Of a minute there is the mean.
	at, v = history(t, &r, "", true)
	if len(at) != Minutes || at[1]-at[0] != 60 || *v["held native"][0] != 33.5 || *v["events"][0] != 2 {
		t.Errorf("%d minutes of %d s: %v held, %v events a second", len(at), at[1]-at[0], *v["held native"][0], *v["events"][0])
	}
}

func TestAColumnThatComesLaterHasNothingBefore(t *testing.T) {
	s := newSeries(3)
	s.add(1, map[string]float64{"a": 1})
	s.add(2, map[string]float64{"a": 1e6, "b": .123456})
	all := func(string) bool { return true }
	var got, want any
	if err := json.Unmarshal(s.append(nil, all), &got); err != nil {
		t.Fatal(err)
	}
	_ = json.Unmarshal([]byte(`{"t":[1,2],"v":{"a":[1,1000000],"b":[null,0.1235]}}`), &want)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v", got)
	}
}

func TestOfManyHubsThoseWithMostAreShown(t *testing.T) {
	var r Recorder
	r.Follow("")
	var hubs []Hub
	for i := range 100 {
		hubs = append(hubs, Hub{Hub: "h" + string(rune('a'+i/10)) + string(rune('a'+i%10)), Held: i})
	}
	r.Take(began, hubs)
	s := filled(t, &r, "", hubs...)
	if len(s.Hubs) != MaxHubs || s.MoreHubs != 100-MaxHubs || s.Hubs[0].Held != 99 || s.Held != 99*50 {
		t.Errorf("%d hubs and %d more, %d held", len(s.Hubs), s.MoreHubs, s.Held)
	}
	if _, v := history(t, &r, "", false); v["hub hjj"] == nil || v["hub haa"] != nil || len(v) != maxColumns+4 {
		t.Errorf("%d columns", len(v))
	}
}

func TestWhatNobodyFollowsIsForgotten(t *testing.T) {
	var r Recorder
	r.Follow("shop")
	r.Take(began, []Hub{shop(5, 100)})
	r.Follow("shop") // a reload: the new configuration comes before the old one goes
	if r.Unfollow("shop") {
		t.Error("the last view is said to be gone")
	}
	if at, _ := history(t, &r, "shop", false); len(at) != 1 {
		t.Error("a reload forgets the figures")
	}
	if !r.Unfollow("shop") || len(r.Views()) > 0 {
		t.Error("nobody follows, and a view stays")
	}
	r.Take(began.Add(time.Second), []Hub{shop(5, 100)})
	if at, _ := history(t, &r, "shop", false); len(at) != 0 {
		t.Error("what nobody follows is kept")
	}
}

func TestProblemsAreTheLastOnesOfEachHub(t *testing.T) {
	var p Problems
	log := zap.New(&p).With(zap.String("hub", "shop/doorbell"))
	log.Info("nothing to warn of")
	log.Warn("full", zap.Int("n", 1), zap.String("path", strings.Repeat("ä", 1000)))
	for range 3 {
		log.Warn("lost")
	}
	for i := range 10 * maxProblems {
		zap.New(&p).Error("other "+strings.Repeat("x", i), zap.String("hub", "forum"))
	}
	got := p.Of("shop")
	if len(got) != 2 || got[0].Message != "lost" || got[0].Count != 3 || got[0].Level != "warn" || got[1].Message != "full" {
		t.Fatalf("%+v", got)
	}
	if d := got[1].Detail; !strings.HasPrefix(d, "n: 1, path: ää") || !strings.HasSuffix(d, "ä…") || len(d) > maxDetail+3 {
		t.Errorf("%d bytes: %s", len(d), d)
	}
	if n := len(p.Of("forum")); n != maxProblems {
		t.Errorf("%d of the forum", n)
	}
	if n := len(p.Of("")); n != maxProblems {
		t.Errorf("%d altogether", n)
	}
}

func TestQuantilesBeyondTheLastBucket(t *testing.T) {
	if got := (Times{Count: 10, Upper: []float64{1, 2}, Counts: []uint64{0, 4}}).quantile(.99); got == nil || *got != 2 {
		t.Errorf("%v", got)
	}
	if got := (Times{Upper: []float64{1}, Counts: []uint64{0}}).quantile(.5); got != nil {
		t.Errorf("%v of nothing", *got)
	}
}
