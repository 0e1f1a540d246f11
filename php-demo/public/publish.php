<?php
// POST way=touch|append|post|header, channel=<name>, text=<anything>: publishes, and answers when it did.
require 'site.php';
require 'NovComet.php';

/** A touch says that something happened. Who listens fetches the rest. */
function publish_by_touch(string $name): bool
{
    $file = events_folder() . "/$name.comet";
    return touch($file);
}

/** A line that is appended is an event with data. No network, nothing to time out, nothing lost in a rush. */
function publish_by_append(string $channel, array $event): bool
{
    $file = events_folder() . "/$channel.jsonl";
    $line = json_encode($event) . "\n";
    return file_put_contents($file, $line, FILE_APPEND | LOCK_EX) === strlen($line);
}

/** A POST works with any content type, also where PHP and Caddy share no folder, and tells how many were listening. */
function publish_by_post(string $channel, array $event)
{
    $http = array('method' => 'POST', 'content' => json_encode($event), 'timeout' => 1, 'header' => 'Content-Type: application/json');
    $answer = @file_get_contents(publish_url() . "/$channel", false, stream_context_create(array('http' => $http)));
    return $answer === false ? false : json_decode($answer, true);
}

/** A header of PHP's own answer. Caddy takes it off and publishes, before the browser sees the answer. */
function publish_by_header(string $channel, array $event): bool
{
    header("Comet-Publish: $channel; data=" . rawurlencode(json_encode($event)), false);
    return true;
}

function answer(int $status, array $body)
{
    http_response_code($status);
    header('Content-Type: application/json');
    header('Cache-Control: no-store');
    echo json_encode($body);
    exit;
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

$at = microtime(true);
$event = array('channel' => $channel, 'text' => $text, 'via' => $way, 'at' => $at);
switch ($way) {
    case 'touch':
        $done = publish_by_touch($channel);
        break;
    case 'append':
        $done = publish_by_append($channel, $event);
        break;
    case 'post':
        $done = publish_by_post($channel, $event);
        break;
    case 'header':
        $done = publish_by_header($channel, $event);
        break;
    default:
        answer(400, array('error' => 'way is touch, append, post or header'));
}
if ($done === false) {
    answer(500, array('error' => $way === 'post' ? 'nobody answers at ' . publish_url() : 'PHP cannot write to ' . events_folder()));
}
// The three times let the page tell PHP's clock from its own, when it runs on another machine.
answer(200, array(
    'at' => $at,
    'received' => $_SERVER['REQUEST_TIME_FLOAT'],
    'answered' => microtime(true),
    'receivers' => is_array($done) ? $done['receivers'] ?? null : null,
));
