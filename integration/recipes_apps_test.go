package integration

import (
	"encoding/json"
	"net/http"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The applications of the recipes are played by stand-ins: their functions, as far
// as the recipe calls them, which tell visitors apart by their session's cookie.

const wordPress = `<?php
define('IN_WORDPRESS', true);
function is_user_logged_in() { return isset($_COOKIE['wordpress_logged_in_x']); }
function get_current_user_id() { return (int) $_COOKIE['wordpress_logged_in_x']; }
function current_user_can($what) { return $what === 'edit_posts' && is_user_logged_in() && get_current_user_id() < 10; }
function status_header($code) { http_response_code($code); }
function is_singular() { return true; }
function comments_open() { return true; }
function get_queried_object_id() { return 5; }
function wp_is_post_revision($post) { return $post->ID === 99; }
function wp_is_post_autosave($post) { return false; }
function wp_enqueue_script(...$all) { echo 'enqueue ', json_encode($all), "\n"; }
function wp_add_inline_script(...$all) { echo 'inline ', json_encode($all), "\n"; }
function add_action($hook, $f, $priority = 10, $arguments = 1) { $GLOBALS['hooks'][$hook][] = array($f, $arguments); }
function add_filter($hook, $f) { add_action($hook, $f); }
function fire($hook, ...$all) {
	foreach ($GLOBALS['hooks'][$hook] as list($f, $n)) { $last = $f(...array_slice($all, 0, $n)); }
	return $last;
}
`

// TestTheWordPressRecipeWorks: who hears what, and what WordPress' hooks publish.
func TestTheWordPressRecipeWorks(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	plugins := dir + "/www/wp-content/mu-plugins"
	folders(t, plugins+"/comet")
	cometPHP(t, plugins+"/comet")
	write(t, plugins+"/comet.php", documented(t, "php-wordpress-plugin", "/run/comet/wordpress", dir+"/run"))
	write(t, dir+"/www/wp-load.php", wordPress)
	write(t, dir+"/www/comet-auth.php", documented(t, "php-wordpress-auth"))
	write(t, dir+"/www/do.php", `<?php
require 'wp-load.php';
require 'wp-content/mu-plugins/comet.php';
$comment = (object) array('comment_ID' => $_GET['id'] ?? '7', 'comment_post_ID' => '5', 'comment_approved' => $_GET['approved'] ?? '1');
$post = (object) array('ID' => (int) ($_GET['post'] ?? 5));
switch ($_GET['what']) {
case 'comment': fire('wp_insert_comment', 7, $comment); break;
case 'approve': fire('transition_comment_status', 'approved', 'unapproved', $comment); break;
case 'post': fire('transition_post_status', 'publish', 'draft', $post); break;
case 'admin': fire('admin_enqueue_scripts'); break;
case 'footer': fire('wp_footer'); break;
case 'heartbeat': echo json_encode(fire('heartbeat_settings', array('suspension' => 1)));
}
`)
	fpm(t, dir, 2)
	listen := port(t)
	caddy(t, dir, "{\n\tauto_https off\n}\n"+documented(t, "wordpress", "example.com", "http://127.0.0.1:"+listen,
		"/srv/www/wordpress", dir+"/www", "/run/comet/wordpress", dir+"/run", "unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock"))
	base := "http://127.0.0.1:" + listen

	const editor, reader = "wordpress_logged_in_x=3; consent=yes", "wordpress_logged_in_x=30"
	opens(t, base, []door{
		{"/live/comments", "", http.StatusOK},
		{"/comet/posts", "", http.StatusForbidden},
		{"/comet/posts", reader, http.StatusForbidden},
		{"/comet/posts", editor, http.StatusOK},
		{"/comet/user-30", reader, http.StatusOK},
		{"/comet/user-30", editor, http.StatusForbidden},
		{"/comet/comments", reader, http.StatusForbidden},
		{"/comet/comet.js", "", http.StatusOK},
		{"/wp-config.php", editor, http.StatusNotFound},
	})

	// What is not for everybody is not told, so the next that is told is the next.
	comments, posts := follow(t, base+"/live/comments"), follow(t, base+"/comet/posts", "Cookie", editor)
	do := func(query string) string {
		_, body := get(t, base+"/do.php?"+query)
		return body
	}
	for _, c := range []struct {
		query, want string
		next        func() string
	}{
		{"what=comment&approved=0&id=6", "", nil},
		{"what=comment", `{"post":5,"comment":7}`, comments},
		{"what=approve", `{"post":5,"comment":7}`, comments},
		{"what=post&post=99", "", nil},
		{"what=post", `{"post":5,"status":"publish"}`, posts},
	} {
		if body := do(c.query); body != "" {
			t.Errorf("%s: PHP says %s", c.query, body)
		}
		if c.next != nil {
			if got := c.next(); got != c.want {
				t.Errorf("%s is told as %s", c.query, got)
			}
		}
	}
	if got := do("what=admin"); got != "" {
		t.Errorf("who writes nothing is given %s", got)
	}
	if got := do("what=heartbeat"); got != `{"suspension":1,"interval":120}` {
		t.Errorf("the heartbeat is %s", got)
	}

	// The reader's script, in a browser.
	write(t, dir+"/www/post.php", `<!DOCTYPE html><title>A post</title><body><?php $_GET = array('what' => 'footer'); require 'do.php';`)
	chromium := browser(t)
	open(t, chromium, base+"/post.php")
	until(t, "the class of new comments", func() bool {
		do("what=comment")
		return script[bool](t, chromium, "document.body.classList.contains('has-new-comments')")
	})
}

const phpBB = `<?php
if (!defined('IN_PHPBB')) exit;
define('ANONYMOUS', 1);
class user { public $data; function session_begin($update = true) { $this->data = array('user_id' => (int) ($_COOKIE['phpbb3_x_u'] ?? ANONYMOUS)); } }
class auth {
	private $id;
	function acl($data) { $this->id = $data['user_id']; }
	function acl_getf($opt, $clean = false) {
		return array(1 => array(2 => array($opt => 1)), 48 => array(2 => array($opt => 1), 3 => array($opt => 1)), 50 => array())[$this->id];
	}
}
$user = new user;
$auth = new auth;
`

const phpBBEvents = `<?php
namespace Symfony\Component\EventDispatcher { interface EventSubscriberInterface {} }
namespace {
	define('ITEM_APPROVED', 1);
	require 'ext/example/comet/event/listener.php';
	$method = example\comet\event\listener::getSubscribedEvents()['core.submit_post_end'];
	(new example\comet\event\listener)->$method(array('post_visibility' => (int) $_GET['visible'],
		'data' => array('forum_id' => 3, 'topic_id' => '8', 'post_id' => 8 + $_GET['visible'])));
}
`

// TestThePHPBBRecipeWorks: who hears what, and what the extension publishes.
func TestThePHPBBRecipeWorks(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	extension := dir + "/www/ext/example/comet/event"
	folders(t, extension)
	cometPHP(t, extension)
	write(t, extension+"/listener.php", documented(t, "php-phpbb-listener", "/run/comet/phpbb", dir+"/run"))
	write(t, dir+"/www/common.php", phpBB)
	write(t, dir+"/www/comet-auth.php", documented(t, "php-phpbb-auth"))
	write(t, dir+"/www/post.php", phpBBEvents)
	fpm(t, dir, 2)
	listen := port(t)
	caddy(t, dir, "{\n\tauto_https off\n}\n"+documented(t, "phpbb", "forum.example.com", "http://127.0.0.1:"+listen,
		"/srv/www/phpbb", dir+"/www", "/run/comet/phpbb", dir+"/run", "unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock"))
	base := "http://127.0.0.1:" + listen

	const member, banned = "phpbb3_x_sid=abc; phpbb3_x_u=48", "phpbb3_x_u=50"
	opens(t, base, []door{
		{"/comet/forum-2", "", http.StatusOK},
		{"/comet/forum-3", "", http.StatusForbidden},
		{"/comet/forum-3", member, http.StatusOK},
		{"/comet/user-48", member, http.StatusOK},
		{"/comet/user-49", member, http.StatusForbidden},
		{"/comet/forum-2", banned, http.StatusForbidden},
		{"/common.php", member, http.StatusNotFound},
		{"/see.php", member, http.StatusOK},
	})
	next := follow(t, base+"/comet/forum-3", "Cookie", member)
	for _, visible := range []string{"0", "1"} { // the first is told to nobody
		if _, body := get(t, base+"/post.php?visible="+visible); body != "" {
			t.Errorf("PHP says %s", body)
		}
	}
	if got := next(); got != `{"topic":8,"post":9}` {
		t.Errorf("the post is told as %s", got)
	}

	var services struct {
		Services map[string]struct {
			Class string
			Tags  []map[string]string
		}
	}
	if err := yaml.Unmarshal([]byte(documented(t, "yaml-phpbb-services")), &services); err != nil {
		t.Fatal(err)
	}
	if s := services.Services["example.comet.listener"]; s.Class != `example\comet\event\listener` || s.Tags[0]["name"] != "event.listener" {
		t.Errorf("the service is %v", services)
	}
	var about map[string]any
	if err := json.Unmarshal([]byte(documented(t, "json-phpbb-composer")), &about); err != nil || about["type"] != "phpbb-extension" {
		t.Errorf("the extension is %v, %v", about, err)
	}

	// The page's script, in a browser, as phpBB fills it in.
	chromium := browser(t)
	for name, c := range map[string]struct{ forum, query string }{
		"the forum": {"3", ""}, "the topic": {"3", "?t=8"}, "by the address": {"", "?f=3"},
	} {
		t.Run(name, func(t *testing.T) {
			write(t, dir+"/www/view.html", "<!DOCTYPE html><title>A forum</title><body>"+documented(t, "html-phpbb-footer", "{FORUM_ID}", c.forum))
			tab := tab(t, chromium)
			open(t, tab, base+"/see.php")
			script[bool](t, tab, "document.cookie = 'phpbb3_x_u=48', true")
			open(t, tab, base+"/view.html"+c.query)
			until(t, "the dot in the title", func() bool {
				get(t, base+"/post.php?visible=1")
				return script[string](t, tab, "document.title") == "● A forum"
			})
		})
	}
}

const laravel = `<?php
// The front controller: the session, the middleware "auth", and the answer of the recipe's route.
namespace Illuminate\Http { class Request { function user() { return $GLOBALS['user']; } } }
namespace Illuminate\Support\Facades { class Route {
	static function get($path, $f) { return new class($path, $f) {
		function __construct(public $path, public $f) {}
		function middleware($name) {
			if (explode('?', $_SERVER['REQUEST_URI'])[0] !== $this->path || $name !== 'auth') { http_response_code(404); return; }
			if (!$GLOBALS['user']) { header('Location: /login', true, 302); return; }
			($this->f)(new \Illuminate\Http\Request);
		}
	}; }
} }
namespace {
	class user { public $id = 42; function teams() { return $this; } function pluck($what) { return array(7, 8); } }
	class response { function noContent() { http_response_code(204); return $this; } function withHeaders($all) { foreach ($all as $name => $value) header("$name: $value"); } }
	function response() { return new response; }
	$user = ($_COOKIE['laravel_session'] ?? '') === 'good' ? new user : null;
	require __DIR__ . '/../routes/web.php';
}
`

const laravelModel = `<?php
namespace Illuminate\Database\Eloquent { class Model {
	static $saved;
	static function saved($f) { self::$saved = $f; }
	static function boot() { static::booted(); }
	public $id = 3, $team_id = 7, $state = 'sent';
} }
namespace Illuminate\Support { class ServiceProvider { public $app; } }
namespace Illuminate\Support\Facades {
	class DB { static function afterCommit($f) { $f(); } }
	class Log { static function __callStatic($name, $all) { echo "logged $name ", json_encode($all); } }
}
namespace {
	class app { private $all = array(); function singleton($name, $f) { $this->all[$name] = $f(); } function make($name) { return $this->all[$name]; } }
	function config($name, $otherwise) { return $otherwise; }
	function app($name) { return $GLOBALS['app']->make($name); }
	foreach (array('Comet', 'AppServiceProvider', 'Order') as $file) require __DIR__ . "/../app/$file.php";
	$app = new app;
	$provider = new App\Providers\AppServiceProvider;
	$provider->app = $app;
	$provider->register();
	App\Models\Order::boot();
	(App\Models\Order::$saved)(new App\Models\Order);
}
`

// TestTheLaravelRecipeWorks: who hears what, and what a model publishes.
func TestTheLaravelRecipeWorks(t *testing.T) {
	dir := runDir(t)
	site(t, dir)
	folders(t, dir+"/routes", dir+"/app")
	cometPHP(t, dir+"/app")
	write(t, dir+"/routes/web.php", documented(t, "php-laravel-auth"))
	write(t, dir+"/app/AppServiceProvider.php", documented(t, "php-laravel-provider", "/run/comet/app", dir+"/run"))
	write(t, dir+"/app/Order.php", documented(t, "php-laravel-model"))
	write(t, dir+"/www/index.php", laravel)
	write(t, dir+"/www/save.php", laravelModel)
	fpm(t, dir, 2)
	listen := port(t)
	caddy(t, dir, "{\n\tauto_https off\n}\n"+documented(t, "laravel", "app.example.com", "http://127.0.0.1:"+listen,
		"/srv/app/public", dir+"/www", "/run/comet/app", dir+"/run", "unix//run/php/php-fpm.sock", "unix/"+dir+"/fpm.sock"))
	base := "http://127.0.0.1:" + listen

	const member = "XSRF-TOKEN=anew; laravel_session=good"
	opens(t, base, []door{
		{"/comet/news", "", http.StatusForbidden}, // sent to the login page
		{"/comet/news", "laravel_session=bad", http.StatusForbidden},
		{"/comet/news,user-42,team-8", member, http.StatusOK},
		{"/comet/team-9", member, http.StatusForbidden},
	})
	write(t, dir+"/www/page.html", "<!DOCTYPE html><title>Orders</title><p id=order-3>Order 3: <b class=state>new</b></p>"+documented(t, "html-laravel"))
	chromium := browser(t)
	open(t, chromium, base+"/see.php")
	script[bool](t, chromium, "document.cookie = 'laravel_session=good', true")
	open(t, chromium, base+"/page.html")
	until(t, "the order's state to be shown", func() bool {
		if _, body := get(t, base+"/save.php"); body != "" {
			t.Fatalf("PHP says %s", body)
		}
		return script[string](t, chromium, "document.querySelector('.state').innerText") == "sent"
	})
}

// door is an address, and the answer that who has this cookie gets there.
type door struct {
	path, cookie string
	want         int
}

func opens(t *testing.T, base string, doors []door) {
	t.Helper()
	for _, d := range doors {
		if got := status(t, base+d.path+"?wait=0", "Cookie", d.cookie); got != d.want {
			t.Errorf("%s for %q: %d, not %d", d.path, d.cookie, got, d.want)
		}
	}
}
