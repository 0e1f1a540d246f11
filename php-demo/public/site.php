<?php
// What every page of this site needs, and its frame.
require_once __DIR__ . '/../../php/Comet.php'; // on a site of your own, beside your pages

/** The folder that PHP writes events into and caddy-comet watches. Both get it from the Caddyfile. */
function events_folder(): string
{
    return $_SERVER['COMET_RUN'] ?? '/run/comet/demo';
}

/** Where caddy-comet takes events by POST. */
function publish_url(): string
{
    return $_SERVER['COMET_PUBLISH'] ?? 'http://127.0.0.1:2020';
}

/** The port on which the same site is served over https, or ''. */
function https_port(): string
{
    return $_SERVER['COMET_HTTPS_PORT'] ?? '';
}

/** Whether this is the other side: the same files, without caddy-comet in front. */
function without_comet(): bool
{
    return isset($_SERVER['COMET_WITHOUT']);
}

/** Whether no other site's page sent this request. Programs such as curl send neither header. */
function from_this_site(): bool
{
    if (isset($_SERVER['HTTP_SEC_FETCH_SITE'])) {
        return $_SERVER['HTTP_SEC_FETCH_SITE'] === 'same-origin';
    }
    if (isset($_SERVER['HTTP_ORIGIN'])) {
        return preg_replace('#^https?://#', '', $_SERVER['HTTP_ORIGIN']) === ($_SERVER['HTTP_HOST'] ?? '');
    }
    return true;
}

/** Ends the request with JSON. */
function answer(int $status, array $body)
{
    http_response_code($status);
    header('Content-Type: application/json');
    header('Cache-Control: no-store');
    echo json_encode($body);
    exit;
}

function e(string $text): string
{
    return htmlspecialchars($text, ENT_QUOTES, 'UTF-8');
}

function page_head(string $title, string $class = '')
{
    $pages = array('/' => 'Live', '/techniques.php' => 'Techniques', '/proof.php' => 'The proof', '/novcomet.php' => 'NovComet', '/events.php' => 'EventSource');
    $here = strtok($_SERVER['REQUEST_URI'] ?? '/', '?');
    ?>
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title><?= e($title) ?> · caddy-comet</title>
<link rel="icon" href="/comet.svg" type="image/svg+xml">
<link rel="stylesheet" href="/style.css">
<script src="/demo.js" defer></script>
</head>
<body<?= $class === '' ? '' : ' class="' . e($class) . '"' ?>>
<header class="top">
	<a class="brand" href="/"><img src="/comet.svg" alt="" width="28" height="28"> caddy-comet</a>
	<nav>
<?php foreach ($pages as $path => $name) { ?>
		<a href="<?= $path ?>"<?= $here === $path ? ' aria-current="page"' : '' ?>><?= $name ?></a>
<?php } ?>
	</nav>
</header>
<?php if (without_comet()) { ?>
<p class="aside-bar">This is the side <strong>without</strong> caddy-comet: PHP holds each poll itself, and has two workers.</p>
<?php } ?>
<main>
<?php
}

function page_foot()
{
    $took = 1000 * (microtime(true) - $_SERVER['REQUEST_TIME_FLOAT']);
    ?>
</main>
<footer>
	<p>PHP <?= PHP_VERSION ?> rendered this page in <?= number_format($took, 1) ?> ms, at <?= date('H:i:s') ?>, as it would without us.</p>
</footer>
</body>
</html>
<?php
}
