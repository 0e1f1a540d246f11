package access

import (
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/json"
)

// signedAnew is how old a token may be that is sent again.
const signedAnew = time.Minute

// Signer makes tokens that say who has made them, and nothing else.
type Signer struct {
	issuer string
	signer jose.Signer

	mu    sync.Mutex
	token string
	made  time.Time
}

// NewSigner returns what signs with that key.
func NewSigner(k SharedKey) (*Signer, error) {
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: k.secret}, new(jose.SignerOptions).WithType("JWT"))
	return &Signer{issuer: k.issuer, signer: signer}, err
}

// Token returns one that is good for an hour, less a minute at most. now is a time of the
// day, which goes on while a machine sleeps.
func (s *Signer) Token(now time.Time) string {
	now = now.Round(0)
	s.mu.Lock()
	defer s.mu.Unlock()
	if age := now.Sub(s.made); s.token == "" || age < 0 || age >= signedAnew {
		s.token, s.made = s.sign(now), now
	}
	return s.token
}

// sign fails for no secret that is long enough, which a [SharedKey]'s is.
func (s *Signer) sign(now time.Time) string {
	payload, _ := json.Marshal(map[string]any{"iss": s.issuer, "exp": now.Add(sharedLife).Unix()})
	signed, err := s.signer.Sign(payload)
	if err != nil {
		return ""
	}
	token, _ := signed.CompactSerialize()
	return token
}
