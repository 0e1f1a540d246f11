<?php
// What the seeds' comet.php and backend.php see of a query, as JSON. On the command line it
// reads requests, one a line in base64; behind a web server it is the request.
error_reporting(0);

function seen(array $get, $publish): string {
    $answer = ['publishes' => $publish != '', 'publish' => base64_encode((string)$publish), 'subscribed' => null];
    if (is_array($get['subscribed'] ?? null)) {
        $answer['subscribed'] = [];
        foreach (filter_var_array($get['subscribed'], FILTER_SANITIZE_NUMBER_INT) as $key => $value) {
            $answer['subscribed'][] = ['id' => base64_encode((string)$key), 'time' => (string)(integer)$value];
        }
    }
    return json_encode($answer + ['chat' => chat($get)]);
}

// backend.php, in its own words.
function chat(array $get): array {
    $msg = isset($get['msg']) ? $get['msg'] : '';
    $lastmodif = isset($get['timestamp']) ? $get['timestamp'] : 0;
    return [
        'publishes' => $msg != '', 'text' => is_string($msg), 'msg' => is_string($msg) ? base64_encode($msg) : '',
        'numeric' => is_numeric($lastmodif), 'waits' => 1795242560 <= $lastmodif,
    ];
}

if (PHP_SAPI !== 'cli') {
    echo seen($_GET, filter_input(INPUT_GET, 'publish', FILTER_SANITIZE_STRING));
    return true;
}
while (($line = fgets(STDIN)) !== false) {
    [$what, $text] = explode(' ', trim($line)) + ['', ''];
    $text = base64_decode($text);
    if ($what === 'query') {
        parse_str($text, $get);
        // filter_input gives null for what is missing, false for an array
        $publish = isset($get['publish']) ? filter_var($get['publish'], FILTER_SANITIZE_STRING) : null;
        echo seen($get, $publish), "\n";
    } else {
        $out = [];
        foreach (explode("\n", $text) as $i => $id) {
            $out[$id] = 1795242560 + $i;
        }
        echo json_encode(['s' => 1, 'k' => $out]), "\n";
    }
}
