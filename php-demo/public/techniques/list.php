<?php
// What techniques.php shows: the techniques in three groups. A technique is
//
//   'name of its script in this folder' => array(title, text, what its browser asks for, the connection that it keeps)
//
// A connection counts for the host that it goes to: this page's own, the "other" name of this machine, or none is kept.

return array(
    array('Ask, and ask again', 'Every answer ends. What differs is how long the server thinks about it, and how the question travels.', array(
        'short-polling' => array('Short polling',
            'The browser asks every two seconds whether anything is new. Most answers say no, and news is a second late on average.',
            'GET /comet/demo?since=…&wait=0', 'none'),
        'long-polling' => array('Long polling',
            'The server keeps the question until it has an answer; then the browser asks again, from where that answer ended. News comes at once, and a quiet minute costs two or three requests.',
            'GET /comet/demo?since=…', 'own'),
        'novcomet' => array('NovComet',
            'Long polling as PHP sites wrote it in 2011: a file’s time is the event. Such a page keeps its script and its PHP, only the waiting has moved from a PHP worker into Caddy.',
            'GET /comet.php?subscribed[demo]=…', 'own'),
        'jsonp' => array('JSONP',
            'A script element may come from any other site, so the answer is a script that calls a function of this page. It is long polling that crosses origins and asks for nobody’s permission.',
            'GET //other.host/jsonp/demo?since=…&callback=…', 'other'),
        'doorbell' => array('Event variable',
            'PHP says “nothing new, wait for event 8273…”, and the page waits for that number at a doorbell that knows nothing of counters. Whoever changes the counter rings the number, and everybody asks PHP again.',
            'GET //other.host/doorbell/8273…', 'other'),
        'chat' => array('Chat on one file',
            'One file holds the last message, and the question is: is it newer than mine? PHP does nothing but write the file.',
            'GET /chat.php?timestamp=…', 'own'),
    )),
    array('Leave the answer open', 'One request, and an answer that never ends. Each event is sent as the next piece of it.', array(
        'forever-frame' => array('Forever frame',
            'A hidden frame loads a page that never ends. Each event is a script element in it that calls a function of the page around it.',
            'GET /comet/demo?as=frame&callback=parent.updateResult', 'own'),
        'iframe-clock' => array('The clock in a frame',
            'The server’s time, once a second, by a forever frame. On the left one small PHP script publishes each second once, for everybody; on the right it is as it was first written, a PHP worker that loops, prints, flushes and sleeps for each visitor.',
            'GET /clock/backend.php', 'own'),
        'xhr-streaming' => array('XHR streaming',
            'One XMLHttpRequest whose answer keeps growing, read while it is in readyState 3. It begins anew after a megabyte, because the browser keeps all of it.',
            'GET /comet/demo?as=stream', 'own'),
        'multipart' => array('Multipart replace',
            'An image of which each part replaces the one before, without a line of script: server push as Netscape had it in 1995. PHP draws this one, once a second for everybody.',
            '<img src="/comet/picture?as=multipart&send=data">', 'own'),
        'event-source' => array('EventSource',
            'What browsers have for it by now: one stream that comes back by itself and says which event it saw last. Only after an error page it gives up, and the script has to begin anew.',
            'new EventSource(\'/comet/demo\')', 'own'),
    )),
    array('Ride along', 'No connection at all: news travels with what goes back and forth anyway.', array(
        'piggyback' => array('Piggybacking',
            'Every request to PHP says what the page has seen, and every answer says which channels have more since. The other way round PHP publishes by a header of its answer, and needs neither a file nor a request for it.',
            'Comet-Since: … → Comet-News: demo', 'none'),
    )),
);
