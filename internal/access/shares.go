package access

import "sync"

// Shares counts what is held for each name, so that nobody has more than his share. The
// zero value is ready. It is safe for concurrent use.
type Shares struct {
	mu    sync.Mutex
	taken map[string]int
}

// Share is what somebody may have: so many by one name.
type Share struct {
	Name string
	Most int
}

// Take counts one more by each of the shares' names, and returns which share there is no
// room in, if there is one; then none is counted.
func (s *Shares) Take(shares []Share) (full Share, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, share := range shares {
		if s.taken[share.Name] >= share.Most {
			return share, false
		}
	}
	if s.taken == nil {
		s.taken = make(map[string]int)
	}
	for _, share := range shares {
		s.taken[share.Name]++
	}
	return Share{}, true
}

// Release counts one less by each of the names.
func (s *Shares) Release(shares []Share) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, share := range shares {
		if s.taken[share.Name]--; s.taken[share.Name] <= 0 {
			delete(s.taken, share.Name)
		}
	}
}

// Empty reports whether nothing is counted.
func (s *Shares) Empty() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.taken) == 0
}
