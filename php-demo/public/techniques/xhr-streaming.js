// XHR streaming: one JSON event per line, read while the answer is still coming (readyState 3). A line without a channel
// is the position; the last one says with "retry" when to come back. An empty line is a sign of life.
export default function xhrStreaming(panel) {
	let cursor = 'now';
	let request, silence, timer;

	function open() {
		let read = 0;
		let retry = null;
		request = new XMLHttpRequest();
		request.open('GET', `/comet/demo?as=stream&since=${cursor}`);
		request.onreadystatechange = () => {
			if (request.readyState < XMLHttpRequest.LOADING || request.status !== 200) {
				return;
			}
			alive();
			const whole = request.responseText.lastIndexOf('\n') + 1; // the line after it is still under way
			const text = request.responseText.slice(read, whole);
			read = whole;
			panel.received(text);
			for (const line of text.split('\n').filter((line) => line.trim())) {
				retry = take(JSON.parse(line)) ?? retry;
			}
		};
		request.onloadend = () => {
			clearTimeout(silence);
			if (retry === null) {
				panel.lost();
			}
			timer = setTimeout(open, retry ?? 1000 + 2000 * Math.random());
		};
		panel.asks();
		request.send();
		alive();
	}

	function take(line) {
		cursor = line.cursor;
		if (line.channel) {
			panel.event(line);
		} else if (line.gap) {
			panel.gap();
		}
		panel.live();
		return line.retry;
	}

	// A connection can die without a word. Then there are no signs of life either.
	function alive() {
		clearTimeout(silence);
		silence = setTimeout(() => request.abort(), 60_000);
	}

	open();
	return () => {
		request.onloadend = null;
		request.abort();
		clearTimeout(silence);
		clearTimeout(timer);
	};
}
