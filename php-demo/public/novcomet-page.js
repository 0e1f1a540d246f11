// The page's own part is printed on it. The rest measures: a NovComet answer carries whole seconds and no more, so the
// page remembers what it published last and what it was told last, whichever comes first.
const PAUSED = ' (NovComet pauses 1 s between polls)';
const last = {}; // by name: {clicked, touched, told, entry, late}
let asking = null; // when the poll that is under way began

function remember(name, what) {
	last[name] = Object.assign(what.clicked ? {} : last[name] || {}, what);
	const { clicked, touched, told, entry, asked } = last[name];
	if (!told || !(clicked || touched)) {
		return;
	}
	const latency = touched ? Demo.since(touched, told) : told - clicked;
	if (latency === null) {
		return;
	}
	const label = touched ? 'PHP touched → event here' : 'Click → PHP touches → event here';
	Demo.latency(entry, latency, asked > told - latency ? label + PAUSED : label);
	delete last[name];
}

function show(name, data) {
	const told = Demo.now();
	const when = new Date(data[name] * 1000).toLocaleTimeString();
	remember(name, { told, asked: asking, entry: Demo.told(name, 'at ' + when) });
	// What nobody here published is not measured; forget it before the next click.
	setTimeout(() => { if (last[name]?.told === told) delete last[name]; }, 1500);
}

// Watching NovComet at work, without changing it.
const getJSON = NovComet._getJSON;
NovComet._getJSON = async function (url) {
	if (url.includes('&publish=')) {
		return getJSON(url);
	}
	asking = Demo.now();
	Demo.state(true, 'one poll is held');
	try {
		const answer = await getJSON(url);
		Demo.state(true, 'answered; asks again in a second');
		return answer;
	} catch (error) {
		Demo.state(false, 'no answer; asks again in a second');
		throw error;
	}
};

for (const name of ['customAlert', 'customAlert2']) {
	document.querySelector('a.' + name).addEventListener('click', (event) => {
		event.preventDefault();
		remember(name, { clicked: Demo.now() });
	});
}
document.querySelector('[data-publish]').addEventListener('click', async (event) => {
	const { publish, channel } = event.target.dataset;
	try {
		remember(channel, { touched: (await Demo.publish(publish, channel)).at });
	} catch (error) {
		Demo.state(false, error.message);
	}
});

NovComet.subscribe('customAlert', function (data) {
	show('customAlert', data);
}).subscribe('customAlert2', function (data) {
	show('customAlert2', data);
});
document.querySelector('a.customAlert').onclick = function () { NovComet.publish('customAlert'); };
document.querySelector('a.customAlert2').onclick = function () { NovComet.publish('customAlert2'); };
NovComet.run();
