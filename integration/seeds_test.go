package integration

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The pages that this product comes from, each in words of our own: the same
// addresses, the same names of functions, the same recovery, and no more of it.
// What a page was told it keeps in seen.
var seedPages = map[string]string{
	// The clock in an iframe, whose backend.php calls comet.printServerTime.
	"clock/index.html": `<div id="content"></div><script>
var seen = [];
var comet = {
	connection: false,
	initialize: function () {
		comet.connection = document.createElement('iframe');
		comet.connection.style.display = 'none';
		comet.connection.setAttribute('src', './backend.php');
		document.body.appendChild(comet.connection);
	},
	printServerTime: function (time) {
		seen.push(String(time));
		document.getElementById('content').innerHTML = time;
	}
};
onload = comet.initialize;
</script>`,

	// The same as its author nested it: the frame inside another frame's element.
	"clock/nested.html": `<div id="content"></div><script>
var seen = [];
var comet = {
	connection: false, iframediv: false,
	initialize: function () {
		comet.connection = document.createElement('iframe');
		comet.connection.style.display = 'none';
		comet.iframediv = document.createElement('iframe');
		comet.iframediv.setAttribute('src', './backend.php');
		comet.connection.appendChild(comet.iframediv);
		document.body.appendChild(comet.connection);
	},
	printServerTime: function (time) { seen.push(String(time)); }
};
onload = comet.initialize;
</script>`,

	// The mini-chat: after an answer it asks at once, after an error in 5 s.
	"chat/index.html": `<script>
var seen = [];
var comet = {
	timestamp: 0, url: './backend.php', noerror: true,
	request: function (query, success, complete) {
		var ajax = new XMLHttpRequest();
		ajax.open('GET', comet.url + '?' + query, true);
		ajax.onreadystatechange = function () {
			if (ajax.readyState !== 4) { return; }
			try {
				if (ajax.status >= 200 && ajax.status < 300) { success(ajax.responseText); }
			} finally {
				complete();
			}
		};
		ajax.send();
	},
	connect: function () {
		comet.request('timestamp=' + comet.timestamp, function (text) {
			var response = eval('(' + text + ')');
			comet.timestamp = response['timestamp'];
			seen.push(response['msg']);
			comet.noerror = true;
		}, function () {
			if (!comet.noerror) {
				setTimeout(function () { comet.connect(); }, 5000);
			} else {
				comet.connect();
			}
			comet.noerror = false;
		});
	},
	doRequest: function (word) {
		comet.request('msg=' + encodeURIComponent(word), function () {}, function () {});
	}
};
comet.connect();
</script>`,

	// The event variable: the page asks what is new, and waits for the number that
	// it is told, by a script from elsewhere.
	"rings/index.html": `<script>
var seen = [], last = 0, script;
function getMessages() {
	var ajax = new XMLHttpRequest();
	ajax.open('GET', 'messages.php?after=' + last, true);
	ajax.onload = function () {
		var answer = JSON.parse(ajax.responseText);
		if (answer.message) {
			seen.push(answer.message);
			last = answer.id;
			getMessages();
		} else {
			wait(answer.wait);
		}
	};
	ajax.onerror = function () { setTimeout(getMessages, 1000); };
	ajax.send();
}
function wait(number) {
	script = document.createElement('script');
	script.src = 'http://127.0.0.1:' + location.port + '/doorbell/' + number;
	script.onerror = function () { setTimeout(getMessages, 1000); };
	document.body.appendChild(script);
}
function doorbell(number) {
	document.body.removeChild(script);
	getMessages();
}
onload = getMessages;
</script>`,

	// The slides' forever frame: serverside.php calls updateResult.
	"frame/index.html": `<script>
var seen = [];
function updateResult(result) { seen.push(result); }
onload = function () {
	document.getElementById('frame').innerHTML = '<iframe style="width: 0px; height: 0px" src="./serverside.php"></iframe>';
};
</script><div id="frame"></div>`,

	// The slides' XHR streaming, read in readyState 3, and begun anew at its end.
	"xhr/index.html": `<script>
var seen = [];
(function listen() {
	var xhr = new XMLHttpRequest(), read = 0;
	xhr.open('GET', '/comet/news?as=stream');
	xhr.onreadystatechange = function () {
		if (xhr.readyState == 3 && xhr.status == 200) {
			var end = xhr.responseText.lastIndexOf('\n') + 1;
			xhr.responseText.slice(read, end).split('\n').forEach(function (line) {
				var event = line.trim() && JSON.parse(line);
				if (event && event.channel) { seen.push(event.data); }
			});
			read = end;
		}
		if (xhr.readyState == 4) { setTimeout(listen, 1000); }
	};
	xhr.send();
})();
</script>`,

	// The slides' long polling: a second after an answer, longer after an error.
	"polling/index.html": `<script>
var seen = [], since = '';
function getUpdate() {
	var ajax = new XMLHttpRequest();
	ajax.open('GET', '/comet/news?since=' + since);
	ajax.timeout = 50000;
	ajax.onload = function () {
		try {
			var answer = JSON.parse(ajax.responseText);
			answer.events.forEach(function (event) { seen.push(event.data); });
			since = answer.cursor;
			setTimeout(getUpdate, 1000);
		} catch (e) {
			setTimeout(getUpdate, 2000);
		}
	};
	ajax.onerror = ajax.ontimeout = function () { setTimeout(getUpdate, 2000); };
	ajax.send();
}
getUpdate();
</script>`,
}

// TestTheSeedsPagesWork runs them in a browser, over a restart of the server.
// They share one host's connections only where they would on a site.
func TestTheSeedsPagesWork(t *testing.T) {
	t.Parallel()
	dir := runDir(t)
	for _, d := range []string{"www", "run", "www/clock", "www/chat", "www/rings", "www/frame", "www/xhr", "www/polling"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	own(t, filepath.Join(dir, "run"))
	for name, page := range seedPages {
		write(t, filepath.Join(dir, "www", name), "<!DOCTYPE html><meta charset=\"utf-8\"><title>seed</title><body>"+page)
	}
	// The half of the chat's backend that still runs.
	write(t, filepath.Join(dir, "www/chat/backend.php"), fmt.Sprintf(`<?php
$filename = '%s/run/data.txt';
$msg = isset($_GET['msg']) ? $_GET['msg'] : '';
if ($msg != '') {
	file_put_contents($filename, $msg);
	die();
}
http_response_code(500);
echo 'PHP would wait here';
`, dir))
	// One message after the other, as the page with the event variable asks for
	// them; a POST adds one, and sets the variable of those who wait for it.
	write(t, filepath.Join(dir, "www/rings/messages.php"), fmt.Sprintf(`<?php
$file = '%s/run/messages.json';
$messages = is_file($file) ? json_decode(file_get_contents($file), true) : array();
$event = function ($id) { return '99' . str_pad($id, 58, '0', STR_PAD_LEFT); };
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
	$messages[] = $_POST['message'];
	file_put_contents($file, json_encode($messages));
	$post = stream_context_create(array('http' => array('method' => 'POST', 'content' => '')));
	echo file_get_contents('http://127.0.0.1:' . $_SERVER['SERVER_PORT'] . '/doorbell/' . $event(count($messages)), false, $post);
	exit;
}
$after = (int) $_GET['after'];
if ($after < count($messages)) {
	echo json_encode(array('message' => $messages[$after], 'id' => $after + 1));
} else {
	echo json_encode(array('wait' => $event($after + 1)));
}
`, dir))
	write(t, filepath.Join(dir, "run", "data.txt"), "first")
	own(t, filepath.Join(dir, "run", "data.txt"))
	fpm(t, dir, 2)
	listen, publish := port(t), port(t)
	config := fmt.Sprintf(`{
	auto_https off
	grace_period 3s
}
:%[1]s {
	comet /comet/*
	comet /chat/backend.php filechat {
		watch %[3]s/run/data.txt content
	}
	comet /doorbell/* doorbell
	rewrite /clock/backend.php /comet/time?as=frame&callback=parent.comet.printServerTime&send=data&{query}
	rewrite /frame/serverside.php /comet/news?as=frame&callback=parent.updateResult&send=data&{query}
%[4]s}
http://127.0.0.1:%[2]s {
	bind 127.0.0.1
	comet_publish
}
`, listen, publish, dir, phpSite(dir))
	server := caddy(t, dir, config)
	chromium := browser(t)
	open(t, chromium, "about:blank") // starts it

	post := func(channel, contentType, body string) {
		t.Helper()
		res, err := plain.Post("http://127.0.0.1:"+publish+"/"+channel, contentType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	}
	type page struct {
		path string
		// publish publishes the n-th event, by the page's own means where it has
		// some, and returns what the page is told.
		publish func(tab context.Context, n int) string
		want    []string
		tab     context.Context
	}
	second := func(_ context.Context, n int) string {
		return strconv.Itoa(1795242000 + n)
	}
	news := func(_ context.Context, n int) string {
		return "news " + strconv.Itoa(n)
	}
	pages := []*page{
		{path: "clock/index.html", publish: second},
		{path: "clock/nested.html", publish: second},
		{path: "frame/index.html", publish: news},
		{path: "xhr/index.html", publish: news},
		{path: "polling/index.html", publish: news},
		{path: "chat/index.html", want: []string{"first"}, publish: func(tab context.Context, n int) string {
			word := "words & <b> " + strconv.Itoa(n)
			script[bool](t, tab, fmt.Sprintf("comet.doRequest(%q), true", word))
			return word
		}},
		{path: "rings/index.html", publish: func(_ context.Context, n int) string {
			message := "message " + strconv.Itoa(n)
			res, err := plain.PostForm("http://127.0.0.1:"+listen+"/rings/messages.php", url.Values{"message": {message}})
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			return message
		}},
	}
	for _, p := range pages {
		// Each on a host of its own, since a browser has six connections for each.
		p.tab = tab(t, chromium)
		open(t, p.tab, "http://"+strings.NewReplacer("/", "-", ".html", "").Replace(p.path)+".localhost:"+listen+"/"+p.path)
	}

	listening := func() {
		t.Helper()
		for channel, n := range map[string]int{"time": 2, "news": 3, "data": 1} {
			until(t, fmt.Sprintf("%d requests to be held on %s", n, channel), func() bool {
				_, body := get(t, "http://127.0.0.1:"+publish+"/"+channel)
				return strings.Contains(body, fmt.Sprintf(`"held":%d,`, n))
			})
		}
	}
	arrived := func(p *page) {
		t.Helper()
		var seen []string
		until(t, p.path+" to be told "+p.want[len(p.want)-1], func() bool {
			seen = script[[]string](t, p.tab, "seen")
			return len(seen) >= len(p.want)
		})
		if !slices.Equal(seen, p.want) {
			t.Errorf("%s was told %q, not %q", p.path, seen, p.want)
		}
	}
	n := 0
	publishSome := func() {
		t.Helper()
		for range 3 {
			n++
			post("time", "application/json", second(nil, n))
			post("news", "text/plain", news(nil, n))
			for _, p := range pages {
				p.want = append(p.want, p.publish(p.tab, n))
				arrived(p)
			}
		}
	}
	listening()
	publishSome()

	server.stop()
	caddy(t, dir, config)
	listening()
	publishSome()
}
