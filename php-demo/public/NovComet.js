// The browser's half of the NovComet protocol. The original asks by jQuery; fetch() does the same without it.
var NovComet = {
	sleepTime: 1000,
	_subscribed: {},
	_timeout: undefined,
	_baseurl: 'comet.php',
	_args: '',
	_urlParam: 'subscribed',

	// subscribe calls back whenever someone publishes id, from now on.
	subscribe: function (id, callback) {
		NovComet._subscribed[id] = { cbk: callback, timestamp: NovComet._getCurrentTimestamp() };
		return NovComet;
	},

	init: function (baseurl) {
		if (baseurl !== undefined) {
			NovComet._baseurl = baseurl;
		}
		NovComet.run();
	},

	// run polls: the server answers when something happened, or when it has waited long enough.
	run: function () {
		var url = NovComet._baseurl + '?' + NovComet._args;
		for (var id in NovComet._subscribed) {
			url += '&' + NovComet._urlParam + '[' + id + ']=' + NovComet._subscribed[id].timestamp;
		}
		url += '&' + NovComet._getCurrentTimestamp();
		NovComet._getJSON(url).then(function (data) {
			if (data.s === 1) {
				for (var id in data.k) {
					NovComet._subscribed[id].timestamp = data.k[id];
					NovComet._subscribed[id].cbk(data.k);
				}
			}
		}).catch(function () {
			// The server is away. Ask again, as after any answer.
		}).then(NovComet._refresh);
	},

	publish: function (id) {
		return NovComet._getJSON(NovComet._baseurl + '?' + NovComet._args + '&publish=' + id);
	},

	_refresh: function () {
		NovComet._timeout = setTimeout(NovComet.run, NovComet.sleepTime);
	},

	_getCurrentTimestamp: function () {
		return Math.round(new Date().getTime() / 1000);
	},

	_getJSON: function (url) {
		return fetch(url).then(function (response) {
			if (!response.ok) {
				throw new Error(response.status);
			}
			return response.json();
		});
	}
};
