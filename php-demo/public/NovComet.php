<?php
/**
 * The server's half of the NovComet protocol, as many sites have had it for years: no extension, no daemon, a file's
 * mtime is the event.
 *
 * Without caddy-comet, run() is what each open page costs: one PHP worker that sleeps for up to 40 seconds.
 * With it, run() is never called any more. publish() is, and that is all that caddy-comet needs of it.
 */
class NovComet
{
    const COMET_OK = 0;
    const COMET_CHANGED = 1;

    private $folder;
    private $tries;
    private $sleep;
    private $since = array();

    public function __construct($folder, $tries = 20, $sleep = 2)
    {
        $this->folder = $folder;
        $this->tries = $tries;
        $this->sleep = $sleep;
    }

    /** Listens to a name from a Unix time on. 0 means now. */
    public function setVar($name, $timestamp)
    {
        if (self::isName($name)) {
            $this->since[$name] = (int) $timestamp ?: time();
        }
    }

    /** Waits until one of the names was published after its time, and says which and when. */
    public function run()
    {
        for ($i = 0; $i < $this->tries; $i++) {
            clearstatcache();
            $changed = array();
            foreach ($this->since as $name => $since) {
                $published = is_file($this->file($name)) ? filemtime($this->file($name)) : 0;
                if ($published > $since) {
                    $changed[$name] = $published;
                }
            }
            if ($changed) {
                return json_encode(array('s' => self::COMET_CHANGED, 'k' => (object) $changed));
            }
            sleep($this->sleep);
        }
        return json_encode(array('s' => self::COMET_OK));
    }

    public function publish($name)
    {
        return json_encode(self::isName($name) && touch($this->file($name)));
    }

    /** A name becomes part of a path, so nothing but plain names is one. */
    public static function isName($name)
    {
        return is_string($name) && preg_match('/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/D', $name);
    }

    private function file($name)
    {
        return $this->folder . '/' . $name . '.comet';
    }
}
