<?php
require 'site.php';

$folder = events_folder();
$sides = array(
    'with' => array('With caddy-comet', 'Caddy holds the polls. PHP sees only pages.'),
    'without' => array('Without', 'The same PHP files. comet.php holds each poll.'),
);

page_head('The proof');
?>
<section class="hero">
	<h1>Caddy waits, so&nbsp;PHP&nbsp;need&nbsp;not.</h1>
	<p>An ordinary PHP site on php-fpm with two workers, served twice. Let visitors in and watch what is left for
	this page. Each visitor does what the <a href="/novcomet.php">NovComet page</a> does in a browser: it keeps a poll open.</p>
</section>

<section id="proof" aria-label="The proof" hidden>
	<div class="toolbar">
		<button class="main" data-add="both" data-n="100">+100 visitors on both</button>
		<button data-touch>PHP touches the file</button>
		<button data-clear>All leave</button>
		<output id="woken"></output>
	</div>
	<div class="columns">
<?php foreach ($sides as $side => list($name, $what)) { ?>
		<article class="side" id="<?= $side ?>">
			<h2><?= $name ?> <a data-open target="_blank" rel="noopener"></a></h2>
			<p class="what"><?= $what ?></p>
			<p class="figure"><span class="label">Home page</span> <strong data-home>–</strong></p>
			<svg class="spark" viewBox="0 0 240 56" preserveAspectRatio="none" role="img" aria-label="Time of the home page over the last minute"><path class="area"/><path class="line"/></svg>
			<p class="scale"><span>1 minute ago</span> <span>now</span></p>
			<dl>
				<div><dt>Visitors</dt><dd data-visitors>–</dd></div>
				<div><dt>Polls held</dt><dd data-held>–</dd></div>
				<div><dt>PHP workers busy</dt><dd><span class="lamps" data-lamps></span><span data-busy>–</span></dd></div>
				<div><dt>Listen queue</dt><dd data-queue>–</dd></div>
			</dl>
			<p class="verdict" data-verdict aria-live="polite">&nbsp;</p>
			<p class="buttons">
				<button data-add="<?= $side ?>" data-n="100">+100 visitors</button>
<?php if ($side === 'with') { ?>
				<button data-add="with" data-n="1000">+1,000</button>
<?php } else { ?>
				<button data-restart hidden>Restart this php-fpm</button>
<?php } ?>
			</p>
		</article>
<?php } ?>
	</div>
</section>
<p class="notice" id="no-proof"><?= without_comet() ? 'The counters are on the other side, on the port with caddy-comet.' : 'The live counters come with <code>make demo</code>.' ?></p>

<section class="cards">
	<a class="card" href="/novcomet.php">
		<h3>NovComet</h3>
		<p>A page of 2011. It keeps its JavaScript and its PHP, and holds no worker.</p>
	</a>
	<a class="card" href="/events.php">
		<h3>EventSource</h3>
		<p>Today’s way: one line in the browser, and three ways for PHP to publish.</p>
	</a>
</section>

<section>
	<h2>From a terminal on this machine</h2>
	<p>PHP is not needed to publish. Keep <a href="/events.php">EventSource</a> open and type:</p>
<pre><code>touch <?= e($folder) ?>/customAlert.comet
echo '{"text":"from a shell"}' &gt;&gt; <?= e($folder) ?>/alerts.jsonl
curl -d '{"text":"from curl"}' -H 'Content-Type: application/json' <?= e(publish_url()) ?>/orders</code></pre>
</section>
<?php if (!without_comet()) { ?>
<script src="/proof.js" defer></script>
<?php } ?>
<?php
page_foot();
