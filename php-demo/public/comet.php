<?php
// comet.php?subscribed[a]=<time>&subscribed[b]=<time> waits for a or b. Under :8080 caddy-comet answers it, and PHP does
// not even start; under :8081 the worker that reads this line is gone for up to 40 seconds.
//
// comet.php?publish=a publishes. It is the one GET of this demo that changes something, because NovComet's protocol has
// it so; publish.php shows the better way.
require 'site.php';
require 'NovComet.php';

header('Content-Type: application/json');
header('Cache-Control: no-store');

$comet = new NovComet(events_folder());
$publish = $_GET['publish'] ?? '';
if ($publish !== '') {
    echo $comet->publish($publish);
} else {
    foreach ((array) ($_GET['subscribed'] ?? array()) as $name => $timestamp) {
        $comet->setVar((string) $name, is_string($timestamp) ? $timestamp : 0);
    }
    echo $comet->run();
}
