<?php
// The front page: a chat and a counter. A POST changes them and tells all pages, a GET shows them.
require 'site.php';

$file = @fopen(events_folder() . '/live.json', 'c+');
if (!$file) {
    answer(500, array('error' => 'PHP cannot write to ' . events_folder()));
}
// Under one lock, so that a page has the state and the position that it is of, and each event the next number.
flock($file, LOCK_EX);
$state = json_decode(stream_get_contents($file), true) ?: array('count' => 0, 'said' => 0, 'messages' => array());
$comet = new CaddyComet\Comet(publish_url(), array('timeout' => 1));

if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    if (!from_this_site()) {
        answer(403, array('error' => 'only pages of this site may publish'));
    }
    $event = array('at' => microtime(true));
    if (isset($_POST['text'])) {
        foreach (array('name' => 40, 'text' => 300) as $field => $most) {
            $event[$field] = is_string($_POST[$field] ?? null) ? trim($_POST[$field]) : '';
            if ($event[$field] === '' || strlen($event[$field]) > $most || preg_match('//u', $event[$field]) !== 1) {
                answer(400, array('error' => "$field is UTF-8 of 1 to $most bytes"));
            }
        }
        $channel = 'talk';
        $event['n'] = ++$state['said'];
        $state['messages'] = array_slice(array_merge($state['messages'], array($event)), -20);
    } else {
        $channel = 'count';
        $event['n'] = ++$state['count'];
    }
    if (!$comet->publish($channel, $event)) {
        answer(503, array('error' => $comet->lastError()));
    }
    ftruncate($file, 0);
    rewind($file);
    fwrite($file, json_encode($state));
    fclose($file); // and unlocks it
    // The two times let the page tell PHP's clock from its own, when it runs on another machine.
    answer(200, array('channel' => $channel, 'n' => $event['n'], 'received' => $_SERVER['REQUEST_TIME_FLOAT'], 'answered' => microtime(true)));
}
$cursor = $comet->cursor();
fclose($file);

$ways = array(
    'websocket' => array('WebSocket', 'one socket, both ways'),
    'sse' => array('EventSource', 'one endless answer'),
    'stream' => array('Streaming', 'the same, by fetch()'),
    'poll' => array('Long poll', 'ask, wait, ask again'),
    'jsonp' => array('JSONP', 'answers as scripts'),
);
$js = <<<'JS'
const live = comet('/comet');

live.on('talk', (event) => show(event.data));
live.on('count', (event) => count(event.data));
JS;
$php = <<<'PHP'
$comet = new CaddyComet\Comet('http://127.0.0.1:2020');

$comet->publish('talk', ['text' => $text]);
$comet->publish('count', ++$count);
PHP;

page_head('Live', 'wide');
?>
<section class="hero">
	<h1>Live, whatever is in&nbsp;between.</h1>
	<p>An ordinary PHP site with a chat and a counter, and <code>comet.js</code>, which follows them over one connection for all your tabs. Cut the way that
	it goes, and watch it find another: nothing gets lost, nothing comes twice, and no PHP worker waits.</p>
</section>
<?php if (without_comet()) { ?>
<p class="notice">On this side nobody tells the page what is new. It is live on the port with caddy-comet.</p>
<?php } ?>
<section class="live"<?= without_comet() ? ' inert' : '' ?> id="live" data-said="<?= $state['said'] ?>" data-cursor="<?= e((string) $cursor) ?>">
	<article class="side how">
		<dl class="figures">
			<div><dt>Connected by</dt><dd id="way">–</dd></div>
			<div><dt>Published → here</dt><dd id="latency">–</dd></div>
			<div><dt>Shared by</dt><dd><span id="tabs">1 tab</span> <a href="/" target="_blank">one more</a></dd></div>
		</dl>
		<ol class="ladder" id="ladder">
<?php foreach ($ways as $way => list($name, $what)) { ?>
			<li data-way="<?= $way ?>">
				<span class="knot"></span>
				<p><strong><?= $name ?></strong> <small><?= $what ?></small></p>
				<span class="said">&nbsp;</span>
				<button role="switch" aria-checked="true" aria-label="Let <?= $name ?> through" title="Cut it off, or let it through"></button>
			</li>
<?php } ?>
		</ol>
		<p class="path" id="path" aria-live="polite">&nbsp;</p>
	</article>
	<article class="side talk">
		<h2>Chat</h2>
		<ol class="messages" id="messages">
<?php foreach ($state['messages'] as $message) { ?>
			<li><b><?= e($message['name']) ?></b> <span><?= e($message['text']) ?></span></li>
<?php } ?>
		</ol>
		<form class="line" id="say">
			<input name="text" maxlength="100" required autocomplete="off" placeholder="Say something" aria-label="Message">
			<button class="main">Say</button>
		</form>
	</article>
	<article class="side counter">
		<h2>Counter</h2>
		<strong id="count"><?= $state['count'] ?></strong>
		<p class="buttons"><button class="main" id="plus">+1</button> <button id="run" aria-pressed="false">Let it run</button></p>
	</article>
	<article class="side proof">
		<div class="strip" id="strip" role="img" aria-label="The latest events, and how long each took"></div>
		<dl class="figures" id="ledger">
			<div><dt>Published</dt><dd data-published>0</dd></div>
			<div><dt>Arrived</dt><dd data-arrived>0</dd></div>
			<div><dt>Lost</dt><dd data-lost>0</dd></div>
			<div><dt>Came twice</dt><dd data-twice>0</dd></div>
		</dl>
		<p class="verdict" id="verdict">Each event has PHP’s number. Count, or say something, and switch meanwhile.</p>
	</article>
</section>

<section class="columns code">
	<div><h2>In the page</h2><pre><code><?= e($js) ?></code></pre></div>
	<div><h2>In PHP</h2><pre><code><?= e($php) ?></code></pre></div>
</section>
<section class="cards">
	<a class="card" href="/techniques.php"><h3>Twelve techniques</h3><p>Every way to tell a browser that there ever was, live and side by side.</p></a>
	<a class="card" href="/proof.php"><h3>The proof</h3><p>A hundred visitors wait, with us and without. See what is left of PHP.</p></a>
</section>
<?php if (!without_comet()) { ?>
<script src="/live/comet.js" defer></script>
<script src="/live.js" type="module"></script>
<?php }
page_foot();
