<?php
// An ordinary page that knows nothing of comet. caddy-comet adds what is new to its answer (techniques/piggyback.js).
header('Content-Type: text/plain; charset=utf-8');
header('Cache-Control: no-store');
echo 'PHP says it is ', date('H:i:s');
