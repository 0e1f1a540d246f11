package doctor

// The problems, in the order of the page. %s and %d are where something is filled in;
// the page has … there.
var (
	noServer     = problem{"server", Fail, "no-server-answers", "no server answers at the admin endpoint %s"}
	noEndpoint   = problem{"server", Warn, "no-server-answers", "no server answers at the admin endpoint %s, so only what can be seen from outside is checked"}
	noPermission = problem{"server", Fail, "the-admin-endpoint-is-not-for-this-user", "the admin endpoint %s is not for the user %s"}
	noComet      = problem{"server", Fail, "the-server-has-no-comet-in-it", "the server at the admin endpoint %s has no comet in it"}
	oldServer    = problem{"server", Fail, "the-server-is-an-older-one", "the server at the admin endpoint %s is an older one than this command"}
	trouble      = problem{"server", Fail, "no-server-answers", "the admin endpoint %s answers with an error: %s"}

	noLine       = problem{"lines", Fail, "no-comet-line", "the running configuration has no comet line, so nothing is held"}
	sharedHub    = problem{"lines", Warn, "sites-share-a-hub", "the sites %s share the hub %s: what is published for one is heard at all"}
	writeTimeout = problem{"lines", Warn, "a-write-timeout-cuts-held-requests", "the server on %s cuts held requests after its write timeout of %s"}

	noPublisher     = problem{"publish", Warn, "nothing-publishes", "nothing publishes in the hub %s: it has no watch, no comet_publish and no comet_backend with publish"}
	publisherDead   = problem{"publish", Fail, "the-publish-endpoint-does-not-answer", "the publish endpoint %s does not answer: %s"}
	publisherHost   = problem{"publish", Warn, "events-are-lost-without-a-word", "posts to http://%s get an empty 200 and are lost: no site there has that name"}
	mayNotConnect   = problem{"publish", Fail, "php-may-not-connect-to-the-socket", "the user %s may not connect to the socket %s"}
	mayNotPublish   = problem{"publish", Warn, "the-user-may-not-publish-here", "PHP of the hub %s runs as %s, who is not among those who may publish at %s: %s"}
	poolUnreachable = problem{"php", Fail, "php-fpm-cannot-be-reached", "php-fpm cannot be reached at %s: %s"}
	poolForbidden   = problem{"php", Fail, "php-fpm-cannot-be-reached", "the server's user %s may not connect to php-fpm at %s"}

	noDirectory = problem{"files", Fail, "the-watched-directory-is-not-there", "the watched directory %s is not there"}
	cannotWrite = problem{"files", Fail, "php-cannot-write-where-the-server-watches", "PHP's user %s cannot write in %s"}
	cannotRead  = problem{"files", Fail, "the-server-cannot-read-what-php-writes", "the server's user %s cannot read %s"}
	privateTmp  = problem{"files", Warn, "files-below-tmp-are-not-seen", "%s is below %s, of which systemd may give PHP and the server one each (PrivateTmp)"}
	polled      = problem{"files", Warn, "files-are-polled", "changes in %s are looked for four times a second, not told by inotify: %s"}
	watchError  = problem{"files", Warn, "a-watched-file-cannot-be-read", "the watch %s has trouble: %s"}
	unseen      = problem{"touch", Fail, "a-touch-comes-to-nobody", "a file was touched in %s, and nobody was told within %s"}
	cannotTouch = problem{"touch", Fail, "php-cannot-write-where-the-server-watches", "no file can be made in %s as %s: %s"}

	fewFiles    = problem{"limits", Warn, "too-few-descriptors", "the server may have %d files open, and max_holds is %d altogether"}
	hubFull     = problem{"limits", Warn, "a-hub-is-full", "the hub %s has refused %d requests for want of room: %s is %d"}
	smallSysctl = problem{"limits", Warn, "a-limit-of-the-kernel", "%s is %d, which is less than %d"}
	workersBusy = problem{"php", Warn, "all-php-workers-are-busy", "all %d workers of the pool %s are busy, and %d requests wait"}
	workersWere = problem{"php", Warn, "all-php-workers-are-busy", "the pool %s has reached its pm.max_children %d times since it began"}
	collects    = problem{"php", Warn, "php-collects-a-page-before-it-sends", "PHP collects %s bytes before it sends any (output_buffering in %s), and a site is to stream (flush_interval -1)"}

	badURL      = problem{"reach", Fail, "the-address-is-none", "%q is no address of a site"}
	noName      = problem{"reach", Fail, "the-name-is-not-known", "the name %s is not known"}
	refused     = problem{"reach", Fail, "nobody-listens", "nobody listens at %s"}
	noAnswer    = problem{"reach", Fail, "no-answer", "%s gives no answer within %s"}
	broken      = problem{"reach", Fail, "no-answer", "the request to %s failed: %s"}
	certName    = problem{"reach", Fail, "the-certificate-is-wrong", "the certificate at %s is for %s, not for this name"}
	certUnknown = problem{"reach", Fail, "the-certificate-is-wrong", "the certificate at %s is signed by nobody whom this machine trusts"}
	certMissing = problem{"reach", Fail, "the-certificate-is-wrong", "the server at %s has no certificate for this name"}
	certTime    = problem{"reach", Fail, "the-certificate-is-wrong", "the certificate at %s is good from %s to %s, and now it is not"}
	noTLS       = problem{"reach", Fail, "https-where-there-is-none", "%s does not speak TLS"}
	leadsAway   = problem{"reach", Fail, "the-address-leads-elsewhere", "%s leads to %s"}
	login       = problem{"reach", Fail, "a-login-stands-before-it", "%s asks for a login (%s) before the request comes to a comet line"}
	gateway     = problem{"reach", Fail, "a-proxy-does-not-reach-the-server", "%s answers %s: the proxy there does not reach the server behind it"}
	notOurs     = problem{"reach", Fail, "something-else-answers", "%s is answered %s (%s), by something else than a comet line"}
	twoServers  = problem{"reach", Fail, "another-server-answers", "some requests to %s come to another server than the one at the admin endpoint %s"}
	otherServer = problem{"reach", Fail, "another-server-answers", "%s is held by another server than the one at the admin endpoint %s"}

	heldBack  = problem{"streaming", Fail, "events-arrive-all-at-once", "events are held back on the way%s: of 5 events 200 ms apart, %s"}
	late      = problem{"streaming", Warn, "events-arrive-late", "an event took %s on the way, though another took only %s"}
	oldHTTP   = problem{"http", Warn, "six-connections-to-a-host", "browsers get %s, and open no more than six connections to a host"}
	noUpgrade = problem{"websocket", Warn, "websockets-do-not-come-through", "WebSockets do not come through%s: the request arrives without its Upgrade"}
	cut       = problem{"silence", Fail, "a-proxy-cuts-silent-requests", "a silent request was cut after %s (%s), and polls are silent for up to %s"}
	proxyIP   = problem{"address", Warn, "php-sees-the-address-of-the-proxy", "PHP sees the address %s for every visitor, which is the proxy's"}
	noForward = problem{"address", Warn, "the-proxy-does-not-say-who-the-visitor-is", "the proxy at %s does not say who the visitor is (no X-Forwarded-For)"}
	plainPHP  = problem{"scheme", Warn, "php-sees-http-where-visitors-have-https", "PHP sees http, and visitors have https"}
	otherHost = problem{"host", Warn, "php-sees-another-host", "PHP sees the host %s, and visitors have %s"}

	sessionLock = problem{"session", Warn, "a-session-locks-its-visitor-out", "two requests of one visitor to %s wait for each other: one took %s, together they took %s"}
	oneByOne    = problem{"session", Warn, "php-answers-one-after-the-other", "two requests to %s wait for each other, whoever sends them: one took %s, together they took %s"}
)

// problems are all there are, for the page's test.
var problems = []*problem{
	&noServer, &noEndpoint, &noPermission, &noComet, &oldServer, &trouble,
	&noLine, &sharedHub, &writeTimeout,
	&noPublisher, &publisherDead, &publisherHost, &mayNotConnect, &mayNotPublish, &poolUnreachable, &poolForbidden,
	&noDirectory, &cannotWrite, &cannotRead, &privateTmp, &polled, &watchError, &unseen, &cannotTouch,
	&fewFiles, &hubFull, &smallSysctl, &workersBusy, &workersWere, &collects,
	&badURL, &noName, &refused, &noAnswer, &broken, &certName, &certUnknown, &certMissing, &certTime, &noTLS, &leadsAway, &login, &gateway, &notOurs, &otherServer, &twoServers,
	&heldBack, &late, &oldHTTP, &noUpgrade, &cut, &proxyIP, &noForward, &plainPHP, &otherHost,
	&sessionLock, &oneByOne,
}
