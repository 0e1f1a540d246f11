// What the frame's document does for itself: when it ends, for whatever reason, it asks until the server answers, and
// then begins again behind the last event. Written for any browser since 2008.
(function () {
	if (parent == window) { // === is false in IE 8
		// No frame: there is no function to call. What follows is text and no script, also where nothing stops a document.
		document.write('<plaintext>');
		if (window.stop) { stop(); }
		return;
	}
	var at = '', heard = +new Date(), leaving = false;

	// c tells the position and that the server lives.
	window.c = function (cursor) {
		at = cursor;
		heard = +new Date();
	};
	// again ends this document; the next one begins after so many ms.
	window.again = function (ms) {
		if (!leaving) {
			leaving = true;
			setTimeout(ms > 0 ? ask : go, ms);
		}
	};
	function go() {
		var query = location.search.slice(1).split('&'), kept = [];
		for (var i = 0; i < query.length; i++) {
			if (query[i] && !(at && /^since(=|$)/.test(query[i]))) { kept.push(query[i]); }
		}
		if (at) { kept.push('since=' + at); }
		// With the host: a path may begin with two slashes.
		location.replace(location.protocol + '//' + location.host + location.pathname + '?' + kept.join('&'));
	}
	// An error page in our place would have no script to come back from it, so first a question.
	function ask() {
		var x = new XMLHttpRequest(), over = false;
		function later() {
			if (!over) {
				over = true;
				setTimeout(ask, 2000 + 2000 * Math.random());
			}
		}
		x.onreadystatechange = function () {
			if (x.readyState === 4 && !over) {
				if (x.status === 200) {
					over = true;
					go();
				} else {
					later();
				}
			}
		};
		try {
			x.open('HEAD', location.href, true);
			x.send();
		} catch (e) {
			later();
		}
		setTimeout(function () {
			if (!over) { // perhaps because the status of a broken request could not be read: Firefox 3
				later();
				x.abort();
			}
		}, 10000);
	}
	setInterval(function () {
		var silent = new Date() - heard;
		if (silent > SILENCE || silent > 1000 && document.readyState === 'complete') { again(1 + 1000 * Math.random()); }
	}, 1000);
})();
