package integration

import (
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// gripKey is a secret as GRIP_URL has it: of bytes that no text has.
const gripKey = "base64:/wD+gWtleSB0aGF0IGlzIHNoYXJlZCBieSBQSFAgYW5kIHVz"

// gripSite has the pages of a site that signs and checks signatures as the libraries of
// GRIP do, with nothing but PHP's own functions.
func gripSite(t *testing.T, dir, publish string) {
	t.Helper()
	write(t, filepath.Join(dir, "www", "grip.inc"), `<?php
$key = base64_decode(substr('`+gripKey+`', strlen('base64:')));
function encoded($text) { return rtrim(strtr(base64_encode($text), '+/', '-_'), '='); }
function decoded($text) { return base64_decode(strtr($text, '-_', '+/')); }
function signed($claims) {
	$text = encoded('{"typ":"JWT","alg":"HS256"}') . '.' . encoded(json_encode($claims));
	return $text . '.' . encoded(hash_hmac('sha256', $text, $GLOBALS['key'], true));
}
`)
	write(t, filepath.Join(dir, "www", "hold.php"), `<?php
require 'grip.inc';
list($head, $body, $signature) = explode('.', isset($_SERVER['HTTP_GRIP_SIG']) ? $_SERVER['HTTP_GRIP_SIG'] : '..');
$claims = json_decode(decoded($body), true);
if (!hash_equals(hash_hmac('sha256', "$head.$body", $key, true), decoded($signature)) || json_decode(decoded($head))->alg !== 'HS256') {
	http_response_code(501);
	exit('not proxied');
}
if ($claims['iss'] !== 'pushpin' || count($claims) !== 2 || $claims['exp'] - time() > 3600 || $claims['exp'] - time() < 3500) {
	exit(json_encode($claims));
}
file_put_contents("`+dir+`/run/hold.asks", 'x', FILE_APPEND);
header('Grip-Hold: response');
header('Grip-Channel: fruit; prev-id=');
header('Grip-Timeout: 60');
`)
	write(t, filepath.Join(dir, "www", "publish.php"), `<?php
require 'grip.inc';
$token = isset($_GET['back']) ? $_SERVER['HTTP_GRIP_SIG'] : signed(array('iss' => $_GET['iss'], 'exp' => time() + $_GET['life']));
$curl = curl_init('http://`+publish+`/publish/');
curl_setopt_array($curl, array(CURLOPT_RETURNTRANSFER => true, CURLOPT_POSTFIELDS => '{"items":[{"formats":{"http-response":{"body":"kiwi"}},"channel":"fruit"}]}',
	CURLOPT_HTTPHEADER => array('Content-Type: application/json', "Authorization: Bearer $token")));
$answer = curl_exec($curl);
echo curl_getinfo($curl, CURLINFO_HTTP_CODE), ' ', $answer;
`)
}

// TestPHPAndTheServerSignForEachOther by the documented lines: PHP knows what came
// through the server, and the server what PHP publishes.
func TestPHPAndTheServerSignForEachOther(t *testing.T) {
	t.Setenv("GRIP_KEY", gripKey)
	backends(t, func(t *testing.T, dir, php string) {
		site, publish := "127.0.0.1:"+port(t), "127.0.0.1:"+port(t)
		gripSite(t, dir, publish)
		caddy(t, dir, "{\n\tauto_https off\n}\n"+documented(t, "handoff-grip", "example.com {", "http://"+site+" {", "127.0.0.1:2020", publish,
			"\troot /srv/www/example\n", "", "\tphp_fastcgi unix//run/php/php-fpm.sock\n\tfile_server\n", php))
		publishes := func(query, want string) {
			t.Helper()
			if _, body := get(t, "http://"+site+"/publish.php?"+query); !strings.Contains(body, want) {
				t.Errorf("%s: %s, want %s", query, body, want)
			}
		}
		for k, life := range []int{600, 3600} { // of fanout/grip, and of pubcontrol
			held := make(chan string, 1)
			go func() {
				r, err := http.NewRequest(http.MethodGet, "http://"+site+"/hold.php", nil)
				if err != nil {
					held <- err.Error()
					return
				}
				r.Header.Set("Grip-Sig", "forged")
				res, err := plain.Do(r)
				if err != nil {
					held <- err.Error()
					return
				}
				defer res.Body.Close()
				b, _ := io.ReadAll(res.Body)
				held <- res.Status + " " + string(b)
			}()
			var answer string
			until(t, "the request is held", func() bool {
				select {
				case answer = <-held:
				default:
				}
				return answer != "" || asksOf(dir, "hold") == k+1
			})
			if answer != "" {
				t.Fatalf("PHP does not hold: %s", answer)
			}
			publishes(fmt.Sprintf("iss=example&life=%d", life), "200 Published")
			if answer = <-held; answer != "200 OK kiwi" {
				t.Errorf("got %s", answer)
			}
		}
		publishes("iss=other&life=600", `401 {"error":"the token is refused: its iss is not that of the key which has signed it; write \"iss\": \"example\""}`)
		publishes("iss=example&life=-1", "401 {\"error\":\"the token is refused: it ended ")
		publishes("iss=example&life=86400", "401 {\"error\":\"the token is refused: it is good for ")
		publishes("back=1", `401 {"error":"the token is refused: its iss is not that of the key`)
	})
}
