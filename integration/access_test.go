package integration

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestPHPDecidesWhoMayListen by its own session, with the documented page and the
// documented way out, in php-fpm and in Apache; and is asked once a visitor.
func TestPHPDecidesWhoMayListen(t *testing.T) {
	for _, server := range []string{"php-fpm", "Apache"} {
		t.Run(server, func(t *testing.T) {
			dir := runDir(t)
			site(t, dir)
			listen, publish := port(t), port(t)
			asked := filepath.Join(dir, "run", "asked")
			write(t, filepath.Join(dir, "www", "login.php"), `<?php session_start(); $_SESSION['user'] = $_GET['user']; echo 'hello';`)
			write(t, filepath.Join(dir, "www", "comet-auth.php"), documented(t, "php-authorize", "// comet-auth.php",
				"file_put_contents('"+asked+"', $_SERVER['HTTP_COMET_CHANNELS'].' '.$_SERVER['HTTP_X_ORIGINAL_URI'].' '.$_SERVER['REMOTE_ADDR'].PHP_EOL, FILE_APPEND);"))
			write(t, filepath.Join(dir, "www", "logout.php"), documented(t, "php-kick", "127.0.0.1:2020", "127.0.0.1:"+publish))
			change := []string{"example.com", "http://127.0.0.1:" + listen, "/srv/www", dir + "/www", "/run/php/php-fpm.sock", dir + "/fpm.sock"}
			if server == "Apache" {
				behind := port(t)
				change = append(change, "php_fastcgi unix/"+dir+"/fpm.sock", "reverse_proxy 127.0.0.1:"+behind)
				apache(t, dir, behind)
			} else {
				fpm(t, dir, 2)
			}
			caddy(t, dir, "{\n\tauto_https off\n}\n"+documented(t, "authorize", change...)+fmt.Sprintf(`
http://127.0.0.1:%s {
	bind 127.0.0.1
	comet_publish
}
`, publish))
			base := "http://127.0.0.1:" + listen

			if res, body := get(t, base+"/comet/news?wait=0"); res.StatusCode != http.StatusForbidden || body != "Please sign in." {
				t.Errorf("a visitor who has not signed in got %s %q", res.Status, body)
			}
			visitor := func(user string) *http.Client {
				jar, err := cookiejar.New(nil)
				if err != nil {
					t.Fatal(err)
				}
				c := &http.Client{Jar: jar, Timeout: patience}
				if _, body := getAs(t, c, base+"/login.php?user="+user); body != "hello" {
					t.Fatalf("the login says %q", body)
				}
				return c
			}
			anna, ben := visitor("anna"), visitor("ben")
			begin, err := os.ReadFile(asked)
			if err != nil {
				t.Fatal(err)
			}
			streams := make(map[string]*http.Response)
			for name, c := range map[string]*http.Client{"anna": anna, "ben": ben} {
				res, err := c.Get(base + "/comet/news,user-anna-mail?as=stream")
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { res.Body.Close() })
				streams[name] = res
				for range 5 {
					if res, body := getAs(t, c, base+"/comet/news,user-anna-mail?wait=0"); res.StatusCode != http.StatusOK {
						t.Errorf("%s got %s %s", name, res.Status, body)
					}
				}
			}
			if got := streams["ben"].Header.Get("Comet-Denied") + streams["anna"].Header.Get("Comet-Denied"); got != "user-anna-mail" {
				t.Errorf("Comet-Denied is %q", got)
			}
			questions, err := os.ReadFile(asked)
			if err != nil {
				t.Fatal(err)
			}
			const question = "news,user-anna-mail /comet/news,user-anna-mail?as=stream 127.0.0.1\n"
			if got := strings.TrimPrefix(string(questions), string(begin)); got != question+question {
				t.Errorf("PHP was asked:\n%s", got)
			}

			post := func(channel, data string) {
				t.Helper()
				res, err := plain.Post("http://127.0.0.1:"+publish+"/"+channel, "text/plain", strings.NewReader(data))
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
			}
			post("user-anna-mail", "for Anna")
			post("news", "for both")
			text := readUntil(t, streams["anna"], "for both") // a kick does not wait for what is on its way
			if _, body := getAs(t, anna, base+"/logout.php"); body != "Goodbye." {
				t.Errorf("the logout says %q", body)
			}
			post("news", "after the logout")
			post("news", "the end")
			if text += allOf(t, streams["anna"]); !strings.Contains(text, "for Anna") || strings.Contains(text, "after the logout") || !strings.Contains(text, `"retry":`) {
				t.Errorf("Anna heard %s", text)
			}
			if res, _ := getAs(t, anna, base+"/comet/news,user-anna-mail?wait=0"); res.StatusCode != http.StatusForbidden {
				t.Errorf("after her logout Anna gets %s", res.Status)
			}
			if text := readUntil(t, streams["ben"], "the end"); strings.Contains(text, "Anna") {
				t.Errorf("Ben heard %s", text)
			}
		})
	}
}

func getAs(t *testing.T, c *http.Client, url string) (*http.Response, string) {
	t.Helper()
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	return res, allOf(t, res)
}

// readUntil reads an answer until that has come.
func readUntil(t *testing.T, res *http.Response, last string) string {
	t.Helper()
	var text strings.Builder
	for b := make([]byte, 1024); !strings.Contains(text.String(), last); {
		n, err := res.Body.Read(b)
		if text.Write(b[:n]); err != nil {
			t.Fatalf("%v behind %s", err, &text)
		}
	}
	return text.String()
}

func allOf(t *testing.T, res *http.Response) string {
	t.Helper()
	stop := time.AfterFunc(patience, func() { res.Body.Close() })
	defer stop.Stop()
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
