<?php
require 'site.php';

page_head('EventSource');

$ways = array(
    array('touch', 'customAlert', 'Touch', 'Says that something happened. The page fetches what it needs.',
        "touch(\"\$folder/customAlert.comet\");"),
    array('append', 'alerts', 'Append', 'Each line is one event, with data. No network, nothing to time out.',
        "\$file = \"\$folder/alerts.jsonl\";\n\$line = json_encode(\$event) . \"\\n\";\nfile_put_contents(\$file, \$line, FILE_APPEND | LOCK_EX);"),
    array('post', 'orders', 'POST', 'Any content type, and the answer tells how many were listening.',
        "\$http = ['method' => 'POST', 'content' => \$json,\n         'header' => 'Content-Type: application/json'];\nfile_get_contents('" . publish_url() . "/orders',\n    false, stream_context_create(['http' => \$http]));"),
);
?>
<section class="hero">
	<h1>One line in the browser</h1>
<pre class="one"><code>new EventSource('/comet/orders,alerts,customAlert').onmessage = show;</code></pre>
	<p><?= without_comet()
        ? 'On this side nobody answers it: PHP would need a worker for each open tab. See the port with caddy-comet.'
        : 'One connection, three channels, no PHP worker. It reconnects by itself and misses nothing meanwhile.' ?></p>
</section>

<section class="columns">
	<article class="side">
		<h2>PHP publishes</h2>
		<p><label>Text <input id="text" value="Hello from PHP" maxlength="200"></label></p>
<?php foreach ($ways as list($way, $channel, $name, $why, $php)) { ?>
		<div class="way">
			<h3><?= $name ?> <small>channel <?= $channel ?></small></h3>
			<p><?= $why ?></p>
<pre><code><?= e($php) ?></code></pre>
			<p class="buttons"><button data-publish="<?= $way ?>" data-channel="<?= $channel ?>">Publish by <?= strtolower($name) === 'post' ? 'POST' : strtolower($name) ?></button></p>
		</div>
<?php } ?>
	</article>
	<article class="side told">
		<h2>Told</h2>
		<p class="figure"><span class="label" id="what">PHP published → event here</span> <strong id="latency">–</strong></p>
		<p class="state"><span class="lamp" id="lamp"></span> <span id="state">connecting</span></p>
		<ol class="log" id="log"><li class="empty">Nothing yet. Open this page in a second tab, too.</li></ol>
	</article>
</section>
<script src="/events.js" defer></script>
<?php
page_foot();
