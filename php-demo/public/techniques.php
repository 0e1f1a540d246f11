<?php
// One panel for each technique, all at once. techniques.php?only=<technique> shows that one alone.
require 'site.php';

$groups = require 'techniques/list.php';
$only = $_GET['only'] ?? null;
if ($only !== null) {
    foreach ($groups as list(, , $techniques)) {
        if (is_string($only) && isset($techniques[$only])) {
            $title = $techniques[$only][0];
            $groups = array(array($title, '', array($only => $techniques[$only])));
            break;
        }
    }
    if (!isset($title)) {
        http_response_code(404);
        exit('There is no such technique.');
    }
}

/** What a panel has besides: what it shows large, and its own buttons. */
function panel_extra(string $name)
{
    switch ($name) {
        case 'novcomet': ?>
		<p class="buttons"><button data-touch>NovComet.publish()</button></p>
<?php       break;
        case 'doorbell': ?>
		<p class="buttons"><strong class="large" data-counter>–</strong> <button data-count>+1</button></p>
<?php       break;
        case 'chat': ?>
		<form class="line"><input name="msg" maxlength="200" required autocomplete="off" placeholder="Say something" aria-label="Message"><button>Send</button></form>
<?php       break;
        case 'iframe-clock': ?>
		<div class="halves">
			<p><strong class="large" data-time>–</strong> <small>through us: 0 workers</small></p>
			<p><strong class="large" data-loop-time>–</strong> <small>PHP’s own loop: <span data-loop-held>0 workers</span></small>
			<button data-loop>Loop for 30 s</button></p>
		</div>
<?php       break;
        case 'multipart': ?>
		<p class="picture"><img alt="A clock, drawn by PHP once a second" width="120" height="120"></p>
<?php       break;
        case 'piggyback': ?>
		<div class="halves">
			<p><button data-ask>Ask PHP for a page</button> <span data-answer></span></p>
			<p><button data-publish-header>PHP publishes by a header</button> <span data-published></span></p>
		</div>
<?php       break;
    }
}

function panel(string $name, array $technique)
{
    list($title, $text, $request, $connection) = $technique;
    $pages = array('novcomet' => '/novcomet.php', 'event-source' => '/events.php');
    $more = isset($pages[$name]) ? ' <a href="' . $pages[$name] . '">its own page</a>' : '';
    ?>
	<article class="panel" id="<?= $name ?>" data-connection="<?= $connection ?>">
		<header>
			<h3><?= e($title) ?></h3>
			<p class="state"><span class="lamp"></span> <span data-said>paused</span> <button data-take hidden>start it</button></p>
		</header>
		<p class="text"><?= e($text) ?></p>
		<p class="request"><code><?= e($request) ?></code></p>
		<div class="screen"<?= without_comet() ? ' inert' : '' ?>>
<?php panel_extra($name) ?>
			<ol class="log"><li class="empty">Nothing yet.</li></ol>
		</div>
		<dl class="cost">
			<div><dt>Requests</dt><dd><span data-requests>–</span> <small></small></dd></div>
			<div><dt>Received</dt><dd><span data-bytes>–</span> <small></small></dd></div>
			<div><dt>PHP workers</dt><dd>0</dd></div>
		</dl>
		<p class="source"><a href="/techniques/<?= $name ?>.js">techniques/<?= $name ?>.js</a><?= $more ?></p>
	</article>
<?php
}

page_head($only === null ? 'Techniques' : $title, $only === null ? 'wide' : 'wide only');
if ($only === null) {
    ?>
<section class="hero">
	<h1>Twelve ways to tell a&nbsp;browser.</h1>
	<p>All of comet’s techniques, live, side by side, from one ordinary PHP site. Caddy does the waiting, so none of them holds a PHP
	worker. <a href="/proof.php">See what that is worth: a hundred visitors, with us and without →</a></p>
</section>
<?php if (without_comet()) { ?>
<p class="notice">On this side nobody answers their requests, so the panels stand still. They are live on the port with caddy-comet.</p>
<?php } else { ?>
<div class="bar">
	<form class="line" id="publish">
		<input id="text" value="Hello" maxlength="200" autocomplete="off" aria-label="Text to publish">
		<button class="main">PHP publishes</button>
		<output id="published"></output>
	</form>
	<p class="meter" id="workers-meter" hidden><span class="lamps" id="workers"></span> <span id="workers-said"></span></p>
	<p class="meter"><span class="lamps" id="connections"></span> <span id="connections-said"></span></p>
</div>
<p class="small" id="shared" hidden>Over HTTP/1.1 a browser opens six connections to one host, for all its tabs together. This page takes four at most, for the panels
that you look at.<?php if (https_port() !== '') { ?> <a href="https://localhost:<?= e(https_port()) ?>/techniques.php">Over https</a> one connection carries them all (with a certificate that this demo made for itself).<?php } ?></p>
<p class="small" id="alone" hidden>This page came over HTTP/2: one connection carries all the panels, and everything else.</p>
<?php }
}

foreach ($groups as list($title, $text, $techniques)) { ?>
<section class="group">
<?php if ($only === null) { ?>
	<h2><?= e($title) ?></h2>
	<p><?= e($text) ?></p>
<?php } ?>
	<div class="panels">
<?php foreach ($techniques as $name => $technique) {
        panel($name, $technique);
    } ?>
	</div>
</section>
<?php }
if (!without_comet()) { ?>
<script src="/NovComet.js" defer></script>
<script src="/techniques.js" type="module"></script>
<?php }
page_foot();
