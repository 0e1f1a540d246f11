package access

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestEachPublisherHasHisOwnRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := NewQuota(Rate{Events: 2, Per: time.Second, Burst: 4})
		shop, forum, key := Publisher{User: 1004}, Publisher{User: 1005}, Publisher{Key: KeyOf(first)}
		take := func(who Publisher, n int, want time.Duration) {
			t.Helper()
			if wait, err := q.Take(who, n); err != nil || wait != want {
				t.Errorf("wait %s, %v; want %s", wait, err, want)
			}
		}
		take(shop, 3, 0)
		take(shop, 1, 0)
		take(shop, 1, 500*time.Millisecond)
		take(shop, 4, 2*time.Second) // what was refused took nothing
		take(forum, 4, 0)
		take(key, 4, 0)
		take(Publisher{}, 4, 0)
		time.Sleep(500 * time.Millisecond)
		take(shop, 1, 0)
		take(shop, 1, 500*time.Millisecond)
		time.Sleep(time.Hour)
		take(shop, 4, 0)
		take(shop, 1, 500*time.Millisecond)
		var never ErrNever
		if _, err := q.Take(shop, 5); !errors.As(err, &never) || never.Burst != 4 {
			t.Errorf("more than the burst: %v", err)
		}
	})
}
