/**
 * The library for old browsers: ES5, by polls and JSONP alone, each page for itself. The same use as comet.js:
 *
 *	var live = comet('/comet');
 *	live.on('orders', function (event) { show(event.data); });
 */
(function (scope) {
	'use strict';

	var scripts = 0;

	function parse(text) {
		try {
			return JSON.parse(text);
		} catch (e) {
			return null;
		}
	}

	function isCursor(c) {
		return typeof c === 'string' && /^[0-9a-z]+\.\d+$/.test(c);
	}

	// Whether who is at p has had all up to the cursor.
	function reached(p, cursor) {
		if (!isCursor(p) || !isCursor(cursor)) {
			return false;
		}
		var a = p.split('.'), b = cursor.split('.');
		return a[0] === b[0] && (a[1] === b[1] || (a[1].length - b[1].length || (a[1] > b[1] ? 1 : -1)) > 0);
	}

	function strange(p, cursor) {
		return isCursor(p) && p.split('.')[0] !== cursor.split('.')[0];
	}

	// Asks by a request of the page's own site, or of one that lets it. Calls done(answer, status, seconds, denied).
	function byRequest(url, options, token, done) {
		var request = new XMLHttpRequest();
		request.onreadystatechange = function () {
			if (request.readyState !== 4) {
				return;
			}
			var answer = request.status === 200 ? parse(request.responseText) : null;
			var after = request.status ? request.getResponseHeader('Retry-After') : null;
			done(answer, request.status, +after || 0, answer && request.getResponseHeader('Comet-Denied'));
		};
		request.open('GET', url, true);
		if (options.credentials) {
			request.withCredentials = true;
		}
		if (token) {
			request.setRequestHeader('Authorization', 'Bearer ' + token);
		}
		request.send();
		return function () {
			request.onreadystatechange = null;
			request.abort();
		};
	}

	// Asks by a script of the server's.
	function byScript(url, _, token, done) {
		var script = document.createElement('script'), name = 'comet_' + ++scripts, over = false;
		function end(answer) {
			if (!over) {
				over = true;
				script.onload = script.onerror = script.onreadystatechange = null;
				script.parentNode.removeChild(script);
				scope[name] = function () {}; // a script that was given up on may still run
				if (answer !== undefined) {
					done(answer, 0, 0);
				}
			}
		}
		scope[name] = end;
		script.onload = script.onerror = function () {
			end(null);
		};
		script.src = url + '&callback=' + name + (token ? '&token=' + encodeURIComponent(token) : '');
		document.getElementsByTagName('head')[0].appendChild(script);
		return end;
	}

	function comet(url, options) {
		options = options || {};
		var base = (url || '/comet').replace(/\/+$/, '');
		var handlers = {}, at = {}, begun = {}, barred = {};
		var state = 'connecting', script = false, tries = 0, over = false;
		var stop = null, timer = null;

		function names() {
			var all = [];
			for (var name in at) {
				if (at.hasOwnProperty(name)) {
					all.push(name);
				}
			}
			return all;
		}

		function emit(name, what) {
			var all = handlers.hasOwnProperty(name) ? handlers[name].slice() : [];
			for (var i = 0; i < all.length; i++) {
				try {
					all[i].call(null, what);
				} catch (e) {
					rethrow(e);
				}
			}
		}

		function rethrow(e) {
			setTimeout(function () {
				throw e; // for the console; the others go on
			}, 0);
		}

		function become(next, error) {
			if (state !== next) {
				state = next;
				emit('*state', { state: state, transport: script ? 'jsonp' : 'poll', error: error });
			}
		}

		// Moves on in a channel, and reports whether that is news.
		function move(name, cursor) {
			if (!at.hasOwnProperty(name) || reached(at[name], cursor)) {
				return false;
			}
			at[name] = cursor;
			return true;
		}

		function take(answer, asked) {
			var lost = [], i;
			for (i = 0; i < asked.length; i++) {
				var p = at.hasOwnProperty(asked[i]) && at[asked[i]];
				if (p && !reached(p, answer.cursor) && (answer.gap || strange(p, answer.cursor))) {
					lost.push(asked[i]);
				}
			}
			if (lost.length) {
				emit('*gap', { channels: lost, cursor: answer.cursor });
			}
			for (i = 0; i < answer.events.length; i++) {
				var event = answer.events[i];
				if (move(event.channel, event.cursor)) {
					delete barred[' ' + event.channel];
					emit(event.channel, event);
				}
			}
			for (i = 0; i < asked.length; i++) {
				move(asked[i], answer.cursor);
			}
		}

		// Tells of channels that may not be followed, once. The others go on.
		function deny(denied) {
			var news = [];
			for (var i = 0; i < denied.length; i++) {
				if (at.hasOwnProperty(denied[i]) && !barred[' ' + denied[i]]) {
					barred[' ' + denied[i]] = true;
					news.push(denied[i]);
				}
			}
			if (news.length) {
				emit('*denied', { channels: news });
			}
		}

		function valid(answer) {
			var ok = answer && isCursor(answer.cursor) && Object.prototype.toString.call(answer.events) === '[object Array]';
			for (var i = 0; ok && i < answer.events.length; i++) {
				ok = answer.events[i] && isCursor(answer.events[i].cursor) && typeof answer.events[i].channel === 'string';
			}
			return ok;
		}

		function ask() {
			var all = names(), fresh = [], since, asked, i, began = new Date().getTime(), watch;
			timer = null;
			if (over || !all.length) {
				become(over ? 'closed' : 'waiting');
				return;
			}
			for (i = 0; i < all.length; i++) {
				if (!at[all[i]]) {
					fresh.push(all[i]);
				} else if (!since || since !== 'all' && !reached(at[all[i]], since)) {
					since = at[all[i]];
				}
			}
			asked = fresh.length ? fresh : all;
			var address = base + '/' + asked.map(encodeURIComponent).join(',') + '?since=' + (fresh.length ? '' : since + '&wait=25');
			if (state !== 'open') {
				become('connecting');
			}
			function done(answer, status, after, denied) {
				clearTimeout(watch);
				stop = null;
				if (status === 403 && since && fresh.length) {
					for (i = 0; i < fresh.length; i++) {
						at[fresh[i]] = since;
					}
					deny(fresh);
					again(0);
					return;
				}
				if (!valid(answer)) {
					fail(status, after);
					return;
				}
				tries = 0;
				become('open');
				deny(denied ? denied.split(',').map(decodeURIComponent) : []);
				take(answer, asked);
				// An answer at once, and nothing in it, is no reason to hurry.
				var busy = fresh.length || answer.events.length || new Date().getTime() - began > 1000;
				again(busy ? 0 : 1000);
			}
			watch = setTimeout(function () {
				stop();
				done(null, 0, 0);
			}, 40000);
			stop = (script ? byScript : byRequest)(address, options, typeof options.token === 'function' ? options.token() : options.token, done);
			var abort = stop;
			stop = function () {
				clearTimeout(watch);
				abort();
			};
		}

		function fail(status, after) {
			tries++;
			if (options.jsonp && !status) {
				script = !script;
			}
			var refused = status >= 400 && status < 500 && status !== 408 && status !== 429;
			var most = 500 * Math.pow(2, Math.min(refused ? 6 : tries, 6));
			become('waiting', status ? 'the server answers ' + status : 'no answer');
			again(Math.max(most * (0.5 + Math.random() / 2), after * 1000 * (1 + Math.random() / 4)));
		}

		function again(ms) {
			clearTimeout(timer);
			timer = over ? null : setTimeout(ask, ms);
		}

		function anew() {
			if (stop) {
				stop();
				stop = null;
			}
			again(0);
		}

		if (scope.addEventListener) {
			scope.addEventListener('online', function () {
				if (!stop && names().length) {
					again(0);
				}
			});
		}

		return {
			on: function (name, handler, from) {
				function mine(what) {
					handler(what);
				}
				if (!handlers.hasOwnProperty(name)) {
					handlers[name] = [];
				}
				handlers[name].push(mine);
				if (name.charAt(0) !== '*' && !at.hasOwnProperty(name)) {
					var since = options.since;
					since = begun[name] ? '' : typeof since === 'object' && since ? since[name] : since;
					begun[name] = true;
					from = from || since || '';
					at[name] = from === 'now' ? '' : from;
					anew();
				}
				return function () {
					var all = handlers[name] || [], i = all.indexOf(mine);
					if (i >= 0) {
						all.splice(i, 1);
						if (!all.length) {
							delete handlers[name];
							delete at[name];
							delete barred[' ' + name];
							anew();
						}
					}
				};
			},
			get since() {
				var positions = {}, all = names();
				for (var i = 0; i < all.length; i++) {
					if (at[all[i]]) {
						positions[all[i]] = at[all[i]];
					}
				}
				return positions;
			},
			get state() {
				return state;
			},
			get transport() {
				return script ? 'jsonp' : 'poll';
			},
			close: function () {
				over = true;
				if (stop) {
					stop();
					stop = null;
				}
				clearTimeout(timer);
				become('closed');
				handlers = {};
				at = {};
			},
		};
	}

	scope.comet = comet;
})(self);
