<?php
require 'site.php';

page_head('NovComet');
?>
<section class="hero">
	<h1>A page of 2011</h1>
	<p>NovComet’s protocol: JavaScript polls <code>comet.php</code>, which answers when a file was touched.
	<?= without_comet()
        ? 'Here PHP does that itself: it looks every two seconds, and its worker is gone until then.'
        : 'Caddy holds that poll now, and watches the file. Neither the script nor the PHP knows.' ?></p>
</section>

<section class="columns">
	<article class="side">
		<h2>Publish</h2>
		<p class="buttons">
			<a class="button customAlert main" href="#">publish customAlert</a>
			<a class="button customAlert2 main" href="#">publish customAlert2</a>
		</p>
		<p>As the page always did, by <code>NovComet.publish()</code>: a GET that PHP answers, touching the file.</p>
		<p class="buttons"><button data-publish="touch" data-channel="customAlert">PHP touches customAlert</button></p>
		<p>By a POST to <code>publish.php</code>, which also says when exactly it touched. Or in a terminal:</p>
<pre><code>touch <?= e(events_folder()) ?>/customAlert.comet</code></pre>
	</article>
	<article class="side told">
		<h2>Told</h2>
		<p class="figure"><span class="label" id="what">Publish → event here</span> <strong id="latency">–</strong></p>
		<p class="state"><span class="lamp" id="lamp"></span> <span id="state">connecting</span></p>
		<ol class="log" id="log"><li class="empty">Nothing yet. Open this page in a second tab, too.</li></ol>
	</article>
</section>

<section>
	<h2>The page’s own script</h2>
<pre><code>NovComet.subscribe('customAlert', function (data) {
	show('customAlert', data);
}).subscribe('customAlert2', function (data) {
	show('customAlert2', data);
});
document.querySelector('a.customAlert').onclick = function () { NovComet.publish('customAlert'); };
document.querySelector('a.customAlert2').onclick = function () { NovComet.publish('customAlert2'); };
NovComet.run();</code></pre>
</section>
<script src="/NovComet.js" defer></script>
<script src="/novcomet-page.js" defer></script>
<?php
page_foot();
