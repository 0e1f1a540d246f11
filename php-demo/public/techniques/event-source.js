// EventSource: the browser reads the stream, and comes back by itself after the last event that it saw. Except after an
// error page: then it closes for good, and a new one has to begin where the last event was.
export default function eventSource(panel) {
	let cursor = 'now';
	let stream, timer;

	function open() {
		panel.asks();
		stream = new EventSource(`/comet/demo?since=${cursor}`);
		stream.onopen = () => panel.live();
		stream.onmessage = (event) => {
			panel.received(`id: ${event.lastEventId}\ndata: ${event.data}\n\n`);
			cursor = event.lastEventId;
			panel.event({ data: event.data });
		};
		stream.addEventListener('gap', (event) => {
			cursor = event.lastEventId || cursor;
			panel.gap();
		});
		stream.onerror = () => {
			panel.lost();
			if (stream.readyState === EventSource.CLOSED) {
				timer = setTimeout(open, 1000 + 2000 * Math.random());
			} else {
				panel.asks(); // it does so by itself
			}
		};
	}

	open();
	return () => {
		clearTimeout(timer);
		stream.close();
	};
}
