package access

import (
	"crypto/sha256"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Cookies says which of a visitor's cookies are his session. They are what a decision
// is remembered by, and all that the site is shown when it decides: what it does not
// see cannot matter to it. nil are all but those of which it is known that no site
// decides by them, such as the counters' of visits.
type Cookies []string

// presets are the cookies of well-known software.
var presets = map[string]Cookies{
	"php":       {"PHPSESSID", "__Secure-PHPSESSID", "__Host-PHPSESSID"},
	"wordpress": {"wordpress_logged_in_*", "wordpress_sec_*", "wp-postpass_*"},
	"laravel":   {"laravel_session", "*_session", "*-session", "remember_web_*"},
	"drupal":    {"SESS*", "SSESS*"},
	"phpbb":     {"phpbb*_sid", "phpbb*_u", "phpbb*_k"},
	"nextcloud": {"oc*", "nc_*", "__Host-nc_*"},
}

// others are cookies by which no site decides.
var others = Cookies{
	"_ga", "_ga_*", "_gid", "_gat*", "_gcl_*", "_gac_*", "__utm*", "_fbp", "_fbc", "_pk_*", "_hj*", "_clck", "_clsk", "_uet*",
	"__cf_bm", "OptanonConsent", "OptanonAlertBoxClosed", "CookieConsent", "cookieconsent_*", "_dd_s", "ajs_*", "hubspotutk", "__hs*",
}

// maxCookies is how many names there may be.
const maxCookies = 100

// cookieName is a token (RFC 6265 section 4.1.1), or a pattern of one.
var cookieName = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,255}$")

// Presets are the names of those that there are, in order.
func Presets() []string {
	names := make([]string, 0, len(presets))
	for name := range presets {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ParseCookies reads names, patterns with `*`, and presets.
func ParseCookies(words []string) (Cookies, error) {
	var c Cookies
	for _, word := range words {
		switch preset, ok := presets[word]; {
		case ok:
			c = append(c, preset...)
		case cookieName.MatchString(word):
			c = append(c, word)
		default:
			return nil, fmt.Errorf("%q is no cookie's name; write names such as PHPSESSID, patterns such as wp_*, or one of %s", word, strings.Join(Presets(), ", "))
		}
	}
	if len(c) > maxCookies {
		return nil, fmt.Errorf("%d cookies are too many to be a session; %d are the most", len(c), maxCookies)
	}
	return c, nil
}

// Choose returns what of a Cookie header is the session, as a header of its own, ""
// where there is none of it; and what the session is known by. More than [MaxDigests]
// of these say that there are too many, and not what the others are.
func (c Cookies) Choose(header string) (session string, digests []string) {
	var b strings.Builder
	for pair := range strings.SplitSeq(header, ";") {
		pair = strings.Trim(pair, " \t")
		name, value, ok := strings.Cut(pair, "=")
		if !ok || name == "" || !c.counts(name) {
			continue
		}
		if b.Len() > 0 {
			b.WriteString("; ")
		}
		b.WriteString(pair)
		if len(digests) <= MaxDigests {
			digests = append(digests, Digest(value))
			if plain, err := url.QueryUnescape(value); err == nil && plain != value {
				digests = append(digests, Digest(plain))
			}
		}
	}
	return b.String(), digests
}

// MaxDigests bounds what a session is known by, which is written down with each
// decision. A cookie has two where it is percent-encoded. Whoever has more must be let
// in nowhere: a kick by the cookie that is left out would miss him.
const MaxDigests = 64

func (c Cookies) counts(name string) bool {
	if c == nil {
		return !Patterns(others).Match(name)
	}
	return Patterns(c).Match(name)
}

// Digest is what a session is known by in place of its cookie's value, which is a
// secret.
func Digest(value string) string {
	sum := sha256.Sum256([]byte(value))
	return string(sum[:16])
}
