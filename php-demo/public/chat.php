<?php
// A chat on one file, as it was written before there was anything else.
//
// chat.php?timestamp=<time>  {"msg":…,"timestamp":…} as soon as the file is newer. With caddy-comet in front, PHP never sees it.
// chat.php?msg=<text>        writes the file. A GET that changes something, because this protocol has it so.
require 'site.php';

$file = events_folder() . '/chat.txt';
$msg = $_GET['msg'] ?? '';
if ($msg !== '') {
    if (!from_this_site() || !is_string($msg) || strlen($msg) > 1000) {
        http_response_code(403);
        exit('only pages of this site, and at most 1000 bytes');
    }
    file_put_contents($file, $msg);
    exit;
}

// Without caddy-comet: this worker is gone until somebody says something, or for 40 seconds.
header('Content-Type: application/json');
header('Cache-Control: no-store');
$since = (int) ($_GET['timestamp'] ?? 0);
for ($i = 0; $i < 400; $i++) {
    clearstatcache();
    if (is_file($file) && filemtime($file) > $since) {
        exit(json_encode(array('msg' => file_get_contents($file), 'timestamp' => filemtime($file))));
    }
    usleep(100000);
}
http_response_code(503);
