<?php
// POST way=touch|append|post|header, channel=<name>, text=<anything>: publishes, and answers when it did.
require 'site.php';
require 'NovComet.php';

/** A header of PHP's own answer. Caddy takes it off and publishes, before the browser sees the answer. */
function publish_by_header(string $channel, array $event)
{
    header("Comet-Publish: $channel; data=" . rawurlencode(json_encode($event)), false);
}

if ($_SERVER['REQUEST_METHOD'] !== 'POST') {
    header('Allow: POST');
    answer(405, array('error' => 'publish with POST'));
}
if (!from_this_site()) {
    answer(403, array('error' => 'only pages of this site may publish'));
}
$way = $_POST['way'] ?? '';
$channel = $_POST['channel'] ?? '';
$text = $_POST['text'] ?? '';
if (!NovComet::isName($channel)) {
    answer(400, array('error' => 'a channel is letters, digits, - and _, at most 64'));
}
if (!is_string($text) || strlen($text) > 1000 || preg_match('//u', $text) !== 1) {
    answer(400, array('error' => 'text is UTF-8 of at most 1000 bytes'));
}

// What each is good for: docs/php.md.
$ways = array('touch' => 'touch:' . events_folder(), 'append' => 'append:' . events_folder(), 'post' => publish_url());
$at = microtime(true);
$event = array('channel' => $channel, 'text' => $text, 'via' => $way, 'at' => $at);
if ($way === 'header') {
    publish_by_header($channel, $event);
} elseif (is_string($way) && isset($ways[$way])) {
    $comet = new CaddyComet\Comet($ways[$way]);
    if (!$comet->publish($channel, $way === 'touch' ? null : $event)) {
        answer(500, array('error' => $comet->lastError()));
    }
} else {
    answer(400, array('error' => 'way is touch, append, post or header'));
}
// The three times let the page tell PHP's clock from its own, when it runs on another machine.
answer(200, array(
    'at' => $at,
    'received' => $_SERVER['REQUEST_TIME_FLOAT'],
    'answered' => microtime(true),
));
