package access

import (
	"slices"
	"strings"
	"testing"
)

func TestTheSessionIsChosenFromAllCookies(t *testing.T) {
	for _, c := range []struct{ words, header, want string }{
		{"php", "_ga=1; PHPSESSID=abc; theme=dark", "PHPSESSID=abc"},
		{"php", "theme=dark", ""},
		{"php", "", ""},
		{"php", "phpsessid=abc; PHPSESSID2=x; xPHPSESSID=y", ""},
		{"php", "PHPSESSID=a;PHPSESSID=b ; PHPSESSID", "PHPSESSID=a; PHPSESSID=b"}, // PHP takes the first
		{"wordpress", "wordpress_test_cookie=1; wordpress_logged_in_123=u%7Cx; wp-settings-1=y", "wordpress_logged_in_123=u%7Cx"},
		{"laravel remember", "shop_session=1; XSRF-TOKEN=2; remember=3", "shop_session=1; remember=3"},
		{"drupal", "SSESSabc=1; SESSdef=2; has_js=1", "SSESSabc=1; SESSdef=2"},
		{"phpbb", "phpbb3_abc_sid=1; phpbb3_abc_u=2; phpbb3_abc_k=; other=1", "phpbb3_abc_sid=1; phpbb3_abc_u=2; phpbb3_abc_k="},
		{"nextcloud", "oc1234=1; nc_username=u; __Host-nc_sameSiteCookielax=true; x=1", "oc1234=1; nc_username=u; __Host-nc_sameSiteCookielax=true"},
		{"my_*", `my_a="quoted; my_b=1; other=2`, `my_a="quoted; my_b=1`},
		{"", "a=1; _ga=2; _ga_XY=3; _gid=4; __utma=5; b=2; _pk_id.1=6", "a=1; b=2"},
	} {
		cookies, err := ParseCookies(strings.Fields(c.words))
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := cookies.Choose(c.header); got != c.want {
			t.Errorf("%s: of %q got %q, want %q", c.words, c.header, got, c.want)
		}
	}
}

func TestASessionIsKnownByItsCookiesValues(t *testing.T) {
	_, digests := Cookies{"a", "b"}.Choose("a=x%2Fy; c=no; b=z")
	for _, value := range []string{"x%2Fy", "x/y", "z"} {
		if !slices.Contains(digests, Digest(value)) {
			t.Errorf("not by %q", value)
		}
	}
	if len(digests) != 3 {
		t.Errorf("%q", digests)
	}
	if _, digests = Cookies(nil).Choose(strings.Repeat("a=%20;", 1000)); len(digests) <= MaxDigests || len(digests) > MaxDigests+2 {
		t.Errorf("%d of one session", len(digests))
	}
}

func TestNamesOfCookies(t *testing.T) {
	for _, words := range [][]string{{"a b"}, {"a=b"}, {"ä"}, {""}, {strings.Repeat("a", 256)}, make([]string, 101)} {
		if words[0] == "" && len(words) > 1 {
			for i := range words {
				words[i] = "a"
			}
		}
		if _, err := ParseCookies(words); err == nil {
			t.Errorf("%d words, %q, are taken", len(words), words[0])
		}
	}
	if got := strings.Join(Presets(), " "); got != "drupal laravel nextcloud php phpbb wordpress" {
		t.Error(got)
	}
}
