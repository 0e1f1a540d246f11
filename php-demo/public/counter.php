<?php
// The shared counter, for a page that waits by an event variable (techniques/doorbell.js).
//
// GET ?after=5   {"counter":6,"at":…} when it is not 5 any more, else {"wait":"<number>"}: ask again when that event is set.
// POST           counts one up, and sets the event that everybody waits for.
//
// Nothing here waits. Caddy keeps the events, and knows of them no more than their numbers.
require 'site.php';

/** A number that nobody guesses or has used before: 40 digits, of the 64 that there may be. */
function new_event(): string
{
    $digits = (string) random_int(1, 9);
    while (strlen($digits) < 40) {
        $digits .= random_int(0, 9);
    }
    return $digits;
}

/** Gives the state as $change leaves it, and the event that was set by that, if any. */
function counter(callable $change): array
{
    $file = fopen(events_folder() . '/counter.json', 'c+');
    flock($file, LOCK_EX);
    $state = json_decode(stream_get_contents($file), true);
    $next = $state ? $change($state) : array('counter' => 0, 'at' => microtime(true), 'event' => new_event());
    if ($next !== $state) {
        ftruncate($file, 0);
        rewind($file);
        fwrite($file, json_encode($next));
    }
    fclose($file); // and unlocks it
    return array($next, $next !== $state && $state ? $state['event'] : null);
}

/** Wakes all who wait for an event, wherever they are. */
function set_event(string $number): bool
{
    $http = array('method' => 'POST', 'content' => '', 'timeout' => 1);
    return @file_get_contents(publish_url() . "/doorbell/$number", false, stream_context_create(array('http' => $http))) !== false;
}

header('Content-Type: application/json');
header('Cache-Control: no-store');
if ($_SERVER['REQUEST_METHOD'] === 'POST') {
    if (!from_this_site()) {
        http_response_code(403);
        exit('{"error":"only pages of this site may count"}');
    }
    list($state, $event) = counter(function (array $state) {
        return array('counter' => $state['counter'] + 1, 'at' => microtime(true), 'event' => new_event());
    });
    // First the change, then the bell: who hears it finds the change.
    $rung = $event !== null && set_event($event);
    echo json_encode(array('counter' => $state['counter'], 'rung' => $rung));
    exit;
}
list($state) = counter(function (array $state) {
    return $state;
});
if (($_GET['after'] ?? '') === (string) $state['counter']) {
    echo json_encode(array('wait' => $state['event']));
} else {
    echo json_encode(array('counter' => $state['counter'], 'at' => $state['at']));
}
