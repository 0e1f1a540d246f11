<?php
// Publishes the time once a second, and a picture of it: one process for all visitors, however many look.
//
//	php clock.php http://127.0.0.1:2020
//
// The time is the number that a page's comet.printServerTime(time) is called with; the picture is shown by an <img>.

if ($argc !== 2) {
    fwrite(STDERR, "usage: php clock.php <URL of comet_publish>\n");
    exit(2);
}

function publish(string $url, string $type, string $body): bool
{
    $http = array('method' => 'POST', 'header' => "Content-Type: $type", 'content' => $body, 'timeout' => 1);
    return @file_get_contents($url, false, stream_context_create(array('http' => $http))) !== false;
}

/** A clock face as a PNG, made of pixels: no extension but zlib, which every PHP has. */
class ClockFace
{
    const SIZE = 160;
    const STEPS = 15; // of each of the two colours, from nothing to all of it
    const VIOLET = "\x7c\x5c\xff";
    const AMBER = "\xf5\xa5\x24";

    private $face;

    public function __construct()
    {
        $this->face = array_fill(0, self::SIZE * self::SIZE, 0);
        $middle = self::SIZE / 2;
        for ($y = 0; $y < self::SIZE; $y++) {
            for ($x = 0; $x < self::SIZE; $x++) {
                $off = abs(hypot($x + 0.5 - $middle, $y + 0.5 - $middle) - ($middle - 4));
                $this->face[$y * self::SIZE + $x] = self::cover(2.5 - $off);
            }
        }
        for ($hour = 0; $hour < 12; $hour++) {
            self::line($this->face, $hour / 12, 0.76, 0.84, $hour % 3 === 0 ? 2.6 : 1.4, 0);
        }
    }

    public function at(int $time): string
    {
        list($hours, $minutes, $seconds) = array_map('intval', explode(' ', date('G i s', $time)));
        $pixels = $this->face;
        self::line($pixels, ($hours % 12 + $minutes / 60) / 12, 0, 0.5, 3.4, 0);
        self::line($pixels, ($minutes + $seconds / 60) / 60, 0, 0.72, 2.4, 0);
        self::line($pixels, $seconds / 60, -0.15, 0.8, 1.2, self::STEPS);
        $rows = '';
        foreach (array_chunk($pixels, self::SIZE) as $row) {
            $rows .= "\0" . pack('C*', ...$row); // \0: no filter
        }
        $opacity = "\0"; // colour 0 is nothing; then come the steps of violet and those of amber
        for ($i = 0; $i < 2 * self::STEPS; $i++) {
            $opacity .= chr((int) (255 * ($i % self::STEPS + 1) / self::STEPS));
        }
        return "\x89PNG\r\n\x1a\n"
            . self::chunk('IHDR', pack('NNC5', self::SIZE, self::SIZE, 8, 3, 0, 0, 0))
            . self::chunk('PLTE', "\0\0\0" . str_repeat(self::VIOLET, self::STEPS) . str_repeat(self::AMBER, self::STEPS))
            . self::chunk('tRNS', $opacity)
            . self::chunk('IDAT', gzcompress($rows, 9))
            . self::chunk('IEND', '');
    }

    /** Draws along a hand that has turned so far, from one part of the radius to another. */
    private static function line(array &$pixels, float $turn, float $from, float $to, float $width, int $colour)
    {
        $middle = self::SIZE / 2;
        $dx = sin(2 * M_PI * $turn);
        $dy = -cos(2 * M_PI * $turn);
        $from *= $middle;
        $to *= $middle;
        $range = function (float $d) use ($middle, $from, $to, $width): array {
            $ends = array($middle + $d * $from, $middle + $d * $to);
            return array((int) floor(min($ends) - $width), (int) ceil(max($ends) + $width));
        };
        list($left, $right) = $range($dx);
        list($top, $bottom) = $range($dy);
        for ($y = $top; $y <= $bottom; $y++) {
            for ($x = $left; $x <= $right; $x++) {
                $px = $x + 0.5 - $middle;
                $py = $y + 0.5 - $middle;
                $along = max($from, min($to, $px * $dx + $py * $dy)); // the hand's point that is nearest
                $cover = self::cover($width - hypot($px - $along * $dx, $py - $along * $dy));
                if ($cover > 0) {
                    $at = $y * self::SIZE + $x;
                    $pixels[$at] = $colour > 0 ? $colour + $cover : max($pixels[$at], $cover);
                }
            }
        }
    }

    /** How much of a pixel is covered whose middle lies so far inside. */
    private static function cover(float $inside): int
    {
        return (int) round(self::STEPS * max(0, min(1, $inside + 0.5)));
    }

    private static function chunk(string $type, string $data): string
    {
        return pack('N', strlen($data)) . $type . $data . pack('N', crc32($type . $data));
    }
}

$base = $argv[1];
$clock = new ClockFace();
$works = true;
for (;;) {
    usleep((int) (1e6 * (1 - fmod(microtime(true), 1))) + 1000); // until the next second has begun
    $now = time();
    $did = publish("$base/time", 'application/json', (string) $now) && publish("$base/picture", 'image/png', $clock->at($now));
    if ($did !== $works) {
        fwrite(STDERR, date('c') . ($did ? ' published again' : " $base does not take events; I go on trying") . "\n");
        $works = $did;
    }
}
