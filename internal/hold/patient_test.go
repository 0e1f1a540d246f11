package hold_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hold"
)

// patients are requests of those who know no answer but an event, with the
// channel that they wait for.
var patients = map[string]string{
	"/doorbell/22482":                   "22482",
	"/backend.php?timestamp=4102444800": "chat",
	"/backend.php":                      "chat",
}

// ring makes the event that a patient waits for.
func (r *rig) ring(channel string) {
	r.Helper()
	if channel == "chat" {
		r.say("hello")
		return
	}
	r.publish(channel, "")
}

// wantRung wants the answer that ring gives, behind so many signs of life.
func wantRung(t *testing.T, h *held, channel string, beats int) {
	t.Helper()
	rest, ok := strings.CutPrefix(string(h.body), strings.Repeat("\n", beats))
	if channel != "chat" {
		if !ok || rest != "doorbell("+channel+");" {
			t.Errorf("got %q", h.body)
		}
	} else if !ok || !strings.HasPrefix(rest, `{"msg":"hello","timestamp":`) || !json.Valid(h.body) {
		t.Errorf("got %q", h.body)
	}
	wantHeader(t, h.header)
	length := ""
	if beats == 0 {
		length = strconv.Itoa(len(h.body))
	}
	if h.status != http.StatusOK || h.header.Get("Content-Length") != length || h.header.Get("Retry-After") != "" {
		t.Errorf("got %d %v", h.status, h.header)
	}
}

func TestWhatIsThereAnswersAPatientAtOnce(t *testing.T) {
	bubble(t, func(r *rig) {
		r.publish("22482", "")
		r.publish("22482", "again")
		r.say("hello")
		for target, channel := range map[string]string{"/doorbell/22482": "22482", "/backend.php?timestamp=0": "chat", "/backend.php?timestamp=17": "chat"} {
			for range 2 { // what is set stays so
				h := r.serve(target)
				<-h.done
				if h.report.Outcome != hold.Event || h.report.Abort || h.err != nil || h.took != 0 {
					t.Errorf("%s: got %+v, %v after %v", target, h.report, h.err, h.took)
				}
				wantRung(t, h, channel, 0)
			}
		}
		r.wantHolds(0)
	})
}

func TestAPatientWaitsForAsLongAsItTakes(t *testing.T) {
	for _, wait := range []time.Duration{0, heartbeat - 1, heartbeat + 1, time.Hour + 1, 48*time.Hour + 1} {
		for target, channel := range patients {
			t.Run(fmt.Sprint(target, wait), func(t *testing.T) {
				bubble(t, func(r *rig) {
					h := r.serve(target)
					r.wantHolds(1)
					time.Sleep(wait)
					synctest.Wait()
					beats := int(wait / heartbeat)
					if got := string(h.read()); got != strings.Repeat("\n", beats) || (h.status != 0) != (beats > 0) {
						t.Errorf("got %d %.99q", h.status, got)
					}
					r.ring(channel)
					r.ended(h, hold.Event, 1)
					if h.took != wait || h.report.Abort {
						t.Errorf("got %+v after %v", h.report, h.took)
					}
					wantRung(t, h, channel, beats)
					r.wantHolds(0)
					r.wantFanouts(1)
				})
			})
		}
	}
}

func TestAPatientIsFreedWhenItsClientHangsUp(t *testing.T) {
	for _, wait := range []time.Duration{0, heartbeat - 1, heartbeat, 3*heartbeat + 1} {
		for target, channel := range patients {
			t.Run(fmt.Sprint(target, wait), func(t *testing.T) {
				bubble(t, func(r *rig) {
					h := r.serve(target)
					time.Sleep(wait)
					synctest.Wait()
					h.hang()
					r.ended(h, hold.ClientGone, 0)
					if got := string(h.body); got != strings.Repeat("\n", int(wait/heartbeat)) || !h.report.Abort {
						t.Errorf("got %+v, %q", h.report, got)
					}
					r.wantHolds(0)
					r.ring(channel)
					synctest.Wait()
					r.wantFanouts(0) // nobody was woken
				})
			})
		}
	}
}

func TestAStopBeforeTheFirstSignOfLifeIsAnError(t *testing.T) {
	bubble(t, func(r *rig) {
		var all []*held
		for target := range patients {
			for range 30 {
				all = append(all, r.serve(target))
			}
		}
		time.Sleep(time.Second)
		close(r.stop)
		var first, last time.Duration = time.Hour, 0
		for _, h := range all {
			r.ended(h, hold.Stopped, 0)
			first, last = min(first, h.took), max(last, h.took)
			if h.status != http.StatusServiceUnavailable || h.report.Abort || !strings.Contains(string(h.body), "ask again") {
				t.Errorf("got %+v, %d %q", h.report, h.status, h.body)
			}
			if h.header.Get("Content-Length") != strconv.Itoa(len(h.body)) || !strings.HasPrefix(h.header.Get("Content-Type"), "text/plain") {
				t.Errorf("got %v", h.header)
			}
			wantHeader(t, h.header)
			wantRetryAfter(t, h.header)
		}
		if last > time.Second+hold.StopSpread || last-first < hold.StopSpread/2 {
			t.Errorf("they were spread from %v to %v", first, last)
		}
		r.wantHolds(0)
		// So is one that comes after the stop.
		late := r.serve("/doorbell/1")
		r.ended(late, hold.Stopped, 0)
		if late.status != http.StatusServiceUnavailable || late.took > hold.StopSpread {
			t.Errorf("got %d after %v", late.status, late.took)
		}
	})
}

func TestAStopAfterASignOfLifeBreaksTheAnswerOff(t *testing.T) {
	for target := range patients {
		bubble(t, func(r *rig) {
			h := r.serve(target)
			time.Sleep(2*heartbeat + time.Second)
			close(r.stop)
			r.ended(h, hold.Stopped, 0)
			if !h.report.Abort || string(h.body) != "\n\n" || h.status != http.StatusOK || h.header.Get("Retry-After") != "" {
				t.Errorf("%s: got %+v, %d %q", target, h.report, h.status, h.body)
			}
			if h.took > 2*heartbeat+time.Second+hold.StopSpread {
				t.Errorf("%s: ended after %v", target, h.took)
			}
			r.wantHolds(0)
		})
	}
}

// The first sign of life may come after the stop and before the hold's own end.
func TestAStopThatMeetsASignOfLifeIsOneOrTheOther(t *testing.T) {
	outcomes := make(map[bool]int)
	for range 100 {
		bubble(t, func(r *rig) {
			h := r.serve("/doorbell/1")
			time.Sleep(heartbeat - hold.StopSpread/2)
			close(r.stop)
			r.ended(h, hold.Stopped, 0)
			whole := h.status == http.StatusServiceUnavailable && len(h.body) > 1 && !h.report.Abort
			broken := h.status == http.StatusOK && string(h.body) == "\n" && h.report.Abort
			if whole == broken {
				t.Errorf("got %+v, %d %q", h.report, h.status, h.body)
			}
			outcomes[broken]++
		})
	}
	if len(outcomes) != 2 {
		t.Errorf("got %v", outcomes)
	}
}

func TestAReloadLeavesPatientsAlone(t *testing.T) {
	for target, channel := range patients {
		bubble(t, func(r *rig) {
			h := r.serve(target)
			close(r.retire)
			time.Sleep(10*hold.RetireSpread + 1)
			r.ring(channel)
			r.ended(h, hold.Event, 1)
			wantRung(t, h, channel, int(10*hold.RetireSpread/heartbeat))
		})
	}
}

// The hub that a patient waits on may end, where no configuration mentions it any
// more; one that comes later by the same name is another.
func TestTheEndOfAHubEndsPatients(t *testing.T) {
	for target := range patients {
		for beats := range 2 {
			bubble(t, func(r *rig) {
				r.change = func(h *hold.Hold) { h.Heartbeat = 2 * hold.RetireSpread }
				h := r.serve(target)
				wait := time.Duration(beats) * (2*hold.RetireSpread + time.Second)
				time.Sleep(wait)
				if err := r.hub.Close(); err != nil {
					t.Fatal(err)
				}
				r.ended(h, hold.Retired, 0)
				if h.took > wait+hold.RetireSpread || h.report.Abort != (beats > 0) || (h.status == http.StatusOK) != (beats > 0) {
					t.Errorf("%s: got %+v, %d %q after %v", target, h.report, h.status, h.body, h.took)
				}
				r.wantHolds(0)
			})
		}
	}
}

func TestAStopHurriesTheEndOfAHub(t *testing.T) {
	bubble(t, func(r *rig) {
		h := r.serve("/doorbell/1")
		if err := r.hub.Close(); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		close(r.stop)
		<-h.done
		if h.took > hold.StopSpread || h.status != http.StatusServiceUnavailable {
			t.Errorf("got %+v, %d after %v", h.report, h.status, h.took)
		}
	})
}

func TestAStopLosesNoEventOfAPatient(t *testing.T) {
	for target, channel := range patients {
		for i := range 60 {
			bubble(t, func(r *rig) {
				h := r.serve(target)
				beats := i % 2
				time.Sleep(time.Duration(beats) * (heartbeat + time.Second))
				close(r.stop)
				if synctest.Wait(); i%3 > 0 {
					time.Sleep(hold.StopSpread / 2)
				}
				ended := h.over()
				r.ring(channel)
				<-h.done
				synctest.Wait()
				switch {
				case h.report.Outcome == hold.Event:
					wantRung(t, h, channel, beats)
				case !ended && i%3 == 0 || h.report.Outcome != hold.Stopped:
					t.Errorf("%s: got %+v", target, h.report)
				}
				r.wantHolds(0)
			})
		}
	}
}

// While a sign of life is being written, the server's end and an event both come.
func TestAnEventThatMeetsTheEndOfAPatientIsDelivered(t *testing.T) {
	met := 0
	for range 100 {
		bubble(t, func(r *rig) {
			c := newClient()
			c.stuck = make(chan struct{})
			h := r.serveTo(c, get("/doorbell/1"))
			time.Sleep(heartbeat - hold.StopSpread/2)
			close(r.stop)
			time.Sleep(hold.StopSpread / 2)
			synctest.Wait()
			if c.status != http.StatusOK { // the end came first
				close(c.stuck)
				<-h.done
				return
			}
			met++
			time.Sleep(hold.StopSpread)
			r.publish("1", "")
			synctest.Wait()
			close(c.stuck)
			r.ended(h, hold.Event, 1)
			wantRung(t, h, "1", 1)
			r.wantHolds(0)
			r.wantFanouts(1)
		})
	}
	if met == 0 {
		t.Error("they never met")
	}
}

func TestASignOfLifeHidesNoEvent(t *testing.T) {
	for range 200 {
		bubble(t, func(r *rig) {
			r.change = func(h *hold.Hold) { h.Heartbeat = time.Second }
			h := r.serve("/doorbell/1")
			beats := rand.IntN(4)
			time.Sleep(time.Duration(beats) * time.Second) // both in one instant
			r.publish("1", "")
			r.ended(h, hold.Event, 1)
			rung, ok := strings.CutSuffix(string(h.body), "doorbell(1);")
			if !ok || strings.Trim(rung, "\n") != "" || len(rung) > beats {
				t.Errorf("got %q", h.body)
			}
			r.wantHolds(0)
			r.wantFanouts(1)
		})
	}
}

// chatter asks as the seed's page does, and sometimes loses an answer.
func (r *rig) chatter(cursor string) (got []string, _ string) {
	req := get("/backend.php?timestamp=" + cursor)
	h := r.hold(req)
	h.Heartbeat = time.Duration(1+rand.IntN(4)) * 250 * time.Millisecond
	c := newClient()
	if rand.IntN(8) == 0 {
		c.takes = rand.IntN(2)
	}
	report, err := h.Serve(c, req)
	if err != nil || report.Abort != (report.Outcome == hold.ClientGone) {
		r.Error(report, err)
	}
	if report.Outcome != hold.Event {
		return nil, cursor
	}
	var a struct {
		Msg       string
		Timestamp int64
	}
	if err := json.Unmarshal(c.body, &a); err != nil {
		r.Fatalf("%v in %q", err, c.body)
	}
	return []string{a.Msg}, strconv.FormatInt(a.Timestamp, 10)
}

func TestAChatReadsEachMessageOnceWhateverMeets(t *testing.T) {
	bubble(t, func(r *rig) {
		const messages = 500
		done := make(chan struct{})
		r.say("before")
		synctest.Wait()
		before, _ := r.hub.Info("chat")
		for range 4 {
			go func() {
				follow(r.T, messages, strconv.FormatInt(before.Stamp, 10), r.chatter)
				done <- struct{}{}
			}()
		}
		for i := range messages {
			// On average one a second; stamps may be 5 s ahead of the clock.
			time.Sleep(time.Duration(4+rand.IntN(4)) * 250 * time.Millisecond)
			r.say(strconv.Itoa(i))
		}
		for range 4 {
			<-done
		}
		synctest.Wait()
		r.wantHolds(0)
	})
}

func TestASlowPatientIsEndedAndHoldsUpNobody(t *testing.T) {
	for _, where := range []string{"sign of life", "answer"} {
		t.Run(where, func(t *testing.T) {
			bubble(t, func(r *rig) {
				c := newClient()
				h := r.serveTo(c, get("/doorbell/1"))
				began := time.Now()
				if where == "answer" {
					time.Sleep(heartbeat + time.Second)
				}
				c.mu.Lock()
				c.stuck = make(chan struct{}) // nobody reads any more
				c.mu.Unlock()
				want := heartbeat + 30*time.Second
				if where == "answer" {
					want += time.Second
				} else {
					time.Sleep(heartbeat + time.Second)
				}
				other := r.serve("/doorbell/1")
				r.publish("1", "")
				r.ended(other, hold.Event, 1)
				r.wantFanouts(0)
				r.ended(h, hold.Slow, 0)
				if took := time.Since(began); took != want || h.report.Abort {
					t.Errorf("got %+v after %v, want %v", h.report, took, want)
				}
				r.wantHolds(0)
				r.wantFanouts(1)
			})
		})
	}
}

func TestAWriteErrorEndsAPatientWhereverItComes(t *testing.T) {
	for takes, where := range []string{"first sign of life", "second", "answer"} {
		t.Run(where, func(t *testing.T) {
			bubble(t, func(r *rig) {
				c := newClient()
				c.takes = takes
				h := r.serveTo(c, get("/doorbell/1"))
				time.Sleep(2*heartbeat + 1)
				r.publish("1", "")
				r.ended(h, hold.ClientGone, 0)
				r.wantHolds(0)
				r.wantFanouts(map[bool]int64{true: 1, false: 0}[where == "answer"])
			})
		})
	}
	bubble(t, func(r *rig) {
		c := newClient()
		c.takes = 0
		h := r.serveTo(c, get("/doorbell/1"))
		r.publish("1", "")
		r.ended(h, hold.ClientGone, 0)
		r.wantFanouts(1)
	})
}

func TestAHeadRequestOfAPatientDoesNotWait(t *testing.T) {
	bubble(t, func(r *rig) {
		for target := range patients {
			h := r.serveTo(newClient(), httptest.NewRequest(http.MethodHead, target, nil))
			r.ended(h, hold.Timeout, 0)
			if h.took != 0 || h.status != http.StatusOK || len(h.body) != 0 {
				t.Errorf("%s: got %d %q after %v", target, h.status, h.body, h.took)
			}
			wantHeader(t, h.header)
		}
		r.wantHolds(0)
	})
}

func TestAPatientOnHTTP3BeatsBeforeQUICGivesUp(t *testing.T) {
	bubble(t, func(r *rig) {
		r.change = func(h *hold.Hold) { h.Heartbeat = time.Hour }
		req := get("/doorbell/1")
		req.ProtoMajor = 3
		h := r.serveTo(newClient(), req)
		time.Sleep(61 * time.Second)
		synctest.Wait()
		if got := string(h.read()); got != "\n\n\n" {
			t.Errorf("got %q", got)
		}
		h.hang()
		r.ended(h, hold.ClientGone, 0)
	})
}

func TestAFullHubRefusesAPatient(t *testing.T) {
	bubble(t, func(r *rig) {
		limits := r.hub.Limits()
		limits.Holds = 0
		r.hub.SetLimits(limits)
		for target := range patients {
			h := r.serve(target)
			r.ended(h, hold.Denied, 0)
			if h.status != http.StatusServiceUnavailable || h.report.Abort {
				t.Errorf("%s: got %+v, %d", target, h.report, h.status)
			}
			wantRetryAfter(t, h.header)
		}
	})
}

// A log that begins anew may have lost the event.
func TestADoorbellThatMayHaveRungRings(t *testing.T) {
	bubble(t, func(r *rig) {
		waiting := []*held{r.serve("/doorbell/1"), r.serve("/doorbell/2")}
		chat := r.serve("/backend.php")
		r.hub.Reset(r.hub.Cursor().Epoch+1, 0)
		for i, h := range waiting {
			r.ended(h, hold.Gap, 0)
			if want := fmt.Sprintf("doorbell(%d);", i+1); string(h.body) != want {
				t.Errorf("got %q, want %q", h.body, want)
			}
		}
		if chat.over() {
			t.Errorf("the chat got %q", chat.body)
		}
		chat.hang()
		r.ended(chat, hold.ClientGone, 0)
		r.wantHolds(0)
	})
}
