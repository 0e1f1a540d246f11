package access

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// site is who decides.
type site struct {
	*testing.T
	*Decisions
	asked   int
	verdict Verdict
	err     error
	slow    time.Duration
	// meanwhile, if not nil, happens while it is asked.
	meanwhile func()
	// kicked is since when grants are void.
	kicked time.Time
}

func newSite(t *testing.T) *site {
	s := &site{T: t, Decisions: NewDecisions(3, nil)}
	s.verdict = Verdict{For: 5 * time.Minute, Grant: Grant{Who: &hub.Who{User: "42"}}}
	return s
}

func (s *site) question(key string) Question {
	return Question{
		Fingerprint: FingerprintOf(key),
		Ask: func(time.Time) (Verdict, error) {
			s.asked++
			verdict, err := s.verdict, s.err
			time.Sleep(s.slow)
			if s.meanwhile != nil {
				s.meanwhile()
			}
			return verdict, err
		},
		Void: func(g Grant) bool { return !g.Who.Granted.After(s.kicked) },
	}
}

// decides wants an answer, and how often the site has been asked since the last time.
func (s *site) decides(key string, yes bool, asked int) Verdict {
	s.Helper()
	v, err := s.Decide(s.Context(), s.question(key))
	if got := err == nil && v.Refusal == nil; got != yes || s.asked != asked {
		s.Errorf("%s: %v %v %v after %d questions, want %v after %d", key, got, v.Refusal, err, s.asked, yes, asked)
	}
	s.asked = 0
	return v
}

func TestADecisionIsRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		who := s.decides("a", true, 1).Who
		if again := s.decides("a", true, 0).Who; again != who || who.User != "42" || who.Granted != time.Now() {
			t.Errorf("%+v %+v", who, again)
		}
		if left := time.Until(who.Expires); left > 5*time.Minute || left < 4*time.Minute {
			t.Errorf("it expires in %v", left)
		}
		s.decides("b", true, 1)
		time.Sleep(4 * time.Minute)
		s.decides("a", true, 0)
		time.Sleep(time.Minute + time.Second)
		if s.decides("a", true, 1).Who == who {
			t.Error("the new grant is the old one")
		}
	})
}

func TestARefusalIsRememberedForAMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		yes := s.verdict
		s.verdict = Verdict{Refusal: &Refusal{Status: 403}}
		s.decides("a", false, 1)
		s.decides("a", false, 0)
		s.verdict = yes
		time.Sleep(RefusalKeep)
		s.decides("a", true, 1)
		s.verdict = Verdict{Refusal: &Refusal{Status: 403}}
		s.decides("a", true, 0)
		time.Sleep(6 * time.Minute)
		s.decides("a", false, 1)
		s.err = errors.New("the site is down")
		time.Sleep(RefusalKeep)
		s.decides("a", false, 1) // what it was allowed before counts no more
	})
}

func TestASiteThatIsDownKeepsWhomItHadAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.decides("a", true, 1)
		s.err = errors.New("the site is down")
		s.decides("b", false, 1)
		for range 10 {
			time.Sleep(5 * time.Minute)
			v := s.decides("a", true, 1)
			if left := time.Until(v.Who.Expires); v.Who.User != "42" || left <= 0 || left > Grace {
				t.Errorf("%+v", v.Who)
			}
			s.decides("a", true, 0)
		}
		s.kicked = time.Now()
		s.decides("a", false, 1)
		s.kicked = time.Time{}
		s.decides("a", false, 1) // it is forgotten
		s.err = nil
		time.Sleep(time.Second)
		s.decides("a", true, 1)
		s.err = errors.New("the site is down")
		for end := time.Now().Add(MaxGrace); time.Now().Before(end); {
			time.Sleep(10 * time.Minute)
		}
		s.decides("a", true, 1)
		time.Sleep(10 * time.Minute)
		s.decides("a", false, 1)
	})
}

func TestEqualQuestionsAreAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.slow = time.Second
		impatient, cancel := context.WithCancel(t.Context())
		gone := make(chan error)
		go func() {
			_, err := s.Decide(impatient, s.question("a"))
			gone <- err
		}()
		synctest.Wait()
		answers := make(chan Verdict, 100)
		for range cap(answers) {
			go func() {
				v, _ := s.Decide(t.Context(), s.question("a"))
				answers <- v
			}()
		}
		synctest.Wait()
		cancel() // nobody else is concerned
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		first := <-answers
		for range cap(answers) - 1 {
			if v := <-answers; v.Who == nil || v.Who != first.Who {
				t.Errorf("%+v", v)
			}
		}
		if s.asked != 1 {
			t.Errorf("it was asked %d times", s.asked)
		}
	})
}

// An answer to what was asked before a kick does not count.
func TestAKickWhileASiteIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.slow = time.Second
		s.meanwhile = func() {
			s.kicked = time.Now()
			s.verdict = Verdict{Refusal: &Refusal{Status: 401}}
		}
		s.decides("a", false, 2)
		s.meanwhile = nil
		s.kicked = time.Now().Add(time.Hour)
		s.verdict = Verdict{For: time.Minute}
		_, err := s.Decide(t.Context(), s.question("b"))
		if !errors.Is(err, hub.ErrKicked) || s.asked != maxVoid {
			t.Errorf("%v after %d questions", err, s.asked)
		}
	})
}

func TestTheLongestUnusedDecisionsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		for i := range 4 {
			s.decides(fmt.Sprint(i), true, 1)
			if i > 0 {
				s.decides("0", true, 0)
			}
		}
		s.decides("1", true, 1)
		s.decides("0", true, 0)
		s.Resize(1)
		s.decides("1", true, 1)
	})
}

func TestFingerprintsDifferWhereTheirFieldsDo(t *testing.T) {
	seen := make(map[Fingerprint][]string)
	for _, fields := range [][]string{{}, {""}, {"", ""}, {"a", "b"}, {"ab"}, {"a", "", "b"}, {"b", "a"}, {"ab", ""}, {"", "ab"}} {
		k := FingerprintOf(fields...)
		if other, ok := seen[k]; ok {
			t.Errorf("%q and %q have the same", fields, other)
		}
		seen[k] = fields
	}
}
