package log

import "sync/atomic"

// generations is a map that forgets. It holds the limit's newest keys, and up
// to as many older ones: when the young generation is full it becomes the old
// one, and what was old and not asked for since is gone. So forgetting costs
// nothing per key, and no clock is needed.
type generations[K comparable, V any] struct {
	limit      *atomic.Int64
	young, old map[K]V
}

func newGenerations[K comparable, V any](limit int) generations[K, V] {
	g := generations[K, V]{limit: new(atomic.Int64)}
	g.limit.Store(int64(limit))
	return g
}

func (g *generations[K, V]) get(k K) (V, bool) {
	if v, ok := g.young[k]; ok {
		return v, true
	}
	v, ok := g.old[k]
	if ok {
		g.set(k, v)
	}
	return v, ok
}

func (g *generations[K, V]) remove(k K) {
	delete(g.young, k)
	delete(g.old, k)
}

func (g *generations[K, V]) set(k K, v V) {
	if g.young == nil {
		g.young = make(map[K]V)
	}
	if _, ok := g.young[k]; !ok && int64(len(g.young)) >= g.limit.Load() {
		g.old, g.young = g.young, make(map[K]V)
	}
	g.young[k] = v
}

// each calls f with all there is, the older ones first.
func (g *generations[K, V]) each(f func(K, V)) {
	for k, v := range g.old {
		if _, newer := g.young[k]; !newer {
			f(k, v)
		}
	}
	for k, v := range g.young {
		f(k, v)
	}
}
