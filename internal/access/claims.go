package access

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-jose/go-jose/v4/json"

	"github.com/caddy-comet/caddy-comet/internal/hub"
)

// claims are what a token says. It is read by a JSON that knows no two spellings of a
// name and takes none twice.
type claims struct {
	Issuer   json.RawMessage `json:"iss"`
	Subject  json.RawMessage `json:"sub"`
	Session  json.RawMessage `json:"sid"`
	Audience json.RawMessage `json:"aud"`
	Issued   json.RawMessage `json:"iat"`
	Begins   json.RawMessage `json:"nbf"`
	Expires  json.RawMessage `json:"exp"`
	Channels json.RawMessage `json:"channels"`
}

// skew is how far another machine's clock may be ahead of ours. The end of a token is
// taken as it is: who comes too late asks for another one.
const skew = 30 * time.Second

// maxVisitor is how many bytes a user's name may have.
const maxVisitor = 255

func parseClaims(payload []byte) (c claims, err error) {
	switch {
	case !utf8.Valid(payload):
		err = errors.New("what it says is not UTF-8")
	case json.Unmarshal(payload, &c) != nil:
		err = errors.New("what it says is no JSON object that has each claim once")
	}
	return c, err
}

// readClaims checks what a token says, and returns what it grants.
func readClaims(payload []byte, audience string, now time.Time) (Grant, error) {
	c, err := parseClaims(payload)
	if err != nil {
		return Grant{}, err
	}
	if err := c.meant(audience); err != nil {
		return Grant{}, err
	}
	issued, expires, err := c.valid(now)
	if err != nil {
		return Grant{}, err
	}
	user, err := c.user()
	if err != nil {
		return Grant{}, err
	}
	sessions, err := c.sessions()
	if err != nil {
		return Grant{}, err
	}
	var names []string
	switch err := json.Unmarshal(c.Channels, &names); {
	case c.Channels == nil || (err == nil && len(names) == 0):
		return Grant{}, errors.New(`it names no channels; add the claim "channels": ["news", "user-42-*"]`)
	case err != nil:
		return Grant{}, errors.New(`its channels are no list of names; write "channels": ["news", "user-42-*"]`)
	}
	patterns, err := ParsePatterns(names)
	if err != nil {
		return Grant{}, err
	}
	return Grant{Who: &hub.Who{User: user, Sessions: sessions, Granted: issued, Expires: expires}, Channels: patterns}, nil
}

// meant reports whether the token is for somebody else.
func (c *claims) meant(audience string) error {
	if c.Audience == nil {
		return fmt.Errorf(`it does not say whom it is for; add the claim "aud": %q`, audience)
	}
	var all []string
	if err := json.Unmarshal(c.Audience, &all); err != nil {
		var one string
		if err := json.Unmarshal(c.Audience, &one); err != nil {
			return fmt.Errorf(`its aud is neither a name nor a list of names; write "aud": %q`, audience)
		}
		all = []string{one}
	}
	if !slices.Contains(all, audience) {
		return fmt.Errorf(`it is for another hub; for this one it has the claim "aud": %q`, audience)
	}
	return nil
}

// valid returns from when until when the token is good, if that is now.
func (c *claims) valid(now time.Time) (issued, expires time.Time, err error) {
	if issued, err = date("iat", c.Issued); err != nil {
		return
	}
	if expires, err = date("exp", c.Expires); err != nil {
		return
	}
	begins := issued
	if c.Begins != nil {
		if begins, err = date("nbf", c.Begins); err != nil {
			return
		}
	}
	switch {
	case issued.IsZero():
		err = errors.New(`it does not say when it was made, so that it could not be taken back; add the claim "iat", seconds since 1970`)
	case expires.IsZero():
		err = errNoEnd
	case expires.Sub(issued) > hub.KickKeep:
		err = fmt.Errorf("it is good for more than %d hours; who is kicked is remembered for no longer, so let it end earlier", hub.KickKeep/time.Hour)
	case !now.Before(expires):
		err = ended(expires, now)
	case issued.Sub(now) > skew:
		err = fmt.Errorf("it was made in %v; the clocks of both machines must agree to %v", issued.Sub(now).Round(time.Second), skew)
	case begins.Sub(now) > skew:
		err = fmt.Errorf("it begins in %v", begins.Sub(now).Round(time.Second))
	case issued.After(now):
		issued = now // else a kick within the next seconds would not be later
	}
	return
}

var errNoEnd = errors.New(`it does not say when it ends; add the claim "exp", seconds since 1970`)

func ended(expires, now time.Time) error {
	return fmt.Errorf("it ended %v ago", now.Sub(expires).Round(time.Second))
}

// lastDate is the end of the year 9999.
const lastDate = 253402300799

// date reads a NumericDate to the millisecond. What is missing is the zero time.
func date(name string, raw json.RawMessage) (time.Time, error) {
	if raw == nil {
		return time.Time{}, nil
	}
	var seconds *float64
	if err := json.Unmarshal(raw, &seconds); err != nil || seconds == nil || *seconds < 1 {
		return time.Time{}, fmt.Errorf("its %s is no number of seconds since 1970, as in %d", name, 1760000000)
	}
	if *seconds > lastDate {
		return time.Time{}, fmt.Errorf("its %s is far in the future; it is seconds since 1970, not milliseconds", name)
	}
	return time.UnixMilli(int64(math.Round(*seconds * 1000))), nil
}

func (c *claims) user() (string, error) {
	if c.Subject == nil {
		return "", nil
	}
	var user *string
	if err := json.Unmarshal(c.Subject, &user); err != nil || user == nil {
		return "", errors.New(`its sub, the user, is no string; write "sub": "42"`)
	}
	return *user, CheckVisitor(*user)
}

// sessions returns what the visitor's session is known by (OpenID Connect Front-Channel
// Logout 1.0, section 3).
func (c *claims) sessions() ([]string, error) {
	if c.Session == nil {
		return nil, nil
	}
	var session *string
	if err := json.Unmarshal(c.Session, &session); err != nil || session == nil || *session == "" || len(*session) > maxVisitor {
		return nil, fmt.Errorf(`its sid, the session, is no string of 1 to %d bytes; write "sid": "…", or leave it out`, maxVisitor)
	}
	return []string{Digest(*session)}, nil
}

// CheckVisitor reports why a visitor cannot have that name. "" is no name, and no mistake.
func CheckVisitor(name string) error {
	switch {
	case len(name) > maxVisitor:
		return fmt.Errorf("the user's name has %d bytes, and %d are the most", len(name), maxVisitor)
	case !utf8.ValidString(name):
		return errors.New("the user's name is not UTF-8")
	}
	for _, r := range name {
		if unicode.IsControl(r) {
			return fmt.Errorf("the user's name has the control character %U", r)
		}
	}
	return nil
}
