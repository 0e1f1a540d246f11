// The stream is one line; the rest of this page shows and measures.
const stream = new EventSource('/comet/orders,alerts,customAlert');
stream.onmessage = show;
stream.onopen = () => Demo.state(true, 'one stream is open');
stream.onerror = () => Demo.state(false, stream.readyState === EventSource.CLOSED ? 'nobody answers here' : 'reconnecting');

// A touch carries no data, so its time comes from PHP's answer, which may be here before the event or after it.
const touch = {};

function show(event) {
	const now = Demo.now();
	if (event.data === '' || event.data === 'null') {
		touch.told = now;
		touch.entry = Demo.told('customAlert', 'touched');
		measureTouch();
		return;
	}
	let data;
	try {
		data = JSON.parse(event.data);
	} catch {
		data = { text: event.data };
	}
	const via = { append: 'alerts', post: 'orders' }[data.via];
	Demo.told(data.channel || via || 'event', data.text ?? event.data, data.at ? Demo.since(data.at, now) : null);
}

function measureTouch() {
	if (touch.at && touch.told && Demo.ahead !== null) {
		Demo.latency(touch.entry, Demo.since(touch.at, touch.told), 'PHP touched → event here');
		delete touch.at;
		delete touch.told;
	}
}

for (const button of document.querySelectorAll('[data-publish]')) {
	button.addEventListener('click', async () => {
		const { publish, channel } = button.dataset;
		delete touch.told;
		try {
			const answer = await Demo.publish(publish, channel, document.getElementById('text').value);
			if (publish === 'touch') {
				touch.at = answer.at;
				measureTouch();
			}
		} catch (error) {
			Demo.told('PHP', error.message);
		}
	});
}
