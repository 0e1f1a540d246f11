<?php
// The clock as it was first written: a page that never ends, and a PHP worker that does nothing else while somebody looks
// at it. This one ends after 30 seconds, so that the demo's two workers are not gone for good. What it flushes has to
// reach the browser at once: in PHP output_buffering is off for it, in the Caddyfile flush_interval is -1.
set_time_limit(60);
while (ob_get_level() > 0) {
    ob_end_flush();
}
header('Content-Type: text/html; charset=utf-8');
header('Cache-Control: no-store');
header('X-Accel-Buffering: no');
?>
<!DOCTYPE html>
<title>A clock that PHP holds</title>
<script>
var loop = window.parent.loop;
</script>
<?php
for ($i = 0; $i < 30; $i++) {
    echo '<script>loop.printServerTime(', time(), ');</script>', "\n";
    flush(); // where the visitor has left, this ends the script
    sleep(1);
}
