<?php
// Publishing to caddy-comet, asking it for its position, and tokens for visitors. This file is all: PHP 7.4 or later, no extension, no library.
// https://github.com/caddy-comet/caddy-comet, docs/php.md. Licence: Apache 2.0.

namespace CaddyComet;

/**
 * Tells the visitors of a site what is new.
 *
 *     $comet = new Comet('append:/run/comet/example');
 *     $comet->publish('orders', ['id' => 42]);
 *
 * No call of this class throws, gives a warning or waits longer than its timeout: a page goes on as if nothing was
 * when caddy-comet is stopped, slow or set up wrongly. Each call returns whether it worked; lastError() says why not.
 */
final class Comet
{
    /** Seconds for which nothing is tried at an address after something took longer than its timeout there. */
    private const PAUSE = 1.0;

    /** Bytes of an answer; a longer one is none of caddy-comet's. */
    private const LONGEST_ANSWER = 1048576;

    /** Bytes of a token that caddy-comet takes. */
    private const LONGEST_TOKEN = 8192;

    /** @var array<string, float> by address, the time on our clock until which nothing is tried there */
    private static $paused = [];

    /** @var string as given, for messages */
    private $address = '';

    /** @var string touch, append or post; '' is an address that cannot be used */
    private $way = '';

    /** @var string the directory of the files */
    private $directory = '';

    /** @var string the socket to connect to, as PHP's streams name it */
    private $socket = '';

    /** @var string the Host header of a POST */
    private $host = '';

    /** @var string what stands before the channel in the path of a POST; ends with a slash */
    private $path = '/';

    /** @var string */
    private $key = '';

    /** @var float seconds */
    private $timeout = 0.1;

    /** @var callable|null */
    private $logger = null;

    /** @var string why the object cannot be used, '' when it can */
    private $broken = '';

    /** @var string */
    private $error = '';

    /** @var string PHP's last warning, which nobody else has seen */
    private $warning = '';

    /**
     * @param string|null $address How to publish:
     *
     *     touch:/run/comet/example                    touches <channel>.comet there (watch /run/comet/example/*.comet)
     *     append:/run/comet/example                   appends a line to <channel>.jsonl (watch … /*.jsonl lines)
     *     http://127.0.0.1:2020                       posts to comet_publish; the host is an IP address or localhost
     *     unix:/run/comet/shop-publish/publish.sock   posts to comet_publish on a Unix socket
     *
     *   Without one it is COMET_URL of the environment (or of the web server's parameters), and the key COMET_KEY.
     * @param array $options
     *   key:     string, the key of comet_publish, where it has one. Default: none.
     *   timeout: seconds that a call may take in all, a fraction too. Default: 0.1. More is for workers and cron jobs,
     *            which nobody waits for.
     *   logger:  callable(string $level, string $message, array $context), told of each failure; a PSR-3 logger fits as
     *            [$logger, 'log']. Default: none.
     */
    public function __construct($address = null, $options = [])
    {
        $this->quietly(function () use ($address, $options) {
            try {
                $this->configure($address, $options);
            } catch (\Throwable $problem) {
                $this->broken = $problem->getMessage();
            }
            return true;
        });
        $this->error = $this->broken;
    }

    /**
     * Publishes one event.
     *
     * @param string $channel A letter or digit, then letters, digits and . _ : @ = + -, 128 in all. Never a path.
     * @param mixed $data Sent as JSON, strings too: the browser gets it back by JSON.parse(event.data). Bytes that are
     *   no UTF-8 become U+FFFD. Default: null. A touch has no data, so it takes none.
     * @param array $options For a POST only:
     *   type:         string, the event's type, 128 bytes at most. Default: none, which browsers call message.
     *   id:           string, the event's ID, 128 bytes at most. A second POST with the same ID within ten minutes is no
     *                 second event, so it is harmless. Default: one of its own for each call.
     *   content_type: string. Data is then a string that is sent as it stands, as this type. Default: JSON, as above.
     * @return bool Whether caddy-comet has it (POST), or it is in the file that caddy-comet watches (touch, append).
     *   After false of a POST that was too late, it may have arrived all the same: try again with an id.
     */
    public function publish($channel, $data = null, $options = []): bool
    {
        return $this->quietly(function () use ($channel, $data, $options) {
            $this->ready();
            $channel = $this->channel($channel);
            if (!\is_array($options)) {
                throw new \RuntimeException('the options are an array');
            }
            foreach ($options as $name => $value) {
                if (!\in_array($name, ['type', 'id', 'content_type'], true)) {
                    throw new \RuntimeException("there is no option $name; there are type, id and content_type");
                }
                if ($this->way !== 'post') {
                    throw new \RuntimeException("$this->way has no room for the option $name; only a POST has");
                }
            }
            switch ($this->way) {
                case 'touch':
                    return $this->touch("$this->directory/$channel.comet", $data);
                case 'append':
                    return $this->append("$this->directory/$channel.jsonl", $this->json($data) . "\n");
                default:
                    return $this->post($channel, $data, $options);
            }
        }) === true;
    }

    /**
     * Returns the position of now, for a page that renders its state and then follows from there: take it first, then
     * read the state, then let the browser listen with since=<cursor>, and nothing is lost or shown twice.
     *
     * It has letters, digits and a dot only, so it may stand in HTML, JavaScript and URLs as it is.
     *
     * @return string|null null when it cannot be had: nobody answers in time, or the object was made for files, which
     *   cannot be asked. Then the browser begins with an empty since= itself, and reads the state after that.
     */
    public function cursor(): ?string
    {
        return $this->quietly(function () {
            $this->ready();
            if ($this->way !== 'post') {
                throw new \RuntimeException("$this->way cannot ask for the position; only an address to POST to can");
            }
            // Any channel does, because a cursor serves for all of them. GET / would list every channel besides.
            return $this->request("GET {$this->path}cursor?since= HTTP/1.0\r\n", '');
        });
    }

    /**
     * Returns a token for a visitor: a JSON Web Token (HS256) that lets him follow channels for a while. The other side
     * is `token` in the Caddyfile, with the same key.
     *
     *     setcookie('comet_token', Comet::token(['news', 'user-42-*'], ['user' => '42']), ['path' => '/comet', 'httponly' => true, 'samesite' => 'Lax']);
     *
     * @param array $channels Names, where * stands for any characters. Give few: a cookie has 4096 bytes at most.
     * @param array $options
     *   user: string or int, who the visitor is, for presence and kicks. Default: nobody.
     *   session: string, which of his sessions it is, for kicks: hash('sha256', session_id()), since the id itself is a secret.
     *         Default: none.
     *   ttl:  int, seconds for which the token is good, 86400 at most. Default: 3600.
     *   hub:  string, the hub of the Caddyfile. Default: default, which is the one where none is declared.
     *   key:  string, 32 bytes or more. Default: COMET_TOKEN_KEY of the environment (or of the web server's parameters).
     * @param string $error Why there is none, in a sentence for a log; '' when there is one.
     * @return string|null null when it cannot be made; nothing is thrown.
     */
    public static function token($channels, $options = [], &$error = ''): ?string
    {
        $error = '';
        try {
            return self::signed($channels, $options);
        } catch (\Throwable $problem) {
            $error = $problem->getMessage();
            return null;
        }
    }

    /** Returns why the last call did not work, in a sentence for a log; '' when it did. */
    public function lastError(): string
    {
        return $this->error;
    }

    private static function signed($channels, $options)
    {
        if (!\is_array($options)) {
            throw new \RuntimeException('the options are an array');
        }
        foreach ($options as $name => $value) {
            if (!\in_array($name, ['user', 'session', 'ttl', 'hub', 'key'], true)) {
                throw new \RuntimeException("there is no option $name; there are user, session, ttl, hub and key");
            }
        }
        $options += ['user' => null, 'session' => null, 'ttl' => 3600, 'hub' => 'default', 'key' => self::environment('COMET_TOKEN_KEY')];
        $key = \is_string($options['key']) ? \trim($options['key']) : '';
        if ($key === '') {
            throw new \RuntimeException('no key is given, and COMET_TOKEN_KEY is not set; for php-fpm it is a line of the pool: env[COMET_TOKEN_KEY] = …, as from: openssl rand -hex 32');
        }
        if (\strlen($key) < 32) {
            throw new \RuntimeException('the key has 32 bytes or more; make one by: openssl rand -hex 32');
        }
        if (!\is_int($options['ttl']) || $options['ttl'] < 1 || $options['ttl'] > 86400) {
            throw new \RuntimeException('the ttl is a number of seconds, from 1 to 86400');
        }
        if (!\is_array($channels) || !$channels || \count($channels) > 1000) {
            throw new \RuntimeException('the channels are an array of 1 to 1000 names');
        }
        $names = [];
        foreach ($channels as $name) {
            $names[] = self::word('a channel', \is_int($name) ? (string) $name : $name, 255);
        }
        $now = \microtime(true);
        $claims = ['aud' => self::word('the hub', $options['hub'], 64), 'exp' => (int) $now + $options['ttl'], 'channels' => $names];
        if ($options['user'] !== null) {
            $claims['sub'] = self::word('the user', \is_int($options['user']) ? (string) $options['user'] : $options['user'], 255);
        }
        if ($options['session'] !== null) {
            $claims['sid'] = self::word('the session', $options['session'], 255);
        }
        // To the millisecond, for a kick may be between two that are made in one second. How json_encode() writes fractions is a
        // setting of PHP.
        $issued = \sprintf('{"iat":%d.%03d,', (int) $now, (int) (($now - (int) $now) * 1000));
        $claims = \json_encode($claims, JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
        $text = self::base64url('{"typ":"JWT","alg":"HS256"}') . '.' . self::base64url($issued . \substr($claims, 1));
        $token = $text . '.' . self::base64url(\hash_hmac('sha256', $text, $key, true));
        if (\strlen($token) > self::LONGEST_TOKEN) {
            throw new \RuntimeException('the token has more than ' . self::LONGEST_TOKEN . ' bytes; name channels by patterns, as in user-42-*');
        }
        return $token;
    }

    private static function base64url($bytes)
    {
        return \rtrim(\strtr(\base64_encode($bytes), '+/', '-_'), '=');
    }

    /** Sets the object up. */
    private function configure($address, $options)
    {
        if (!\is_array($options)) {
            throw new \RuntimeException('the options are an array');
        }
        foreach ($options as $name => $value) {
            if (!\in_array($name, ['key', 'timeout', 'logger'], true)) {
                throw new \RuntimeException("there is no option $name; there are key, timeout and logger");
            }
        }
        if (isset($options['logger'])) {
            if (!\is_callable($options['logger'])) {
                throw new \RuntimeException("the logger cannot be called; for an object of PSR-3 it is [\$logger, 'log']");
            }
            $this->logger = $options['logger'];
        }
        if (isset($options['timeout'])) {
            if (!\is_int($options['timeout']) && !\is_float($options['timeout']) || !($options['timeout'] > 0 && $options['timeout'] <= 3600)) {
                throw new \RuntimeException('the timeout is a number of seconds, more than 0');
            }
            $this->timeout = (float) $options['timeout'];
        }
        $key = isset($options['key']) ? $options['key'] : '';
        if ($address === null) {
            $address = self::environment('COMET_URL');
            $key = $key === '' ? self::environment('COMET_KEY') : $key;
            if ($address === '') {
                throw new \RuntimeException('no address is given, and COMET_URL is not set; for php-fpm it is a line of the pool: env[COMET_URL] = append:/run/comet/example');
            }
        }
        if (!\is_string($address)) {
            throw new \RuntimeException('the address is a string');
        }
        $this->address = $address;
        $this->key = $key === '' ? '' : self::word('key', $key, 4096);
        $this->way = $this->wayOf($address);
    }

    /** Reads an address, and returns its way. */
    private function wayOf($address)
    {
        if (\preg_match('~^(touch|append):(/[^\x00-\x1f\x7f]*)$~D', $address, $part)) {
            $this->directory = \rtrim($part[2], '/');
            return $part[1];
        }
        if (\preg_match('~^unix:(/[^\x00-\x1f\x7f]*)$~D', $address, $part)) {
            if (\strlen($part[1]) > 107) {
                throw new \RuntimeException('a socket has a path of 107 bytes at most');
            }
            $this->socket = "unix://$part[1]";
            $this->host = 'localhost';
            return 'post';
        }
        if (\preg_match('~^http://(localhost|[0-9.]+|\[[0-9a-fA-F:.]+\])(:[0-9]{1,5})?(/[A-Za-z0-9._\~/-]*)?$~D', $address, $part)) {
            $ip = $part[1] === 'localhost' ? '127.0.0.1' : $part[1];
            $port = isset($part[2]) ? $part[2] : '';
            if (\inet_pton(\trim($ip, '[]')) === false) {
                throw new \RuntimeException("$part[1] is no IP address");
            }
            $this->socket = "tcp://$ip" . ($port === '' ? ':80' : $port);
            $this->host = $part[1] . $port;
            $this->path = \rtrim(isset($part[3]) ? $part[3] : '', '/') . '/';
            return 'post';
        }
        // A name would have to be looked up, and PHP cannot stop a lookup that takes seconds.
        throw new \RuntimeException("the address $address is none; it is touch:/directory, append:/directory, unix:/socket or http://host:port, where the host is an IP address or localhost");
    }

    private static function environment($name)
    {
        foreach ([$_SERVER, $_ENV] as $from) {
            if (isset($from[$name]) && \is_string($from[$name])) {
                return $from[$name];
            }
        }
        return (string) \getenv($name);
    }

    /** Refuses to work where that cannot succeed. */
    private function ready()
    {
        if ($this->broken !== '') {
            throw new \RuntimeException($this->broken);
        }
        if (isset(self::$paused[$this->address]) && self::now() < self::$paused[$this->address]) {
            throw new \RuntimeException("not tried: less than a second ago $this->address took too long, or was told too much");
        }
    }

    private function channel($name)
    {
        $name = \is_int($name) ? (string) $name : $name;
        if (!\is_string($name) || !\preg_match('/^[A-Za-z0-9][A-Za-z0-9._:@=+-]{0,127}$/D', $name)) {
            $shown = \is_string($name) ? $this->json(\substr($name, 0, 40)) : \gettype($name);
            throw new \RuntimeException("$shown is no channel; a channel is a letter or digit and up to 127 more of letters, digits and . _ : @ = + -");
        }
        return $name;
    }

    /** Returns a value that may stand in a header. */
    private static function word($name, $value, $limit)
    {
        if (!\is_string($value) || $value === '' || \strlen($value) > $limit || !\preg_match('/^[^\p{Cc}]+$/Du', $value)) {
            throw new \RuntimeException("$name is UTF-8 of 1 to $limit bytes without control characters");
        }
        return $value;
    }

    private function json($data)
    {
        try {
            return \json_encode($data, JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE | JSON_PRESERVE_ZERO_FRACTION);
        } catch (\Throwable $problem) {
            throw new \RuntimeException('the data cannot be JSON: ' . $problem->getMessage());
        }
    }

    private function touch($file, $data)
    {
        if ($data !== null) {
            throw new \RuntimeException('a touch carries no data; append or POST does');
        }
        if (!\touch($file)) {
            throw new \RuntimeException("cannot touch: $this->warning");
        }
        return true;
    }

    private function append($file, $line)
    {
        $deadline = self::now() + $this->timeout;
        \clearstatcache(true, $file);
        $new = !\file_exists($file);
        if (!$new && !\is_file($file)) { // a FIFO would wait for its reader when it is full
            throw new \RuntimeException("cannot append: $file is no file");
        }
        $handle = \fopen($file, 'a+b');
        if (!$handle) {
            throw new \RuntimeException("cannot append: $this->warning");
        }
        if ($new && \function_exists('chmod')) { // some hosts disable it
            // Whatever the umask is, Caddy's group must read it.
            \chmod($file, \fstat($handle)['mode'] & 0777 | 0040);
        }
        while (!\flock($handle, LOCK_EX | LOCK_NB, $held)) {
            if (!$held) {
                throw new \RuntimeException("cannot append: $file cannot be locked");
            }
            if (self::now() >= $deadline) {
                $this->late("somebody else keeps $file locked");
            }
            \usleep(1000);
        }
        // A line that somebody left without its end, on a full disk perhaps, must not swallow ours.
        if (\fseek($handle, -1, SEEK_END) === 0 && \fread($handle, 1) !== "\n") {
            $line = "\n$line";
        }
        $written = \fwrite($handle, $line);
        \fclose($handle);
        if ($written !== \strlen($line)) {
            throw new \RuntimeException("cannot append: $file took " . (int) $written . ' of ' . \strlen($line) . " bytes; is the disk full? $this->warning");
        }
        return true;
    }

    private function post($channel, $data, $options)
    {
        $head = "POST $this->path$channel HTTP/1.0\r\n";
        if (isset($options['content_type'])) {
            if (!\is_string($data)) {
                throw new \RuntimeException('data with a content_type is a string');
            }
            $body = $data;
            $head .= 'Content-Type: ' . self::word('content_type', $options['content_type'], 256) . "\r\n";
        } else {
            $body = $this->json($data);
            $head .= "Content-Type: application/json\r\n";
        }
        if (isset($options['type'])) {
            $head .= 'Comet-Type: ' . self::word('type', $options['type'], 128) . "\r\n";
        }
        // With an ID the second attempt of request() cannot become a second event.
        $id = isset($options['id']) ? self::word('id', $options['id'], 128) : \bin2hex(\random_bytes(12));
        $head .= "Comet-Id: $id\r\nContent-Length: " . \strlen($body) . "\r\n";
        $this->request($head, $body);
        return true;
    }

    /** Sends a request, and returns the cursor of the answer. HTTP/1.0 has the answer end with the connection. */
    private function request($head, $body)
    {
        $deadline = self::now() + $this->timeout;
        $head .= "Host: $this->host\r\nConnection: close\r\n";
        $head .= ($this->key === '' ? '' : "Authorization: Bearer $this->key\r\n") . "\r\n";
        $answer = $this->exchange($head . $body, $deadline);
        if ($answer === '') { // a server that reloads may close a connection that it has just taken
            $answer = $this->exchange($head . $body, $deadline);
        }
        $parts = \explode("\r\n\r\n", $answer, 2);
        if (!\preg_match('~^HTTP/1\.[01] ([0-9]{3})~', $parts[0], $status)) {
            throw new \RuntimeException("$this->address ended the connection without an answer of HTTP");
        }
        $said = \json_decode(isset($parts[1]) ? $parts[1] : '', true);
        if ($status[1] !== '200') {
            if ($status[1] === '429') { // and whoever is over his rate has waited before he was told
                $this->pause();
            }
            $why = isset($said['error']) && \is_string($said['error']) ? $said['error'] : 'nothing that says why';
            throw new \RuntimeException("$this->address answered $status[1]: $why");
        }
        if (!isset($said['cursor']) || !\is_string($said['cursor']) || !\preg_match('/^[A-Za-z0-9]+\.[0-9]+$/D', $said['cursor'])) {
            throw new \RuntimeException("$this->address answered, but is no comet_publish; does the Caddyfile have it for the host $this->host?");
        }
        return $said['cursor'];
    }

    /** Sends bytes over a new connection and returns the whole answer, or what came before the other side hung up. */
    private function exchange($request, $deadline)
    {
        $left = \max(0.001, $deadline - self::now());
        $stream = \stream_socket_client($this->socket, $number, $message, $left);
        if (!$stream) {
            if (self::now() >= $deadline - 0.005) { // PHP waits for whole milliseconds
                $this->late("no connection to $this->address");
            }
            throw new \RuntimeException("cannot connect to $this->address: " . ($message ?: $this->warning));
        }
        \stream_set_blocking($stream, false);
        $sent = 0;
        $answer = '';
        while (\strlen($answer) < self::LONGEST_ANSWER) {
            $left = $deadline - self::now();
            if ($left <= 0) {
                $this->late("no answer from $this->address");
            }
            $read = [$stream];
            $write = $sent < \strlen($request) ? [$stream] : [];
            $except = [];
            if (\stream_select($read, $write, $except, (int) $left, (int) (($left - (int) $left) * 1000000)) === false) {
                \usleep(1000); // a signal, or a process with more files open than select() can count: look at both
                $read = [$stream];
                $write = $sent < \strlen($request) ? [$stream] : [];
            }
            if ($read) {
                $answer .= (string) \fread($stream, 65536);
                if (\feof($stream)) {
                    break;
                }
            }
            if ($write) {
                $bytes = \fwrite($stream, \substr($request, $sent, 65536));
                // Whoever wants no more of the request may have said why.
                $sent = $bytes === false ? \strlen($request) : $sent + $bytes;
            }
        }
        \fclose($stream);
        return $answer;
    }

    /** Has nothing tried for a while: a page that publishes often must not wait often. */
    private function pause()
    {
        self::$paused[$this->address] = self::now() + self::PAUSE;
    }

    /** Gives up because of the time, for a while. */
    private function late($what)
    {
        $this->pause();
        throw new \RuntimeException("$what within " . \round($this->timeout * 1000) . ' ms');
    }

    /** Returns the seconds of a clock that nobody sets. */
    private static function now()
    {
        return \hrtime(true) / 1e9;
    }

    /**
     * Does something that may throw and warn, and keeps both to itself: null then.
     *
     * The @ operator would not do. Error handlers are called in spite of it, and some throw.
     */
    private function quietly(callable $do)
    {
        $this->error = $this->warning = '';
        $result = null;
        try {
            \set_error_handler(function ($level, $message) {
                $this->warning = $message;
                return true;
            });
            try {
                $result = $do();
            } finally {
                \restore_error_handler();
            }
        } catch (\Throwable $problem) {
            $this->error = $problem->getMessage();
        }
        if ($this->error !== '' && $this->logger !== null) {
            try {
                ($this->logger)('warning', 'comet: ' . $this->error, ['address' => $this->address]);
            } catch (\Throwable $problem) {
                // Its failure is no more the page's than ours.
            }
        }
        return $result;
    }
}
